import { copyFileSync, cpSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BUNDLE } from "../cluster/daemon-process.ts";
import { SHIM } from "../cluster/runtime.ts";
import { until } from "../shim/waiting.ts";
import { EDITIONS } from "./editions.ts";
import { type RunningPod, RuntimeNode } from "./runtime-node.ts";
import { TestList } from "./test-plugins.ts";

/** Each kill of containerd is at another moment of so many sandboxes that start at once. */
const ROUNDS = Number(process.env.CAUSEWAY_TEST_KILLS ?? 3);
const AT_ONCE = 8;

describe.each(EDITIONS)("$name", (edition) => {
  let world: RuntimeNode;
  let alive: RunningPod[];

  beforeAll(async () => {
    world = await RuntimeNode.start(edition);
  });

  beforeEach(async () => {
    alive = await world.runAll(["alive-1", "alive-2"]);
  });

  afterEach(() => world.clear());

  afterAll(() => world[Symbol.asyncDispose]());

  it("aws-03: killed between our ADD and its own record, leaves nothing once its sandboxes have ended", async () => {
    const { containerd } = world;
    {
      await using list = await TestList.install(containerd, "held", ["held"]);
      list.turn("hold", true);
      const starting = world.run("held").catch(String);
      await list.reached();
      await containerd.stop("SIGKILL");
      list.turn("hold", false);
      expect(await starting).toContain("RunPodSandbox");
      await containerd.launch();
      await world.networkIsReady();
      await world.expectTalk(alive);
    }
    expect(await world.leases()).toBe(3);
    expect(await world.endListedBeside(alive)).toBe(1);
    await world.expectExactly(alive);
  });

  it(
    "killed at any moment of sandboxes that start, leaves nothing once they have ended",
    async () => {
      for (let round = 1; round <= ROUNDS; round += 1) {
        const names = Array.from({ length: AT_ONCE }, (_, index) => `round-${round}-${index}`);
        const starting = Promise.allSettled(names.map((name) => world.run(name)));
        const moment = 2 + Math.floor((AT_ONCE * round) / (ROUNDS + 1));
        await until("some have their lease", async () => (await world.leases()) >= moment);
        await world.containerd.restart("SIGKILL");
        await starting;
        await world.networkIsReady();
        await world.expectTalk(alive);
        await world.endListedBeside(alive);
        world.removeForgotten(alive);
        await world.expectExactly(alive);
      }
    },
    30_000 + ROUNDS * 20_000,
  );

  it("restarted, keeps its sandboxes and their network, and removes them after it", async () => {
    const before = await world.runAll(["before-1", "before-2"]);
    await world.containerd.restart("SIGTERM");
    await world.networkIsReady();
    const after = await world.run("after");
    await world.expectTalk([...before, after]);
    await world.expectExactly([...alive, ...before, after]);
    await world.endAll([...before, after]);
    await world.expectExactly(alive);
  });

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "aws-15: starts and ends sandboxes while plugin and daemon are replaced, the daemon by %s",
    async (signal) => {
      const { containerd, node } = world;
      using bundle = copyBundle();
      const starting = world.runAll(Array.from({ length: AT_ONCE }, (_, index) => `up-${index}`));
      await node.daemon?.stop(signal);
      replacePlugin(containerd.binDir);
      await world.startDaemon(bundle.folder);
      const pods = await starting;
      await world.expectTalk(pods);
      await world.expectExactly([...alive, ...pods]);
      const ending = world.endAll(pods);
      await until("some have ended", async () => (await world.leases()) < pods.length);
      await node.daemon?.stop(signal);
      await world.startDaemon();
      await ending;
      await world.expectExactly(alive);
    },
  );

  it("ends sandboxes while no daemon runs, and the next daemon frees their addresses", async () => {
    const pods = await world.runAll(["orphan-1", "orphan-2", "orphan-3"]);
    await world.node.daemon?.stop("SIGKILL");
    await world.endAll(pods);
    await world.startDaemon();
    await world.expectExactly(alive);
  });
});

/** Another version's code: the same, at another path. It is beside the bundle, as native modules are looked for above it. */
function copyBundle(): Disposable & { readonly folder: string } {
  const folder = `${BUNDLE}-${process.pid}`;
  cpSync(BUNDLE, folder, { recursive: true });
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

/** As an installer does it: a new file, renamed over the one that runs. */
function replacePlugin(binDir: string): void {
  const file = path.join(binDir, "causeway");
  copyFileSync(SHIM, `${file}.new`);
  renameSync(`${file}.new`, file);
}
