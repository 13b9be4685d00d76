import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MemoryKernel } from "../common/kernel/memory/kernel.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { FakeCloud } from "../providers/fake/cloud.ts";
import { FakeNetwork } from "../providers/fake/provider.ts";
import { testTable } from "../test/conformance/nft-table.ts";
import { poolParts } from "../test/pool-parts.ts";
import { Reconciler } from "./reconcile.ts";
import { DEFAULT_POOL_SETTINGS } from "./settings.ts";

/** For what is asked for at once. */
const MOMENT_MS = 200;

let clock: SteppedClock;
let cloud: FakeCloud;
let reconciler: Reconciler;
let stopping: AbortController;
let running: Promise<void>;

/** A node whose pool is full, and that has asked the cloud a while ago. */
beforeEach(async () => {
  clock = new SteppedClock();
  stopping = new AbortController();
  cloud = new FakeCloud({ clock });
  const instance = cloud.launch();
  const kernel = new MemoryKernel();
  await kernel.nft.load(testTable);
  kernel.hostNamespace.addLink({
    name: "eth0",
    mac: instance.primaryMac,
    mtuBytes: 9001,
    up: true,
    group: 0,
  });
  reconciler = build(kernel, new FakeNetwork(cloud, instance));
  running = reconciler.run(stopping.signal);
  await clock.advance(10_000);
});

afterEach(async () => {
  stopping.abort();
  await clock.settle();
  await running;
});

function build(kernel: MemoryKernel, network: FakeNetwork): Reconciler {
  const { pool, uplinks, adoption: host, log } = poolParts({ kernel, clock });
  const nothing = () => undefined;
  return new Reconciler({
    network,
    host,
    pool,
    uplinks,
    pending: () => 0,
    knowsPods: () => false,
    maxPods: nothing,
    settings: () => DEFAULT_POOL_SETTINGS,
    families: [4],
    passed: nothing,
    planned: nothing,
    failed: nothing,
    clock,
    log,
    random: () => 0.5,
  });
}

const described = () => cloud.calls.get("describe") ?? 0;

describe("Reconciler", () => {
  it("kickFresh() asks the cloud at once", async () => {
    const before = described();
    reconciler.kickFresh();
    await clock.advance(MOMENT_MS);
    expect(described()).toBe(before + 1);
  });

  it("kickFresh() while the cloud is answering asks it again, as that answer may be too old", async () => {
    cloud.delayMs = 1_000;
    const before = described();
    reconciler.kickFresh();
    await clock.advance(MOMENT_MS);
    expect(described()).toBe(before + 1);
    reconciler.kickFresh();
    await clock.advance(10_000);
    expect(described()).toBe(before + 2);
  });

  it("kickFreshLater() asks at once when the cloud was not asked lately", async () => {
    const before = described();
    reconciler.kickFreshLater();
    await clock.advance(MOMENT_MS);
    expect(described()).toBe(before + 1);
  });

  it("kickFreshLater() again and again asks once in 5 s, and once after the last time", async () => {
    const before = described();
    for (let passed = 0; passed < 20_000; passed += 100) {
      reconciler.kickFreshLater();
      await clock.advance(100);
    }
    expect(described() - before).toBeLessThanOrEqual(5);
    const meanwhile = described();
    await clock.advance(30_000);
    expect(described()).toBe(meanwhile + 1);
  });

  it("kick() asks the cloud nothing", async () => {
    const before = described();
    for (let passed = 0; passed < 20_000; passed += 100) {
      reconciler.kick();
      await clock.advance(100);
    }
    expect(described()).toBe(before);
  });
});
