import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FakePlugin } from "../test/fake-plugin.ts";
import { temporaryFolder } from "../test/shim/daemon.ts";
import { CHAINED_NAMES, Chain } from "./chain.ts";

const never = new AbortController().signal;
const PORTMAP = { type: "portmap", capabilities: { portMappings: true }, snat: true };
const BANDWIDTH = { type: "bandwidth", capabilities: { bandwidth: true } };

const chainOf = (pluginDir: string) =>
  new Chain({ pluginDir, chain: CHAINED_NAMES, conflistDir: "/etc/cni/net.d", signal: never });

describe("Chain.look()", () => {
  it("gives what is there, in order, and no problem", async () => {
    using folder = temporaryFolder();
    for (const type of ["bandwidth", "portmap"]) new FakePlugin(folder.path, type);
    expect(await chainOf(folder.path).look()).toEqual({
      plugins: [PORTMAP, BANDWIDTH],
      versions: ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
      problems: [],
    });
  });

  it("leaves out and names what is missing, and takes it in when it appears", async () => {
    using folder = temporaryFolder();
    new FakePlugin(folder.path, "bandwidth");
    const chain = chainOf(folder.path);
    const { plugins, problems } = await chain.look();
    expect(plugins).toEqual([BANDWIDTH]);
    const sentence = `host ports of pods do not work: ${folder.path}/portmap is missing. Install the plugin, or take portmap out of CAUSEWAY_CHAIN`;
    expect(problems).toEqual([{ code: "chained-plugin", severity: "warning", sentence }]);
    new FakePlugin(folder.path, "portmap");
    expect(await chain.look()).toMatchObject({ plugins: [PORTMAP, BANDWIDTH], problems: [] });
  });

  it.each<readonly [string, (file: string) => void, string]>([
    ["is not executable", (file) => chmodSync(file, 0o644), "EACCES"],
    ["is no program", (file) => writeFileSync(file, "none"), "not found"],
    ["fails", (file) => writeFileSync(file, "#!/bin/sh\necho no libc >&2; exit 1\n"), "no libc"],
    ["says nothing", (file) => writeFileSync(file, "#!/bin/sh\n"), "JSON"],
  ])("leaves out and names one that %s", async (_what, damage, words) => {
    using folder = temporaryFolder();
    damage(new FakePlugin(folder.path, "portmap").file);
    new FakePlugin(folder.path, "bandwidth");
    const { plugins, problems } = await chainOf(folder.path).look();
    expect(plugins).toEqual([BANDWIDTH]);
    expect(problems.map(({ severity, sentence }) => `${severity}: ${sentence}`)).toEqual([
      expect.stringMatching(new RegExp(`^warning: host ports of pods do not work: .*${words}`)),
    ]);
  });

  it("offers only versions that all know, and leaves out one that is too old for any list of ours", async () => {
    using folder = temporaryFolder();
    new FakePlugin(folder.path, "portmap", ["0.3.0", "0.3.1", "0.4.0", "1.0.0"]);
    new FakePlugin(folder.path, "bandwidth", ["0.3.0", "0.3.1", "0.4.0"]);
    const { plugins, versions, problems } = await chainOf(folder.path).look();
    expect(plugins).toEqual([PORTMAP]);
    expect(versions).toEqual(["0.3.0", "0.3.1", "0.4.0", "1.0.0"]);
    expect(problems.map(({ severity, sentence }) => `${severity}: ${sentence}`)).toEqual([
      expect.stringMatching(/^warning: bandwidth .*\/bandwidth does not know CNI 1\.0\.0\./),
      expect.stringMatching(/^handled: .*\/portmap does not know CNI 1\.1\.0/),
    ]);
  });

  it("executes only files that have changed", async () => {
    using folder = temporaryFolder();
    const plugin = new FakePlugin(folder.path, "portmap");
    const chain = chainOf(folder.path);
    for (let look = 0; look < 3; look += 1) await chain.look();
    expect(plugin.versionCalls()).toBe(1);
    new FakePlugin(folder.path, "portmap", ["0.4.0", "1.0.0"]);
    expect((await chain.look()).versions).toEqual(["0.4.0", "1.0.0"]);
  });

  it("keeps one that is away for one look, and leaves it out after the second", async () => {
    using folder = temporaryFolder();
    new FakePlugin(folder.path, "portmap");
    const chain = chainOf(folder.path);
    const isIn = async () => (await chain.look()).plugins.length === 1;
    expect(await isIn()).toBe(true);
    rmSync(join(folder.path, "portmap"));
    expect([await isIn(), await isIn(), await isIn()]).toEqual([true, false, false]);
  });

  it("looks at nothing where somebody else writes the list", async () => {
    const options = { pluginDir: "/nowhere", chain: CHAINED_NAMES, conflistDir: undefined, signal: never };
    expect(await new Chain(options).look()).toMatchObject({ plugins: [], problems: [] });
  });
});
