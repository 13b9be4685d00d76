import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId } from "../../common/ids.ts";
import { createInterface } from "../../test/cloudsim/aws/model/create-interface.ts";
import { SUBNET_A } from "../../test/cloudsim/aws/testing.ts";
import { AwsLab, CLUSTER } from "../../test/conformance/aws.ts";
import type { CreateInterface } from "../provider.ts";
import { CALL_COSTS, type CallCost, type CostedOperation } from "./call-costs.ts";
import { LEAK_AFTER_MS } from "./leaks.ts";
import { TAG } from "./ownership.ts";
import type { AwsNetwork } from "./provider.ts";

let lab: AwsLab | undefined;
afterEach(async () => {
  await lab?.close();
  lab = undefined;
});

const soon = () => AbortSignal.timeout(20_000);
const four = (prefixLength: number, count: number) => ({ family: 4, prefixLength, count }) as const;
const six = { family: 6, prefixLength: 80, count: 1 } as const;
const request = (changes: Partial<CreateInterface> = {}): CreateInterface => ({
  poolKey: DEFAULT_POOL,
  subnets: { by: "node" },
  avoid: [],
  securityGroupIds: [],
  cardIndex: 0,
  units: [four(28, 2), six],
  token: "one",
  ...changes,
});

type Life = {
  readonly lab: AwsLab;
  readonly network: AwsNetwork;
  readonly primary: InterfaceId;
  /** An interface of ours with units. */
  readonly made: InterfaceId;
};

/** A process that has been running for a while. */
async function settled(type = "m5.4xlarge"): Promise<Life> {
  lab = await AwsLab.start({ launch: { type } });
  const network = lab.open();
  await network.capabilities(soon());
  const { interfaces } = await network.describe(soon());
  const primary = interfaces.find((one) => one.isPrimary)?.id ?? ("none" as never);
  await network.assignUnits(primary, [four(32, 1)], soon());
  const made = await network.createInterface(request({ token: "settled" }), soon());
  await expect
    .poll(() => network.describe(soon()).then((view) => view.interfaces.map((one) => one.state)))
    .toEqual(["attached", "attached"]);
  return { lab, network, primary, made: made.id };
}

/** What is done, after `settled()`, and what of it is counted: all that comes after `counted`. */
const OPERATIONS: Readonly<Record<CostedOperation, (life: Life, counted: () => void) => Promise<unknown>>> = {
  start: async ({ lab }, counted) => {
    const network = lab.open();
    counted();
    await network.identify(soon());
    await network.capabilities(soon());
    await network.describe(soon());
  },
  unknownType: async ({ lab }, counted) => {
    const instance = await lab.ec2.addInstance({ subnetId: SUBNET_A, type: "c6in.32xlarge" });
    counted();
    await lab.open({}, instance).capabilities(soon());
  },
  describe: async ({ network }, counted) => {
    counted();
    await network.describe(soon());
  },
  describeRefresh: async ({ lab, network }, counted) => {
    lab.clock.shift(40 * 60_000);
    await network.describe(soon());
    lab.clock.shift(40 * 60_000);
    counted();
    await network.describe(soon());
  },
  assign: async ({ network, primary }, counted) => {
    counted();
    await network.assignUnits(primary, [four(28, 3)], soon());
  },
  assignMixed: async ({ network, primary }, counted) => {
    counted();
    await network.assignUnits(primary, [four(28, 1), four(32, 2), six], soon());
  },
  assignFirst: async ({ lab }, counted) => {
    const instance = await lab.ec2.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    const network = lab.open({}, instance);
    const { interfaces } = await network.describe(soon());
    counted();
    await network.assignUnits(interfaces[0]?.id ?? ("none" as never), [four(32, 3)], soon());
  },
  create: async ({ network }, counted) => {
    counted();
    await network.createInterface(request(), soon());
  },
  createFirst: async ({ lab }, counted) => {
    const network = lab.open();
    await network.describe(soon());
    counted();
    await network.createInterface(request(), soon());
  },
  createInSibling: async ({ lab, network }, counted) => {
    lab.exhaust(SUBNET_A);
    counted();
    await network.createInterface(request({ units: [four(32, 2)] }), soon());
  },
  release: async ({ network, primary }, counted) => {
    const units = await network.assignUnits(primary, [four(32, 4)], soon());
    counted();
    await network.releaseUnits(primary, units, soon());
  },
  deleteFresh: async ({ network, made }, counted) => {
    counted();
    await network.deleteInterface(made, soon());
  },
  delete: async ({ lab, network, made }, counted) => {
    lab.clock.shift(61_000);
    counted();
    await network.deleteInterface(made, soon());
  },
  sweep: async ({ network }, counted) => {
    counted();
    await network.removeLeaks(soon());
  },
  sweepLeak: async ({ lab, network }, counted) => {
    const tags = new Map([
      [TAG.cluster, CLUSTER],
      [TAG.instance, "i-0123456789abcdef0"],
    ]);
    createInterface(lab.ec2.account, { subnetId: SUBNET_A, tags });
    await network.removeLeaks(soon());
    lab.clock.shift(LEAK_AFTER_MS);
    counted();
    expect(await network.removeLeaks(soon())).toHaveLength(1);
  },
};

const NAMES = Object.keys(CALL_COSTS) as CostedOperation[];

describe("CALL_COSTS", () => {
  it.each(NAMES)("is what the embedded EC2 counts: %s", async (name) => {
    const life = await settled();
    const { calls } = life.lab.ec2;
    await OPERATIONS[name](life, () => calls.clear());
    const counted: { reads: Record<string, number>; writes: Record<string, number> } = {
      reads: {},
      writes: {},
    };
    for (const { action } of calls.all()) {
      const side = action.startsWith("Describe") ? counted.reads : counted.writes;
      side[action] = (side[action] ?? 0) + 1;
    }
    expect(counted).toEqual(CALL_COSTS[name]);
  });

  it.each(NAMES)("is what docs/clouds/aws.md says: %s", (name) => {
    const page = readFileSync(new URL("../../docs/clouds/aws.md", import.meta.url), "utf8");
    const rows = page.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
    const { reads, writes }: CallCost = CALL_COSTS[name];
    expect(rows).toContainEqual(["", `\`${name}\``, expect.any(String), inWords(reads), inWords(writes), ""]);
  });
});

/** `DescribeNetworkInterfaces, 2 DescribeSubnets`, or `none`. */
function inWords(calls: Readonly<Record<string, number>>): string {
  const words = Object.entries(calls).map(([action, count]) => (count === 1 ? action : `${count} ${action}`));
  return words.join(", ") || "none";
}
