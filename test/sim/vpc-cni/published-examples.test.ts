/**
 * The baseline against what amazon-vpc-cni publishes of itself: the tables of its docs/eni-and-ip-target.md and docs/prefix-and-ip-target.md, and steps of its own
 * tests (TestWarmENIInteractions and TestGetWarmIPTargetState of aws/amazon-vpc-cni-k8s).
 */
import { describe, expect, it } from "vitest";
import { Account, type Action } from "../account.ts";
import { Ec2 } from "../ec2.ts";
import { instanceType } from "../instance-types.ts";
import { Random } from "../random.ts";
import { SimSubnet } from "../subnet.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { VpcCniCalls } from "./calls.ts";
import { Datastore } from "./datastore.ts";
import { VpcCniNode } from "./ipamd.ts";
import { ipTargetState, type VpcCniSettings } from "./targets.ts";

const ENI_1: VpcCniSettings = { warmEni: 1, warmIp: 0, minimumIp: 0 };
const ip = (warmIp: number, minimumIp: number): VpcCniSettings => ({ warmEni: 1, warmIp, minimumIp });
const prefix = (warmPrefix: number, warmIp = 0, minimumIp = 0): VpcCniSettings => ({
  warmEni: 1,
  warmIp,
  minimumIp,
  warmPrefix,
});

function setUp(typeName: string, settings: VpcCniSettings, maxPods: number) {
  const clock = new VirtualClock();
  const random = new Random(typeName, JSON.stringify(settings));
  const trace: Action[] = [];
  const account = new Account({ clock, random, latencyScale: 1, budgetScale: 1 });
  account.begin(Number.POSITIVE_INFINITY);
  const ec2 = new Ec2(() => undefined);
  const subnet = new SimSubnet({ id: "subnet-a", first: 10 << 24, prefixLength: 16, random });
  const type = instanceType(typeName);
  const instance = ec2.launch(0, type, subnet);
  const call = account.call.bind(account);
  account.call = (action, retries, act) => {
    trace.push(action);
    return call(action, retries, act);
  };
  const calls = new VpcCniCalls({ account, ec2, clock, random, instance });
  const node = new VpcCniNode({ settings, type, maxPods, calls, clock, random });
  return { clock, node, instance, trace };
}

/** Adds pods one by one, each when the pool has come to rest behind the one before. */
async function fill(world: ReturnType<typeof setUp>, from: number, to: number): Promise<void> {
  const { clock, node } = world;
  for (let pod = from; pod < to; pod += 1) {
    await node.add({ id: pod, node: 0 });
    await clock.run(clock.now() + 40_000);
  }
}

async function started(typeName: string, settings: VpcCniSettings, maxPods: number) {
  const world = setUp(typeName, settings, maxPods);
  const ready = world.node.start();
  await world.clock.run(60_000);
  await ready;
  return world;
}

type EniRow = readonly [
  pods: number,
  enis: number,
  secondary: number,
  unused: number,
  perEni: readonly number[],
];

/** "Attached ENIs", "Attached Secondary IPs", "Unused IPs", "IPs per ENI" (in any order). */
const ENI_TABLE: readonly (readonly [string, VpcCniSettings, number, readonly EniRow[]])[] = [
  [
    "t3.small",
    ENI_1,
    11,
    [
      [0, 1, 3, 3, [3]],
      [5, 3, 9, 4, [3, 3, 3]],
      [9, 3, 9, 0, [3, 3, 3]],
    ],
  ],
  [
    "t3.small",
    ip(1, 1),
    11,
    [
      [0, 1, 1, 1, [1]],
      [5, 2, 6, 1, [3, 3]],
      [9, 3, 9, 0, [3, 3, 3]],
    ],
  ],
  [
    "t3.small",
    ip(2, 5),
    11,
    [
      [0, 2, 5, 5, [3, 2]],
      [5, 3, 7, 2, [3, 3, 1]],
      [9, 3, 9, 0, [3, 3, 3]],
    ],
  ],
  [
    "p3dn.24xlarge",
    ENI_1,
    737,
    [
      [0, 1, 49, 49, [49]],
      [3, 2, 98, 95, [49, 49]],
      [95, 3, 147, 52, [49, 49, 49]],
    ],
  ],
  [
    "p3dn.24xlarge",
    ip(5, 10),
    737,
    [
      [0, 1, 10, 10, [10]],
      [7, 1, 12, 5, [12]],
      [15, 1, 20, 5, [20]],
      [45, 2, 50, 5, [49, 1]],
    ],
  ],
];

type PrefixRow = readonly [pods: number, prefixes: number, unused: number];

/**
 * "Attached Prefixes" and "Unused IPs". One row of the page contradicts itself and its own text: WARM_IP_TARGET=7, MINIMUM_IP_TARGET=20 without pods, where it says
 * 1 prefix, "0,0" pods per prefix and 2 prefixes per ENI; a minimum of 20 is one of 32, so it is 2.
 */
const PREFIX_TABLE: readonly (readonly [string, VpcCniSettings, readonly PrefixRow[]])[] = [
  [
    "t3.small",
    prefix(1),
    [
      [0, 1, 16],
      [5, 2, 27],
      [16, 2, 16],
      [17, 3, 31],
      [58, 5, 22],
    ],
  ],
  [
    "t3.small",
    prefix(0, 1, 1),
    [
      [0, 1, 16],
      [5, 1, 11],
      [17, 2, 15],
      [58, 4, 6],
    ],
  ],
  [
    "t3.small",
    prefix(0, 7, 20),
    [
      [0, 2, 32],
      [5, 2, 27],
      [17, 2, 15],
      [58, 5, 22],
    ],
  ],
  [
    "p3dn.24xlarge",
    prefix(1),
    [
      [0, 1, 16],
      [3, 2, 29],
      [95, 7, 17],
    ],
  ],
  [
    "p3dn.24xlarge",
    prefix(0, 5, 10),
    [
      [0, 1, 16],
      [7, 1, 9],
      [15, 2, 17],
      [45, 4, 19],
    ],
  ],
];

describe("the published tables", () => {
  it.each(ENI_TABLE)("%s %o", async (typeName, settings, maxPods, rows) => {
    const world = await started(typeName, settings, maxPods);
    let pods = 0;
    const trace: EniRow[] = [];
    for (const [count] of rows) {
      await fill(world, pods, count);
      pods = count;
      const perEni = [...world.instance.interfaces].map(({ singles }) => singles.size).sort((a, b) => b - a);
      const secondary = perEni.reduce((sum, one) => sum + one, 0);
      trace.push([count, perEni.length, secondary, secondary - count, perEni]);
    }
    expect(trace).toEqual(rows);
  });

  it.each(PREFIX_TABLE)("with prefixes: %s %o", async (typeName, settings, rows) => {
    const world = await started(typeName, settings, 110);
    let pods = 0;
    const trace: PrefixRow[] = [];
    for (const [count] of rows) {
      await fill(world, pods, count);
      pods = count;
      const prefixes = [...world.instance.interfaces].reduce((sum, { blocks }) => sum + blocks.size, 0);
      trace.push([count, prefixes, prefixes * 16 - count]);
    }
    expect(trace).toEqual(rows);
  });
});

describe("its calls of EC2", () => {
  const NEW_ENI: readonly Action[] = [
    "CreateNetworkInterface",
    "DescribeInstances",
    "AttachNetworkInterface",
    "ModifyNetworkInterfaceAttribute",
  ];

  it("at start are a look, a tag and one growth, and a new interface takes four", async () => {
    const world = await started("t3.small", ip(2, 5), 11);
    expect(world.trace.slice(0, 7)).toEqual([
      "DescribeNetworkInterfaces",
      "CreateTags",
      "AssignPrivateIpAddresses",
      ...NEW_ENI,
    ]);
  });

  it("to grow come 2.5 s after its last step at the earliest, one interface for each step", async () => {
    const { clock, node, trace } = await started("t3.small", ENI_1, 11);
    trace.length = 0;
    for (const pod of [1, 2, 3]) await node.add({ id: pod, node: 0 });
    await expect(node.add({ id: 4, node: 0 })).rejects.toThrow("failed to assign an IP address to container");
    await clock.run(clock.now() + 5_000);
    expect(trace.filter((action) => action === "CreateNetworkInterface")).toHaveLength(1);
    await clock.run(clock.now() + 60_000);
    expect(trace.filter((action) => action !== "DescribeNetworkInterfaces")).toEqual(NEW_ENI);
  });

  it("give addresses back by the same rule as it holds them, at most every 30 s, cooling or not", async () => {
    const { clock, node, trace, instance } = await started("m5.large", ip(2, 1), 29);
    await fill({ clock, node, trace, instance }, 0, 6);
    trace.length = 0;
    for (const pod of [0, 1, 2, 3]) node.remove({ id: pod, node: 0 });
    await clock.run(clock.now() + 5_000);
    expect(trace).toEqual(["UnassignPrivateIpAddresses"]);
    node.remove({ id: 4, node: 0 });
    await clock.run(clock.now() + 24_000);
    expect(trace).toHaveLength(1);
    await clock.run(clock.now() + 15_000);
    expect(trace.filter((action) => action === "UnassignPrivateIpAddresses")).toHaveLength(2);
  });

  it("count a cooling address as available, which a pod cannot have", async () => {
    const { clock, node, trace } = await started("m5.large", ip(2, 1), 29);
    for (const pod of [0, 1]) await node.add({ id: pod, node: 0 });
    for (const pod of [0, 1]) node.remove({ id: pod, node: 0 });
    trace.length = 0;
    await expect(node.add({ id: 2, node: 0 })).rejects.toThrow();
    await clock.run(clock.now() + 20_000);
    // but for its hourly look for leaks
    expect(trace.filter((action) => action !== "DescribeNetworkInterfaces")).toEqual([]);
    await clock.run(clock.now() + 11_000);
    expect(await node.add({ id: 2, node: 0 })).toBeGreaterThan(0);
  });

  it("to delete an interface come when it is a minute old, without pods and without cooling addresses", async () => {
    const world = await started("t3.small", ENI_1, 11);
    const { clock, node, trace, instance } = world;
    await fill(world, 0, 4);
    expect(instance.interfaces.size).toBe(3);
    trace.length = 0;
    for (const pod of [0, 1, 2, 3]) node.remove({ id: pod, node: 0 });
    await clock.run(clock.now() + 10_000);
    const writes = () => trace.filter((action) => action !== "DescribeNetworkInterfaces");
    expect(writes()).toEqual([]);
    await clock.run(clock.now() + 60_000);
    expect(writes().slice(0, 2)).toEqual(["DetachNetworkInterface", "DeleteNetworkInterface"]);
    expect(instance.interfaces.size).toBe(1);
  });
});

describe("steps of its own tests", () => {
  it("TestWarmENIInteractions: which interface may be removed", () => {
    const store = new Datastore<string>(new Random("warm"));
    const add = (name: string, isPrimary: boolean, addresses: readonly number[]) => {
      const eni = store.addEni(name, isPrimary, -1_000_000);
      for (const address of addresses) store.addCidr(eni, address, false);
    };
    add("eni-1", true, [11, 12]);
    expect([store.assign(1, 0), store.assign(2, 0)].sort()).toEqual([11, 12]);
    add("eni-2", false, [21, 22]);
    add("eni-3", false, [31]);
    const remove = (warmIp: number, minimumIp: number) =>
      store.takeDeletable(ip(warmIp, minimumIp), 0)?.handle ?? "";
    expect(remove(3, 1)).toBe("");
    expect(remove(1, 5)).toBe("");
    expect(remove(2, 4)).toBe("eni-3");
    expect(remove(0, 3)).toBe("");
    expect(remove(0, 2)).toBe("eni-2");
  });

  it("TestGetWarmIPTargetState: what is short and what is over", () => {
    const state = (settings: VpcCniSettings, total: number, assigned: number) =>
      ipTargetState(settings, { total, assigned, prefixes: 0, freePrefixes: 0 });
    expect(state(ENI_1, 0, 0)).toBeUndefined();
    expect(state(ip(5, 0), 0, 0)).toEqual({ short: 5, over: 0 });
    expect(state(ip(5, 0), 2, 0)).toEqual({ short: 3, over: 0 });
    expect(state(ip(5, 0), 5, 0)).toEqual({ short: 0, over: 0 });
    expect(state(ip(5, 0), 5, 1)).toEqual({ short: 1, over: 0 });
    expect(state(ip(5, 0), 8, 1)).toEqual({ short: 0, over: 2 });
  });
});
