/** The pool of a whole node, on the cloud in memory: what comes and goes, and what the cloud is asked for it. */
import { describe, expect, it } from "vitest";
import type { SubnetId } from "../common/ids.ts";
import { Cidr } from "../common/ip.ts";
import { PoolNode, type PoolNodeOptions } from "../test/pool-node.ts";

const SINGLES = { unit: "single" } as const;
const names = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `p${from + index}`);

async function nodeOf(options: PoolNodeOptions = {}): Promise<PoolNode> {
  return PoolNode.start(options);
}

describe("growth", () => {
  it("has the spare at once, by one call", async () => {
    await using node = await nodeOf();
    expect([node.held().flat().length, node.calls("assign")]).toEqual([2, 1]);
    expect(node.routes("blackhole")).toHaveLength(2);
  });

  it("has addresses for bound pods before they ask", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    node.pending = 5;
    node.reconciler.kick();
    await node.pass(300);
    expect([node.held().flat().length, node.calls("assign")]).toEqual([7, 2]);
    await node.add(...names(5));
    expect(names(5).every((name) => node.addressesOf(name).length === 1)).toBe(true);
  });

  it("plans what comes while a call runs, and asks for it behind that", async () => {
    await using node = await nodeOf({ cloud: { delayMs: 1_000 } });
    await node.pass(5_000);
    const before = node.calls("assign");
    node.pending = 3;
    node.reconciler.kick();
    await node.pass(500);
    node.pending = 6;
    node.reconciler.kick();
    await node.pass(3_000);
    expect([node.held().flat().length, node.calls("assign") - before]).toEqual([8, 2]);
  });

  it("fills interfaces side by side, and creates those that it needs at the same time with their addresses", async () => {
    await using node = await nodeOf({ settings: SINGLES, cloud: { delayMs: 1_000 } });
    await node.pass(5_000);
    node.pending = 22;
    node.reconciler.kick();
    await node.pass(3_000);
    expect(node.inCloud().map((units) => units.length)).toEqual([9, 9, 6]);
    expect([node.calls("create"), node.calls("attach")]).toEqual([2, 2]);
    await node.pass(500);
    expect(node.held().map((units) => units.length)).toEqual([9, 9, 6]);
  });

  it("knows what it was given while the cloud was answering another question", async () => {
    await using node = await nodeOf({ settings: SINGLES, cloud: { delayMs: 1_000 } });
    await node.pass(20_000);
    node.cloud.lagMs = 5_000;
    node.pending = 4;
    node.reconciler.kick();
    await node.pass(500);
    // asked before the write is done, and shows what was before it
    node.reconciler.kickFresh();
    await node.pass(2_000);
    const held = node.held().flat();
    expect(held.length).toBeGreaterThanOrEqual(6);
    expect(node.reconciler.cloudView?.interfaces[0]?.units.map(String).sort()).toEqual([...held].sort());
  });

  it("asks for addresses with no describe between, and looks at the metadata instead of the cloud", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    const before = node.calls("describe");
    node.pending = 20;
    node.reconciler.kick();
    await node.pass(600_000);
    expect(node.calls("describe")).toBe(before);
    expect(node.calls("glance")).toBeGreaterThan(8);
  });

  it("sees within two minutes what somebody else changed", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    await node.pass(120_000);
    const [primary] = node.cloud.now();
    if (primary === undefined) throw new Error("no primary");
    node.cloud.put({ ...primary, units: [] });
    await node.pass(120_000);
    expect(node.inCloud().flat()).toHaveLength(2);
    expect(node.held().flat()).toEqual(node.inCloud().flat());
  });

  it("holds no more than the pods that kubelet accepts", async () => {
    await using node = await nodeOf();
    node.maxPods = 5;
    await node.add(...names(4));
    await node.pass(1_000);
    expect(node.held().flat()).toHaveLength(5);
  });
});

describe("an ADD on an empty pool", () => {
  it("is served in order of arrival as soon as there are addresses", async () => {
    await using node = await nodeOf({ settings: { ...SINGLES, spare: 0 }, cloud: { delayMs: 500 } });
    await node.pass(3_000);
    await node.add("a", "b", "c");
    expect([node.addressesOf("a"), node.parts.book.waiting().length]).toEqual([[], 3]);
    await node.pass(2_000);
    expect(["a", "b", "c"].map((name) => node.addressesOf(name).length)).toEqual([1, 1, 1]);
  });

  it.each([
    ["the instance", { cards: [{ index: 0, interfacesMax: 1 }] }, "the instance is full: 1 of 1 interfaces"],
    [
      "a cloud that adds none",
      { canAddInterfaces: false },
      "this cloud cannot add an interface to a running",
    ],
  ])("names the limit of %s", async (_, capabilities, limit) => {
    await using node = await nodeOf({ settings: SINGLES, capabilities });
    await node.add(...names(10));
    await node.pass(1_000);
    expect(node.reconciler.limit()).toContain(limit);
    expect(node.parts.book.waiting()).toHaveLength(1);
  });
});

describe("what the cloud refuses", () => {
  it("more than is left of a subnet is asked for less at a time: the last pods that fit are served", async () => {
    const subnet = {
      id: "subnet-a" as SubnetId,
      zone: "fake-1a",
      ipv4: Cidr.parse("10.0.0.0/28"),
      ipv6: Cidr.parse("2001:db8:0:a::/64"),
    };
    await using node = await nodeOf({ settings: SINGLES, cloud: { subnets: [subnet] } });
    // nine fit the interface, and one address is left that is too few for another interface
    await node.add(...names(9));
    await node.pass(600_000);
    expect(names(9).filter((name) => node.addressesOf(name).length === 0)).toEqual([]);
    await node.add("one-too-many");
    await node.pass(5_000);
    expect(node.reconciler.limit()).toContain("subnet-a");
  });

  it.each(["throttled", "invalid", "unavailable"] as const)(
    "a release that failed as %s, and has acted all the same, gives no address that the cloud has taken",
    async (code) => {
      await using node = await nodeOf({ settings: SINGLES });
      await node.add(...names(7));
      await node.pass(2_000);
      node.cloud.failNext("release", { code, when: "after" });
      await node.remove(...names(7));
      for (let waited = 0; waited < 200_000; waited += 5_000) {
        await node.pass(5_000);
        const there = node.inCloud().flat();
        expect(
          node
            .held()
            .flat()
            .filter((unit) => !there.includes(unit)),
        ).toEqual([]);
      }
    },
  );

  it("throttling is waited for with growing pauses, and named", async () => {
    await using node = await nodeOf();
    const before = node.calls("assign");
    node.cloud.failNext("assign", { code: "throttled", times: 1_000 });
    await node.add(...names(3));
    await node.pass(600_000);
    const tries = node.calls("assign") - before;
    expect(tries).toBeGreaterThan(8);
    expect(tries).toBeLessThan(25);
    expect(node.reconciler.limit()).toContain("assign");
    node.cloud.clearFaults();
    await node.pass(80_000);
    expect(node.addressesOf("p2")).toHaveLength(1);
  });

  it("a lost reply is not repeated blindly: the cloud is asked first", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    const before = node.calls("describe");
    node.cloud.failNext("assign", { code: "unavailable", when: "after" });
    node.pending = 4;
    node.reconciler.kick();
    await node.pass(5_000);
    expect(node.calls("describe")).toBe(before + 1);
    expect(node.held().flat()).toHaveLength(6);
    expect(node.inCloud().flat()).toHaveLength(6);
  });

  it("what a call has added before it failed is held at once, with no question between", async () => {
    await using node = await nodeOf({ settings: SINGLES, families: [4, 6], cloud: { delayMs: 1_000 } });
    await node.pass(10_000);
    const before = node.calls("describe");
    node.pending = 4;
    node.reconciler.kick();
    await node.pass(1_500);
    node.cloud.failNext("assign", { code: "throttled", times: 1_000 });
    await node.pass(1_000);
    const ipv6 = node
      .held()
      .flat()
      .filter((unit) => unit.includes(":"));
    expect([node.held().flat().length, ipv6.length, node.calls("describe") - before]).toEqual([8, 2, 0]);
    expect(node.inCloud().flat()).toHaveLength(8);
  });

  it("a role without the permission is asked once a minute, not more", async () => {
    await using node = await nodeOf();
    const before = node.calls("assign");
    node.cloud.failNext("assign", { code: "unauthorized", times: 1_000 });
    node.pending = 4;
    node.reconciler.kick();
    await node.pass(600_000);
    expect(node.calls("assign") - before).toBeLessThanOrEqual(14);
  });

  it("nothing is changed while the cloud does not say what there is", async () => {
    await using node = await nodeOf();
    await node.pass(30_000);
    node.cloud.failNext("describe", { code: "unavailable", times: 1_000 });
    node.reconciler.kickFresh();
    await node.pass(1_000);
    const before = node.calls("assign");
    await node.add(...names(4));
    await node.pass(30_000);
    expect([node.calls("assign"), node.addressesOf("p1").length, node.addressesOf("p3")]).toEqual([
      before,
      1,
      [],
    ]);
  });
});

describe("shrinking", () => {
  it("gives back what has been idle, with a route that refuses it meanwhile, and forgets it when the cloud has it", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    await node.add(...names(7));
    await node.pass(2_000);
    expect(node.held().flat()).toHaveLength(9);
    await node.remove(...names(7));
    await node.pass(40_000);
    expect(node.held().flat()).toHaveLength(9);
    await node.pass(80_000);
    expect([node.held().flat().length, node.inCloud().flat().length]).toEqual([2, 2]);
    expect(node.calls("release")).toBe(1);
    expect(node.routes("prohibit")).toHaveLength(7);
    await node.pass(90_000);
    expect([node.routes("prohibit"), node.routes("blackhole").length]).toEqual([[], 2]);
  });

  it("deletes an interface that nobody uses, and nothing of it is left", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    await node.add(...names(12));
    await node.pass(2_000);
    expect(node.held()).toHaveLength(2);
    await node.remove(...names(12));
    await node.pass(600_000);
    expect(node.inCloud().map((units) => units.length)).toEqual([2]);
    expect(node.cloud.now()).toHaveLength(1);
    expect([node.parts.uplinks.list().length, node.routes("blackhole").length]).toEqual([1, 2]);
    expect(node.kernel.nft.list("uplink")).toHaveLength(2);
  });

  it("keeps an interface that the cloud does not delete, and gives its addresses again", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    await node.add(...names(12));
    await node.pass(2_000);
    node.cloud.failNext("delete", { code: "unauthorized", times: 1_000 });
    node.cloud.failNext("detach", { code: "unauthorized", times: 1_000 });
    await node.remove(...names(12));
    await node.pass(600_000);
    expect(node.parts.uplinks.list()).toHaveLength(2);
    await node.add(...names(12, 20));
    await node.pass(5_000);
    expect(names(12, 20).every((name) => node.addressesOf(name).length === 1)).toBe(true);
    expect(node.held()).toHaveLength(2);
  });

  it("keeps the pods, whatever goes around them", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    await node.add(...names(12));
    await node.pass(2_000);
    const kept = ["p2", "p11"];
    const before = kept.map((name) => node.addressesOf(name));
    await node.remove(...names(12).filter((name) => !kept.includes(name)));
    await node.pass(900_000);
    expect(kept.map((name) => node.addressesOf(name))).toEqual(before);
    for (const [address] of before) expect(node.inCloud().flat()).toContain(`${address}/32`);
  });

  it("gives an address that the cloud gives back at once", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    await node.add(...names(7));
    await node.pass(2_000);
    await node.remove(...names(7));
    await node.pass(110_000);
    expect(node.routes("prohibit").length).toBeGreaterThan(0);
    await node.add(...names(9, 20));
    await node.pass(2_000);
    expect(names(9, 20).every((name) => node.addressesOf(name).length === 1)).toBe(true);
    expect(new Set(node.held().flat())).toEqual(new Set(node.inCloud().flat()));
  });

  it.each(["no-release", "none"] as const)("stops at the brake cloud-writes=%s", async (cloudWrites) => {
    await using node = await nodeOf({ settings: SINGLES });
    await node.add(...names(7));
    await node.pass(2_000);
    node.settings = { ...node.settings, cloudWrites };
    await node.remove(...names(7));
    await node.pass(900_000);
    expect([node.held().flat().length, node.calls("release")]).toEqual([9, 0]);
    const before = node.calls("assign");
    await node.add(...names(12));
    await node.pass(5_000);
    expect(node.calls("assign") + node.calls("create") > before).toBe(cloudWrites === "no-release");
  });

  it("tries again what failed, and keeps what the cloud surely did not take", async () => {
    await using node = await nodeOf({ settings: SINGLES });
    await node.add(...names(7));
    await node.pass(2_000);
    node.cloud.failNext("release", { code: "throttled" });
    node.cloud.failNext("release", { code: "unavailable", when: "after" });
    await node.remove(...names(7));
    await node.pass(400_000);
    expect([node.held().flat().length, node.inCloud().flat().length]).toEqual([2, 2]);
    expect(node.routes("prohibit")).toEqual([]);
  });
});

describe("blocks", () => {
  it("are filled one by one, the fullest first, and go back whole", async () => {
    await using node = await nodeOf({ settings: { unit: "block" } });
    await node.add(...names(30));
    await node.pass(2_000);
    expect(node.held().flat()).toHaveLength(2);
    await node.remove(...names(29));
    await node.pass(40_000);
    await node.add("x");
    const [kept, fresh] = [node.addressesOf("p29"), node.addressesOf("x")];
    await node.pass(600_000);
    expect(node.held().flat()).toHaveLength(1);
    expect([node.addressesOf("p29"), node.addressesOf("x")]).toEqual([kept, fresh]);
  });

  it("are taken instead of an interface, and single addresses for the rest", async () => {
    await using node = await nodeOf();
    node.pending = 20;
    node.reconciler.kick();
    await node.pass(1_000);
    const units = node.held().flat();
    expect(units.filter((unit) => unit.endsWith("/28"))).toHaveLength(1);
    expect(node.calls("create")).toBe(0);
  });

  it("turned off on a running node keep their pods, and go when these have gone", async () => {
    await using node = await nodeOf({ settings: { unit: "block" } });
    await node.add(...names(3));
    const before = names(3).map((name) => node.addressesOf(name));
    node.settings = { ...node.settings, ...SINGLES };
    await node.add(...names(20, 10));
    await node.pass(2_000);
    expect(node.addressesOf("p29")).toHaveLength(1);
    expect(names(3).map((name) => node.addressesOf(name))).toEqual(before);
  });
});

it("both families come and go together", async () => {
  await using node = await nodeOf({ families: [4, 6] });
  await node.add(...names(3));
  await node.pass(1_000);
  expect(node.addressesOf("p2")).toHaveLength(2);
  expect(
    node
      .held()
      .flat()
      .filter((unit) => unit.includes(":")),
  ).toHaveLength(1);
});

describe("addresses that were there before us", () => {
  /** The first of the primary's, as the cloud made it. */
  const existing = (node: PoolNode) => node.foreign();
  const heldOf = (units: readonly string[], node: PoolNode) =>
    node
      .held()
      .flat()
      .filter((unit) => units.includes(unit));

  it("stay out of the pool, and are never given back", async () => {
    await using node = await nodeOf({ settings: SINGLES, secondary: 3 });
    await node.add(...names(2));
    await node.remove(...names(2));
    await node.pass(900_000);
    expect(heldOf(existing(node), node)).toEqual([]);
    expect(node.inCloud().flat()).toEqual(expect.arrayContaining(existing(node)));
  });

  it("are given to pods when the setting says so, within two seconds, and stay in the cloud when nobody needs them", async () => {
    await using node = await nodeOf({ settings: SINGLES, secondary: 3 });
    node.settings = { ...node.settings, useExisting: true };
    node.reconciler.kick();
    await node.pass(2_000);
    expect(node.held().flat()).toEqual(expect.arrayContaining(existing(node)));
    await node.add(...names(3));
    expect(names(3).every((name) => node.addressesOf(name).length === 1)).toBe(true);
    expect(node.calls("assign")).toBe(1);
    await node.remove(...names(3));
    await node.pass(900_000);
    expect(node.inCloud().flat()).toEqual(expect.arrayContaining(existing(node)));
    expect(node.held().flat()).toEqual(expect.arrayContaining(existing(node)));
  });

  it("keep their pods when the setting is taken back, give no more, and are forgotten with the last one", async () => {
    await using node = await nodeOf({ settings: { ...SINGLES, useExisting: true }, secondary: 3 });
    await node.add(...names(5));
    const before = names(5).map((name) => node.addressesOf(name));
    const used = existing(node).filter((unit) => before.flat().includes(unit.slice(0, -3)));
    expect(used.length).toBeGreaterThan(0);
    node.settings = { ...node.settings, useExisting: false };
    node.reconciler.kick();
    await node.pass(60_000);
    expect(names(5).map((name) => node.addressesOf(name))).toEqual(before);
    expect(node.held().flat()).toEqual(expect.arrayContaining(used));
    await node.add(...names(3, 10));
    const fresh = names(3, 10).flatMap((name) => node.addressesOf(name));
    expect(existing(node).filter((unit) => fresh.includes(unit.slice(0, -3)))).toEqual([]);
    await node.remove(...names(5));
    await node.pass(60_000);
    expect(heldOf(existing(node), node)).toEqual([]);
    expect(node.routes("blackhole").filter((unit) => existing(node).includes(unit))).toEqual([]);
    expect(node.inCloud().flat()).toEqual(expect.arrayContaining(existing(node)));
  });
});
