import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "./clock.ts";
import { SteppedClock } from "./stepped-clock.ts";
import { WatchedFile } from "./watched-file.ts";

const SOON = { timeout: 2_000, interval: 10 };

let folder: string;
let file: string;
let seen: (string | undefined)[];
let watched: WatchedFile | undefined;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "watched-file-"));
  file = path.join(folder, "a");
  seen = [];
});
afterEach(() => {
  watched?.[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

function content(): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function start(clock = systemClock): void {
  watched = new WatchedFile({ path: file, clock, changed: () => seen.push(content()) });
}

const expectSeen = (text: string | undefined) => vi.waitFor(() => expect(seen.at(-1)).toBe(text), SOON);

/** As kubelet lays a ConfigMap out: the file is a link into ..data, which is a link to a folder of that version. */
function publish(version: string): void {
  mkdirSync(path.join(folder, version));
  writeFileSync(path.join(folder, version, "a"), version);
  symlinkSync(version, path.join(folder, "..data_tmp"));
  renameSync(path.join(folder, "..data_tmp"), path.join(folder, "..data"));
}

describe("WatchedFile", () => {
  it("tells of writes in place, of a rename over it, of its end and its return, each within 2 s", async () => {
    writeFileSync(file, "1");
    start();
    writeFileSync(file, "2");
    await expectSeen("2");
    writeFileSync(`${file}.new`, "3");
    renameSync(`${file}.new`, file);
    await expectSeen("3");
    rmSync(file);
    seen.push("");
    await expectSeen(undefined);
    writeFileSync(file, "4");
    await expectSeen("4");
  });

  it("tells of a ConfigMap's new version, whose link is moved", async () => {
    publish("v1");
    symlinkSync("..data/a", file);
    start();
    publish("v2");
    await expectSeen("v2");
    // the way stays, and the file behind it changes: no event of this folder
    writeFileSync(path.join(folder, "v2", "a"), "v2, in place");
    await expectSeen("v2, in place");
  });

  it("tells of a file whose folder comes later, and is made anew", async () => {
    rmSync(folder, { recursive: true });
    start();
    for (const text of ["1", "2"]) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
      writeFileSync(file, text);
      await expectSeen(text);
    }
  });

  it("tells of an event of its folder long before it looks by itself", async () => {
    const clock = new SteppedClock();
    start(clock);
    writeFileSync(file, "1");
    await vi.waitFor(async () => {
      await clock.advance(5);
      expect(seen).toEqual(["1"]);
    }, SOON);
    expect(clock.now()).toBeLessThan(500);
  });

  it("tells once of what is written in one moment, and nothing once it is disposed of", async () => {
    const clock = new SteppedClock();
    start(clock);
    // without the folder's events: by the poll alone
    writeFileSync(file, "1");
    writeFileSync(file, "2");
    await clock.advance(1_000);
    expect(seen).toContain("2");
    expect(seen).not.toContain("1");
    watched?.[Symbol.dispose]();
    const told = seen.length;
    writeFileSync(file, "3");
    await clock.advance(10_000);
    expect(seen).toHaveLength(told);
  });
});
