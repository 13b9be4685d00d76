import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL, type SubnetId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { freeIpv4Count } from "../../test/cloudsim/aws/model/subnet-addresses.ts";
import { SMALL_SUBNET, SUBNET_A, SUBNET_B, TEST_NETWORK } from "../../test/cloudsim/aws/testing.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import type { CreateInterface, SubnetChoice } from "../provider.ts";
import type { AwsNetwork } from "./provider.ts";
import { neededIpv4, siblingsOf } from "./subnets.ts";

const labs: AwsLab[] = [];
afterEach(async () => {
  await Promise.all(labs.splice(0).map((lab) => lab.close()));
});

/** The node's zone has A (its own), the small one, and a large one; zone b has another. */
const LARGE = "subnet-0d" as SubnetId;
const network = {
  ...TEST_NETWORK,
  subnets: [
    ...TEST_NETWORK.subnets,
    {
      id: LARGE,
      zone: "eu-west-1a",
      ipv4: Cidr.parse("10.0.16.0/22"),
      ipv6: Cidr.parse("2001:db8:0:d::/64"),
    },
  ],
};

async function start() {
  const lab = await AwsLab.start({ ec2: { network }, launch: { type: "m5.4xlarge" } });
  labs.push(lab);
  const adapter = lab.open();
  await adapter.describe(soon());
  lab.ec2.calls.clear();
  const tag = (id: SubnetId, key: string, value: string) =>
    lab.ec2.account.getSubnet(id).tags.set(key, value);
  return { lab, adapter, tag, calls: lab.ec2.calls, account: lab.ec2.account };
}

const soon = () => AbortSignal.timeout(20_000);
const NODE = { by: "node" } as const;
let tokens = 0;

async function subnetOf(adapter: AwsNetwork, subnets: SubnetChoice, changes: Partial<CreateInterface> = {}) {
  tokens += 1;
  const request = {
    poolKey: DEFAULT_POOL,
    subnets,
    avoid: [],
    securityGroupIds: [],
    cardIndex: 0,
    units: [],
  };
  const made = await adapter.createInterface({ ...request, token: `t${tokens}`, ...changes }, soon());
  return made.subnet.id;
}

describe("AwsNetwork.createInterface() in the node's subnets", () => {
  it("looks at no subnet while its own has room", async () => {
    const { adapter, calls } = await start();
    expect(await subnetOf(adapter, NODE)).toBe(SUBNET_A);
    expect(calls.count("DescribeSubnets") + calls.count("DescribeRouteTables")).toBe(0);
  });

  it("takes the sibling with most free addresses, and remembers the list", async () => {
    const { lab, adapter, calls } = await start();
    lab.exhaust(SUBNET_A);
    expect(await subnetOf(adapter, NODE)).toBe(LARGE);
    expect(await subnetOf(adapter, NODE)).toBe(LARGE);
    expect([calls.count("DescribeSubnets"), calls.count("DescribeRouteTables")]).toEqual([1, 1]);
  });

  it("never takes one of another route table, nor one of another zone", async () => {
    const { lab, adapter, account } = await start();
    account.addRouteTable([LARGE]);
    lab.exhaust(SUBNET_A);
    expect(await subnetOf(adapter, NODE)).toBe(SMALL_SUBNET);
    lab.exhaust(SMALL_SUBNET);
    await expect(subnetOf(adapter, NODE)).rejects.toMatchObject({
      code: "subnet-exhausted",
      subnetIds: [SUBNET_A, SMALL_SUBNET],
    });
  });

  it("takes those that name the same table as its own", async () => {
    const { lab, adapter, account } = await start();
    account.addRouteTable([SUBNET_A, SMALL_SUBNET, SUBNET_B]);
    lab.exhaust(SUBNET_A);
    expect(await subnetOf(adapter, NODE)).toBe(SMALL_SUBNET);
  });

  it.each([
    ["kubernetes.io/role/cni", "0"],
    ["causeway.dev/unmanaged", "true"],
  ])("leaves a sibling alone that is tagged %s=%s", async (key, value) => {
    const { lab, adapter, tag } = await start();
    tag(LARGE, key, value);
    tag(SMALL_SUBNET, "kubernetes.io/role/cni", "1");
    lab.exhaust(SUBNET_A);
    expect(await subnetOf(adapter, NODE)).toBe(SMALL_SUBNET);
  });

  it.each(["DescribeRouteTables", "DescribeSubnets"])(
    "takes none but its own without the permission for %s, and does not ask again with each interface",
    async (action) => {
      const { lab, adapter, calls } = await start();
      lab.ec2.faults.fail(action, "UnauthorizedOperation", 100, 403);
      lab.exhaust(SUBNET_A);
      for (let tries = 0; tries < 2; tries += 1) {
        await expect(subnetOf(adapter, NODE)).rejects.toMatchObject({
          code: "subnet-exhausted",
          subnetIds: [SUBNET_A],
        });
      }
      expect(calls.count(action)).toBe(1);
      expect(JSON.stringify(lab.lines)).toContain(`ec2:${action}`);
    },
  );

  it("asks no sibling that has too few addresses for the whole request, and does not call it full", async () => {
    const { lab, adapter, account, calls } = await start();
    account.addRouteTable([LARGE]);
    lab.exhaust(SUBNET_A);
    const units = [{ family: 4, prefixLength: 28, count: 1 } as const];
    await expect(subnetOf(adapter, NODE, { units })).rejects.toMatchObject({
      code: "no-free-block",
      subnetIds: [SUBNET_A],
    });
    expect(calls.count("CreateNetworkInterface")).toBe(1);
  });
});

describe("AwsNetwork.createInterface() in subnets by tag", () => {
  const byTags = (...tags: [string, string][]): SubnetChoice => ({ by: "tags", tags: new Map(tags) });

  it("takes the one with most free addresses that has every tag, an empty value standing for any", async () => {
    const { adapter, tag, account } = await start();
    for (const id of [SUBNET_A, SUBNET_B, SMALL_SUBNET]) tag(id, "pods", "yes");
    for (const id of [SUBNET_B, SMALL_SUBNET]) tag(id, "tier", "one");
    tag(LARGE, "pods", "no");
    tag(LARGE, "tier", "two");
    expect(freeIpv4Count(account, account.getSubnet(SUBNET_A))).toBeGreaterThan(11);
    expect(await subnetOf(adapter, byTags(["pods", "yes"]))).toBe(SUBNET_A);
    expect(await subnetOf(adapter, byTags(["pods", "yes"], ["tier", ""]))).toBe(SMALL_SUBNET);
    expect(await subnetOf(adapter, byTags(["pods", ""], ["tier", ""]))).toBe(LARGE);
    await expect(subnetOf(adapter, byTags(["pods", "*"]))).rejects.toMatchObject({
      code: "subnet-exhausted",
      subnetIds: [],
    });
  });

  it("asks once in ten minutes", async () => {
    const { lab, adapter, tag, calls } = await start();
    tag(LARGE, "pods", "yes");
    await subnetOf(adapter, byTags(["pods", "yes"]));
    await subnetOf(adapter, byTags(["pods", "yes"]));
    expect(calls.count("DescribeSubnets")).toBe(1);
    lab.clock.shift(600_001);
    await subnetOf(adapter, byTags(["pods", "yes"]));
    expect(calls.all("DescribeSubnets").filter((call) => "Filter.3.Name" in call.params)).toHaveLength(2);
  });
});

describe("AwsNetwork.createInterface() in subnets by id", () => {
  it("leaves out one of another zone, and one to be avoided", async () => {
    const { adapter } = await start();
    const ids = [SUBNET_B, LARGE, SMALL_SUBNET];
    expect(await subnetOf(adapter, { by: "ids", ids })).toBe(LARGE);
    expect(await subnetOf(adapter, { by: "ids", ids }, { avoid: [LARGE] })).toBe(SMALL_SUBNET);
  });

  it("stops after five refusals, and goes on from there when those are to be avoided", async () => {
    const { lab, adapter, calls } = await start();
    lab.ec2.faults.fail("CreateNetworkInterface", "InsufficientFreeAddressesInSubnet", 5);
    const full = [1, 2, 3, 4, 5].map((index) => `subnet-0${index}` as SubnetId);
    const choice: SubnetChoice = { by: "ids", ids: [...full, LARGE] };
    await expect(subnetOf(adapter, choice)).rejects.toMatchObject({ subnetIds: full });
    expect(calls.count("CreateNetworkInterface")).toBe(5);
    expect(await subnetOf(adapter, choice, { avoid: full })).toBe(LARGE);
  });
});

describe("siblingsOf()", () => {
  const id = (index: number) => `subnet-${index}` as SubnetId;
  const subnet = (index: number) => ({ id: id(index), zone: "a", tags: new Map<string, string>() });

  it("gives subnets of one table only, and each other's", () => {
    const places = fc.array(fc.constantFrom("main", "left", "right"), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(places, (tableOf) => {
        const ids = (name: string) => tableOf.flatMap((table, index) => (table === name ? [id(index)] : []));
        const tables = [
          { isMain: true, subnetIds: [] },
          { isMain: false, subnetIds: ids("left") },
          { isMain: false, subnetIds: ids("right") },
        ];
        const found = siblingsOf(
          id(0),
          tables,
          tableOf.map((_, index) => subnet(index)),
        );
        const expected = tableOf.flatMap((table, index) =>
          index > 0 && table === tableOf[0] ? [id(index)] : [],
        );
        expect(found.map((one) => one.id)).toEqual(expected);
      }),
    );
  });

  it("gives none when the main table, or its own, is not shown", () => {
    const tables = [{ isMain: false, subnetIds: [id(1)] }];
    expect(siblingsOf(id(0), tables, [subnet(0), subnet(1), subnet(2)])).toEqual([]);
    expect(siblingsOf(id(1), tables, [subnet(0), subnet(1), subnet(2)])).toEqual([]);
  });
});

describe("neededIpv4()", () => {
  it("counts the interface's own address, and a block as 16", () => {
    const units = [
      { family: 4, prefixLength: 32, count: 3 } as const,
      { family: 4, prefixLength: 28, count: 2 } as const,
      { family: 6, prefixLength: 80, count: 9 } as const,
    ];
    expect(neededIpv4(units)).toBe(36);
    expect(neededIpv4([])).toBe(1);
  });
});
