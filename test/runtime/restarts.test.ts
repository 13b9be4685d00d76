import { cpSync, renameSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
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

  it("killed at any moment of sandboxes that start, leaves nothing once they have ended", async () => {
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
  }, 120_000);

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

  it("aws-15: starts and ends sandboxes while the daemon and the plugin are replaced by other versions", async () => {
    const { containerd, node } = world;
    const bundles = ["new-1", "new-2"].map((name) =>
      path.join(path.dirname(BUNDLE), `${name}-${process.pid}`),
    );
    const names = Array.from({ length: AT_ONCE }, (_, index) => `up-${index}`);
    for (const [index, bundle] of bundles.entries()) {
      cpSync(BUNDLE, bundle, { recursive: true });
      const starting = world.runAll(names);
      await node.daemon?.stop(index === 0 ? "SIGTERM" : "SIGKILL");
      cpSync(SHIM, path.join(containerd.binDir, "causeway.new"));
      renameSync(path.join(containerd.binDir, "causeway.new"), path.join(containerd.binDir, "causeway"));
      await world.startDaemon(bundle);
      const pods = await starting;
      await world.expectTalk(pods.slice(0, 3));
      await world.expectExactly([...alive, ...pods]);
      const ending = world.endAll(pods);
      await delay(10);
      await node.daemon?.stop("SIGKILL");
      await world.startDaemon();
      await ending;
      await world.expectExactly(alive);
    }
  }, 60_000);

  it("ends sandboxes while no daemon runs, and the next daemon frees their addresses", async () => {
    const pods = await world.runAll(["orphan-1", "orphan-2", "orphan-3"]);
    await world.node.daemon?.stop("SIGKILL");
    await world.endAll(pods);
    await world.startDaemon();
    await world.expectExactly(alive);
  });
});
