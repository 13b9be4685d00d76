/** Where a new process has the network's facts from: the metadata where it is complete, else EC2. */
import { afterEach, describe, expect, it } from "vitest";
import type { LaunchRequest } from "../../test/cloudsim/aws/model/launch.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import type { AwsNetwork } from "./provider.ts";

const labs: AwsLab[] = [];
afterEach(async () => {
  await Promise.all(labs.splice(0).map((lab) => lab.close()));
});

const soon = () => AbortSignal.timeout(20_000);
const six = { family: 6, prefixLength: 80, count: 1 } as const;

async function start(launch: Partial<LaunchRequest> = {}) {
  const lab = await AwsLab.start({ launch });
  labs.push(lab);
  const { calls } = lab.ec2;
  const asked = () => [calls.count("DescribeSubnets"), calls.count("DescribeVpcs")];
  return { lab, asked, network: lab.open(), metadata: lab.ec2.imds(lab.instance).faults };
}

/** Without what EC2 alone tells: how many addresses of a subnet are free. */
async function factsOf(network: AwsNetwork) {
  const { interfaces, networkCidrs } = await network.describe(soon());
  return {
    networkCidrs: networkCidrs.map(String),
    interfaces: interfaces.map(({ gateways, subnet: { freeIpv4: _, ...subnet } }) => ({ gateways, subnet })),
  };
}

describe("AwsNetwork.describe() of a new process", () => {
  it("tells from the metadata what EC2 tells five minutes later", async () => {
    const { lab, asked, network } = await start({ ipv6: { addressCount: 1 } });
    const hinted = await factsOf(network);
    expect(asked()).toEqual([0, 0]);
    lab.clock.shift(299_000);
    expect(await factsOf(network)).toEqual(hinted);
    expect(asked()).toEqual([0, 0]);
    lab.clock.shift(2_000);
    expect(await factsOf(network)).toEqual(hinted);
    expect(asked()).toEqual([1, 1]);
  });

  it.each([
    ["has no range of the subnet", /subnet-ipv4-cidr-block$/, [1, 0]],
    ["lacks a range that an address is in", /subnet-ipv6-cidr-blocks$/, [1, 0]],
    ["has no CIDRs of the network", /vpc-ipv4-cidr-blocks$/, [0, 1]],
    ["lacks a CIDR that an address is in", /vpc-ipv6-cidr-blocks$/, [0, 1]],
  ])("asks EC2 when the metadata %s", async (_, path, expected) => {
    const { lab, asked, network, metadata } = await start({ ipv6: { addressCount: 1 } });
    const whole = await factsOf(lab.open());
    metadata.hide(path);
    expect(await factsOf(network)).toEqual(whole);
    expect(asked()).toEqual(expected);
  });

  it("asks EC2 when the metadata answers with pages", async () => {
    const { asked, network, metadata } = await start();
    await network.identify(soon());
    metadata.html(/cidr-block/, 100);
    expect((await factsOf(network)).networkCidrs).toContain("10.0.0.0/16");
    expect(asked()).toEqual([1, 1]);
  });
});

describe("AwsNetwork.assignUnits() of IPv6, while the metadata has not told of IPv6", () => {
  it("is refused before any call until EC2 has told the gateway", async () => {
    const { lab, asked, network, metadata } = await start({ ipv6: { addressCount: 0 } });
    metadata.hide(/ipv6-cidr-blocks$/);
    const [primary] = (await network.describe(soon())).interfaces;
    const id = primary?.id ?? ("none" as never);
    expect([asked(), primary?.gateways[6]]).toEqual([[0, 0], undefined]);
    await expect(network.assignUnits(id, [six], soon())).rejects.toMatchObject({ code: "conflict" });
    expect(lab.ec2.calls.writes()).toEqual([]);
    const [seen] = (await network.describe(soon())).interfaces;
    expect([asked(), seen?.gateways[6]?.toString()]).toEqual([[1, 1], "fe80:ec2::1"]);
    await expect(network.assignUnits(id, [six], soon())).resolves.toHaveLength(1);
  });
});
