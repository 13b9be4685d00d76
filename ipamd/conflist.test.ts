import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  watch,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../test/shim/daemon.ts";
import { until } from "../test/shim/waiting.ts";
import { CONFLIST_NAME, removeStaleConflist, writeConflist } from "./conflist.ts";

const VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0"];

describe("writeConflist()", () => {
  it("writes the list for the versions from 0.4.0 on, mode 0600, and nothing else", async () => {
    using folder = temporaryFolder();
    expect(await writeConflist({ folder: folder.path, bootId: "b1" }, VERSIONS)).toBe(true);
    const path = join(folder.path, CONFLIST_NAME);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      cniVersion: "1.0.0",
      cniVersions: ["0.4.0", "1.0.0"],
      name: "causeway",
      causewayBoot: "b1",
      plugins: [{ type: "causeway" }],
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder.path)).toEqual([CONFLIST_NAME]);
  });

  it("names the chain's plugins behind ours, and is written anew when they change", async () => {
    using folder = temporaryFolder();
    const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };
    const options = { folder: folder.path, bootId: "b1" };
    await writeConflist(options, VERSIONS);
    expect(await writeConflist({ ...options, chained: [portmap] }, VERSIONS)).toBe(true);
    expect(await writeConflist({ ...options, chained: [portmap] }, VERSIONS)).toBe(false);
    const list = JSON.parse(readFileSync(join(folder.path, CONFLIST_NAME), "utf8"));
    expect(list.plugins).toEqual([{ type: "causeway" }, portmap]);
  });

  it("leaves a list alone that is there word for word, and replaces one that is not", async () => {
    using folder = temporaryFolder();
    const options = { folder: folder.path, bootId: "b1" };
    await writeConflist(options, VERSIONS);
    const { ino } = statSync(join(folder.path, CONFLIST_NAME));
    expect(await writeConflist(options, VERSIONS)).toBe(false);
    expect(statSync(join(folder.path, CONFLIST_NAME)).ino).toBe(ino);
    expect(await writeConflist(options, [...VERSIONS, "1.1.0"])).toBe(true);
    expect(readFileSync(join(folder.path, CONFLIST_NAME), "utf8")).toContain('"1.1.0"');
  });

  it("aws-92: replaces a list by a new file, and writes nothing into the old one", async () => {
    using folder = temporaryFolder();
    const options = { folder: folder.path, bootId: "b1" };
    const path = join(folder.path, CONFLIST_NAME);
    writeFileSync(path, "of an earlier container");
    const before = openSync(path, "r");
    await writeConflist(options, VERSIONS);
    expect(statSync(path).ino).not.toBe(fstatSync(before).ino);
    expect(readFileSync(before, "utf8")).toBe("of an earlier container");
    closeSync(before);
  });

  it("appears by a rename within the folder, under no other name that a runtime reads", async () => {
    using folder = temporaryFolder();
    const seen: [string, string | null][] = [];
    using _watcher = disposable(watch(folder.path, (event, name) => seen.push([event, name])));
    await writeConflist({ folder: folder.path, bootId: "b1" }, VERSIONS);
    await until("the rename is seen", () =>
      seen.some(([event, name]) => event === "rename" && name === CONFLIST_NAME),
    );
    const others = seen.map(([, name]) => name).filter((name) => name !== CONFLIST_NAME);
    for (const name of others) expect(name).not.toMatch(/\.(conf|conflist|json)$/);
    expect(seen.filter(([event, name]) => event === "change" && name === CONFLIST_NAME)).toEqual([]);
  });

  it("makes the folder when it is not there", async () => {
    using folder = temporaryFolder();
    const options = { folder: join(folder.path, "none"), bootId: "b1" };
    expect(await writeConflist(options, VERSIONS)).toBe(true);
  });
});

describe("removeStaleConflist()", () => {
  it.each([
    ["of this boot", '{"causewayBoot":"b1"}', false],
    ["of another boot", '{"causewayBoot":"b0"}', true],
    ["without a boot", "{}", true],
    ["that is null", "null", true],
    ["that is empty, as after a crash", "", true],
  ])("with a list %s: removes it %s", async (_what, text, removed) => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, CONFLIST_NAME), text);
    writeFileSync(join(folder.path, "10-other.conflist"), "{}");
    expect(await removeStaleConflist({ folder: folder.path, bootId: "b1" })).toBe(removed);
    const left = readdirSync(folder.path);
    expect(left).toEqual(removed ? ["10-other.conflist"] : [CONFLIST_NAME, "10-other.conflist"]);
  });

  it("does nothing without a list, or without a folder", async () => {
    using folder = temporaryFolder();
    expect(await removeStaleConflist({ folder: folder.path, bootId: "b1" })).toBe(false);
    expect(await removeStaleConflist({ folder: join(folder.path, "none"), bootId: "b1" })).toBe(false);
  });
});

function disposable<T extends { close(): void }>(thing: T): T & Disposable {
  return Object.assign(thing, { [Symbol.dispose]: () => thing.close() });
}
