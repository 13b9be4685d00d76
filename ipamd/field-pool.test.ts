/** Cases from the field about the pool (docs/field-cases.md), on the pool of a whole node over the cloud in memory. */
import { describe, expect, it } from "vitest";
import type { SubnetId } from "../common/ids.ts";
import { Cidr } from "../common/ip.ts";
import { PoolNode } from "../test/pool-node.ts";
import { Demand } from "./demand.ts";
import type { BoundPod } from "./kube/pods.ts";

const SINGLES = { unit: "single" } as const;
const HALF_AN_HOUR_MS = 1_800_000;
const names = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `p${from + index}`);

function served(node: PoolNode, pods: readonly string[]): number {
  return pods.filter((name) => node.addressesOf(name).length === 1).length;
}

const writesOf = (node: PoolNode) =>
  (["assign", "release", "create", "attach", "detach", "delete"] as const).map((kind) => node.calls(kind));

describe("a shortage", () => {
  it("aws-53: with 19 addresses used, 4 cooling, a minimum of 23 and a spare of 2, the next pods get new addresses at once", async () => {
    await using node = await PoolNode.start({
      settings: { ...SINGLES, warmIpTarget: 2, minimumIpTarget: 23 },
      capabilities: { unitsPerInterface: { 4: 40, 6: 0 } },
    });
    await node.add(...names(23));
    await node.pass(2_000);
    const ended = names(4).flatMap((name) => node.addressesOf(name));
    await node.remove(...names(4));
    await node.add(...names(5, 30));
    await node.pass(1_000);
    expect(served(node, names(5, 30))).toBe(5);
    expect(names(5, 30).flatMap((name) => node.addressesOf(name))).not.toEqual(
      expect.arrayContaining([expect.toBeOneOf(ended)]),
    );
    await node.pass(HALF_AN_HOUR_MS);
    expect(node.held().flat()).toHaveLength(26);
    const settled = writesOf(node);
    await node.pass(HALF_AN_HOUR_MS);
    expect(writesOf(node)).toEqual(settled);
  });

  it("aws-55: without any spare an ADD that waits brings what it needs, and a node without pods rests", async () => {
    await using node = await PoolNode.start({ settings: { ...SINGLES, spare: 0 } });
    expect(node.held().flat()).toEqual([]);
    await node.add(...names(3));
    await node.pass(1_000);
    expect([served(node, names(3)), node.held().flat().length]).toEqual([3, 3]);
    await node.remove(...names(3));
    await node.pass(HALF_AN_HOUR_MS);
    const before = writesOf(node);
    await node.pass(HALF_AN_HOUR_MS);
    expect(writesOf(node)).toEqual(before);
  });

  it("aws-55: a spare that the instance has no room for makes no interface come and go", async () => {
    await using node = await PoolNode.start({ settings: { ...SINGLES, warmIpTarget: 5 } });
    await node.add(...names(26));
    await node.pass(60_000);
    expect(served(node, names(26))).toBe(26);
    const before = writesOf(node);
    await node.pass(HALF_AN_HOUR_MS);
    expect(writesOf(node)).toEqual(before);
  });

  it("aws-94: at the instance's limit the pool rests, and the next pod has what another one leaves", async () => {
    await using node = await PoolNode.start({ settings: { ...SINGLES, warmIpTarget: 5 } });
    await node.add(...names(27));
    await node.pass(60_000);
    await node.add("late");
    await node.pass(60_000);
    const [plans, writes] = [node.plans.length, writesOf(node)];
    await node.pass(HALF_AN_HOUR_MS);
    expect(writesOf(node)).toEqual(writes);
    // by time alone it is looked at a few times a minute
    expect(node.plans.length - plans).toBeLessThan(200);
    await node.remove("p0");
    await node.pass(31_000);
    expect(served(node, ["late"])).toBe(1);
  });

  it("oth-13: a pod that never asks is no demand without end", async () => {
    await using node = await PoolNode.start({ settings: { ...SINGLES, spare: 4 } });
    await node.add(...names(5));
    await node.pass(1_000);
    node.pending = 1;
    node.reconciler.kick();
    await node.pass(60_000);
    const before = [node.calls("create"), node.calls("assign"), node.held().flat().length];
    for (let round = 0; round < 20; round += 1) {
      node.reconciler.kickFresh();
      await node.pass(10_000);
    }
    expect([node.calls("create"), node.calls("assign"), node.held().flat().length]).toEqual(before);
  });

  it("oth-13: a pod that nobody asks for within ten minutes is waited for no more", () => {
    const demand = new Demand();
    const pod = { uid: "u-5", namespace: "demo", name: "lost" } as BoundPod;
    const facts = { bound: [pod], served: [], waiting: [] };
    expect(demand.pending(facts, 0)).toBe(1);
    expect(demand.pending(facts, 600_000)).toBe(0);
  });

  it("oth-14: what a slow creation brings is added: no pod's address changes", async () => {
    await using node = await PoolNode.start({ settings: SINGLES, cloud: { delayMs: 5_000 } });
    await node.pass(20_000);
    node.pending = 15;
    node.reconciler.kick();
    await node.pass(7_000);
    expect(node.calls("create")).toBeGreaterThan(0);
    await node.add("p0", "p1");
    const before = ["p0", "p1"].map((name) => node.addressesOf(name));
    expect(before.map(({ length }) => length)).toEqual([1, 1]);
    const interfaces = node.held().length;
    await node.pass(60_000);
    expect(node.held().length).toBeGreaterThan(interfaces);
    expect(["p0", "p1"].map((name) => node.addressesOf(name))).toEqual(before);
  });

  it("oth-16: interfaces outside the subnets that are chosen now go on giving addresses", async () => {
    await using node = await PoolNode.start({ settings: SINGLES });
    await node.add(...names(20));
    await node.pass(5_000);
    await node.remove(...names(14, 6));
    const ids = ["subnet-elsewhere" as SubnetId];
    node.settings = { ...node.settings, maxEni: 3, subnets: { by: "ids", ids } };
    node.reconciler.kick();
    await node.pass(35_000);
    await node.add(...names(20, 40));
    await node.pass(5_000);
    expect(served(node, names(20, 40))).toBe(20);
    expect(node.failures).toEqual([]);
  });
});

describe("giving back", () => {
  it("aws-67: pods that come at any moment of a release have addresses that the cloud keeps", async () => {
    await using node = await PoolNode.start({
      settings: { ...SINGLES, releaseAfterMs: 1_000 },
      cloud: { delayMs: 2_000 },
    });
    await node.pass(10_000);
    let releases = 0;
    for (let round = 0; round < 40; round += 1) {
      const pods = names(8, round * 10);
      await node.add(...pods);
      await node.pass(10_000);
      expect(served(node, pods)).toBe(8);
      const there = new Set(node.inCloud().flat());
      const given = pods.flatMap((name) => node.addressesOf(name)).map((address) => `${address}/32`);
      expect(given.filter((unit) => !there.has(unit))).toEqual([]);
      releases = node.calls("release");
      await node.remove(...pods);
      // each round begins at another moment of the release
      await node.pass(40_000 + round * 700);
    }
    expect(releases).toBeGreaterThan(5);
  });

  it("aws-68: while a release takes a minute new pods get other addresses, and what comes back is given", async () => {
    await using node = await PoolNode.start({ settings: { ...SINGLES, releaseAfterMs: 1_000 } });
    await node.add(...names(7));
    await node.pass(2_000);
    await node.remove(...names(7));
    node.cloud.delayMs = 60_000;
    let waited = 0;
    for (; node.routes("prohibit").length === 0 && waited < 300_000; waited += 1_000) await node.pass(1_000);
    const leaving = node.routes("prohibit");
    expect(leaving.length).toBeGreaterThan(2);
    node.cloud.delayMs = 0;
    await node.add(...names(4, 20));
    await node.pass(2_000);
    const soon = names(4, 20).flatMap((name) => node.addressesOf(name));
    expect(leaving.filter((unit) => soon.includes(unit.slice(0, -3)))).toEqual([]);
    await node.pass(120_000);
    expect(served(node, names(4, 20))).toBe(4);
    expect(new Set(node.held().flat())).toEqual(new Set(node.inCloud().flat()));
  });

  it("aws-58: a list that is as long, with other addresses, takes none from a pod, and gives none that may be another's", async () => {
    await using node = await PoolNode.start({ settings: SINGLES });
    await node.add("p0", "p1");
    await node.pass(120_000);
    const before = ["p0", "p1"].map((name) => node.addressesOf(name));
    const [truth] = node.cloud.now();
    if (truth === undefined) throw new Error("no primary");
    const [kept = truth.units[0], ...others] = truth.units;
    if (kept === undefined) throw new Error("no units");
    const wrong = others.map((_, index) => Cidr.parse(`10.0.0.${200 + index}/32`));
    node.cloud.put({ ...truth, units: [kept, ...wrong] });
    node.reconciler.kickFresh();
    await node.pass(300_000);
    expect(["p0", "p1"].map((name) => node.addressesOf(name))).toEqual(before);
    expect([node.calls("release"), node.calls("delete")]).toEqual([0, 0]);
    await node.add("p2", "p3");
    await node.pass(5_000);
    expect(served(node, names(4))).toBe(4);
    const given = names(4, 0)
      .slice(2)
      .flatMap((name) => node.addressesOf(name));
    const doubtful = others.map((unit) => unit.first.toString());
    expect(given.filter((address) => doubtful.includes(address))).toEqual([]);
  });

  it("aws-69: nothing is given back while the cloud does not answer, however long it is idle", async () => {
    await using node = await PoolNode.start({ settings: { ...SINGLES, releaseAfterMs: 1_000 } });
    await node.add(...names(7));
    await node.pass(30_000);
    node.cloud.failNext("describe", { code: "unavailable", times: 10_000 });
    node.reconciler.kickFresh();
    await node.remove(...names(6));
    await node.pass(600_000);
    expect([node.calls("release"), served(node, ["p6"])]).toEqual([0, 1]);
    node.cloud.clearFaults();
    await node.pass(HALF_AN_HOUR_MS);
    expect(node.calls("release")).toBeGreaterThan(0);
    expect(new Set(node.held().flat())).toEqual(new Set(node.inCloud().flat()));
  });

  it("aws-70: single addresses and blocks serve side by side, and blocks that have emptied go back", async () => {
    await using node = await PoolNode.start({ settings: { unit: "block" } });
    await node.add(...names(70));
    await node.pass(5_000);
    const kept = ["p0", "p17", "p33", "p49", "p65"];
    await node.remove(...names(70).filter((name) => !kept.includes(name)));
    node.settings = { ...node.settings, unit: "single" };
    await node.add(...names(70, 100));
    await node.pass(60_000);
    expect(served(node, names(70, 100))).toBe(70);
    await node.remove(...names(70, 100));
    await node.pass(HALF_AN_HOUR_MS);
    const blocks = () =>
      node
        .held()
        .flat()
        .filter((unit) => unit.endsWith("/28")).length;
    expect(blocks()).toBeLessThanOrEqual(5);
    // pods come and go one by one: those that come lie where others are
    for (const [index, name] of kept.entries()) {
      await node.add(`next${index}`);
      await node.remove(name);
      await node.pass(60_000);
    }
    await node.pass(HALF_AN_HOUR_MS);
    expect(blocks()).toBeLessThanOrEqual(2);
  });
});
