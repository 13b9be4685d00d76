import { describe, expect, it } from "vitest";
import { memoryLogger } from "../common/log.ts";
import { Metrics } from "../common/metrics.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { FakeCloud } from "./fake/cloud.ts";
import { FakeNetwork } from "./fake/provider.ts";
import { CLOUD_NAMES, isCloudName, openCloud } from "./registry.ts";
import { withLimits } from "./with-limits.ts";
import { withMetrics } from "./with-metrics.ts";

const never = new AbortController().signal;

function setUp() {
  const clock = new SteppedClock();
  const cloud = new FakeCloud({ clock });
  const network = new FakeNetwork(cloud, cloud.launch());
  return { clock, cloud, network, metrics: new Metrics() };
}

describe("withMetrics()", () => {
  it("times every call and counts it by outcome", async () => {
    const { clock, cloud, network, metrics } = setUp();
    const watched = withMetrics(network, { clock, metrics });
    await watched.describe(never);
    cloud.failNext("describe", { code: "throttled" });
    await expect(watched.describe(never)).rejects.toMatchObject({ code: "throttled" });
    const calls = metrics.histogram("causeway_cloud_call_duration_seconds", "");
    expect(calls.count({ cloud: "fake", call: "describe", outcome: "ok" })).toBe(1);
    expect(calls.count({ cloud: "fake", call: "describe", outcome: "throttled" })).toBe(1);
  });
});

describe("withLimits()", () => {
  const limits = { describe: { burst: 2, perSecond: 1, deadlineMs: 5_000 } };

  it("lets a burst through, then calls at its rate, in order", async () => {
    const { clock, cloud, network } = setUp();
    const limited = withLimits(network, { clock, limits });
    const ended: number[] = [];
    const all = Promise.all(
      [1, 2, 3, 4].map(() => limited.describe(never).then(() => ended.push(clock.now()))),
    );
    await clock.settle();
    expect(cloud.calls.get("describe")).toBe(2);
    await clock.advance(4_000);
    await all;
    expect(ended).toEqual([0, 0, 1_000, 2_000]);
  });

  it("does not make one kind of call wait for another", async () => {
    const { clock, network } = setUp();
    const limited = withLimits(network, { clock, limits });
    const waiting = [1, 2, 3].map(() => limited.describe(never));
    await expect(limited.identify(never)).resolves.toBeDefined();
    await clock.advance(2_000);
    await Promise.all(waiting);
  });

  it("ends a call at its deadline, also when the network below ignores its signal", async () => {
    const { clock, network } = setUp();
    const deaf = { ...withMetrics(network, { clock, metrics: new Metrics() }) };
    const limited = withLimits({ ...deaf, describe: () => new Promise(() => undefined) }, { clock, limits });
    const call = limited.describe(never).catch((error: unknown) => error);
    await clock.advance(5_000);
    expect(await call).toMatchObject({ code: "unavailable", operation: "describe" });
  });

  it("gives its place back when a waiting call is given up", async () => {
    const { clock, network } = setUp();
    const limited = withLimits(network, { clock, limits });
    await limited.describe(never);
    await limited.describe(never);
    const gone = new AbortController();
    const given = limited.describe(gone.signal).catch((error: unknown) => error);
    await clock.settle();
    gone.abort(new Error("stopping"));
    expect(await given).toMatchObject({ code: "unavailable" });
    const next = limited.describe(never).then(() => clock.now());
    await clock.advance(1_000);
    expect(await next).toBe(1_000);
  });
});

describe("openCloud()", () => {
  it.each(CLOUD_NAMES)("builds %s without a call", async (name) => {
    const { clock, metrics } = setUp();
    const options = {
      cluster: "test",
      endpoint: "http://127.0.0.1:1",
      metadataEndpoint: "http://127.0.0.1:1",
    };
    const network = await openCloud(name, { ...options, clock, metrics, log: memoryLogger().log });
    expect(network.name).toBe(name);
  });

  it("knows its names", () => {
    expect(isCloudName("aws")).toBe(true);
    expect(isCloudName("toString")).toBe(false);
  });
});
