import { afterEach, describe, expect, it } from "vitest";
import { Cidr } from "../../common/ip.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import { networkText } from "./glance.ts";

const labs: AwsLab[] = [];
afterEach(async () => {
  await Promise.all(labs.splice(0).map((lab) => lab.close()));
});

const soon = () => AbortSignal.timeout(20_000);
const NEW = Cidr.parse("100.65.0.0/16");

async function start() {
  const lab = await AwsLab.start();
  labs.push(lab);
  return { lab, network: lab.open(), imds: lab.ec2.imds(lab.instance), account: lab.ec2.account };
}

describe("AwsNetwork.glance()", () => {
  it("costs no call of EC2, and one look at each fact of an interface", async () => {
    const { lab, network, imds } = await start();
    await network.identify(soon());
    imds.requests.length = 0;
    const text = await network.glance(soon());
    const [primary] = lab.ec2.account.interfacesOf(lab.instance.id);
    expect(text.split("\n")).toEqual([
      `${primary?.mac} ${primary?.id} 0 ${primary?.primaryIpv4}/32 - - -`,
      "network 10.0.0.0/16,100.64.0.0/16 2001:db8::/56",
    ]);
    expect(lab.ec2.calls.count()).toBe(0);
    expect(imds.requests).toHaveLength(1 + 6 + 2);
  });

  it("changes when the network gets a CIDR, and back when it goes", async () => {
    const { network, account } = await start();
    const before = await network.glance(soon());
    account.setVpcCidr(NEW, "associated");
    expect(await network.glance(soon())).not.toBe(before);
    account.setVpcCidr(NEW, "disassociating");
    expect(await network.glance(soon())).toBe(before);
  });

  it.each([
    ["a page of HTML", /local-ipv4s$/],
    ["a page for the list", /macs\/$/],
  ])("says that it does not know when the metadata answers with %s", async (_, path) => {
    const { network, imds } = await start();
    imds.faults.html(path, 10);
    await expect(network.glance(soon())).rejects.toMatchObject({ code: "unavailable" });
  });

  it("takes a category that is missing as empty", async () => {
    const { network, imds } = await start();
    imds.faults.hide(/ipv6s$|vpc-ipv6-cidr-blocks$/);
    const [first, last] = (await network.glance(soon())).split("\n");
    expect(first).toMatch(/\/32 - - -$/);
    expect(last).toBe("network 10.0.0.0/16,100.64.0.0/16");
  });
});

describe("AwsNetwork.describe(), the network's CIDRs", () => {
  const cidrs = async (network: ReturnType<AwsLab["open"]>) =>
    (await network.describe(soon())).networkCidrs.map(String);

  it("are asked for when the metadata tells others than at the start, and else seldom", async () => {
    const { lab, network, account } = await start();
    await cidrs(network);
    await cidrs(network);
    expect(lab.ec2.calls.count("DescribeVpcs")).toBe(0);
    account.setVpcCidr(NEW, "associated");
    expect(await cidrs(network)).toContain("100.65.0.0/16");
    account.setVpcCidr(NEW, "disassociating");
    expect(await cidrs(network)).not.toContain("100.65.0.0/16");
    expect(lab.ec2.calls.count("DescribeVpcs")).toBe(2);
    lab.clock.shift(20 * 60_000);
    await cidrs(network);
    expect(lab.ec2.calls.count("DescribeVpcs")).toBe(2);
    lab.clock.shift(20 * 60_000);
    await cidrs(network);
    expect(lab.ec2.calls.count("DescribeVpcs")).toBe(3);
  });

  it("are EC2's from five minutes after the start on, also when the metadata stays behind, which is asked about less and less", async () => {
    const { lab, network, account, imds } = await start();
    imds.faults.lagMs = 36_000_000;
    account.setVpcCidr(NEW, "associated");
    expect(await cidrs(network)).not.toContain("100.65.0.0/16");
    lab.clock.shift(5 * 60_000);
    for (let minutes = 0; minutes < 30; minutes += 1) {
      expect(await cidrs(network)).toContain("100.65.0.0/16");
      lab.clock.shift(60_000);
    }
    expect(lab.ec2.calls.count("DescribeVpcs")).toBeGreaterThan(3);
    expect(lab.ec2.calls.count("DescribeVpcs")).toBeLessThan(8);
  });

  it("stay as told when the metadata is gone", async () => {
    const { network, imds } = await start();
    const before = await cidrs(network);
    imds.faults.hide(/cidr-blocks$/);
    expect(await cidrs(network)).toEqual(before);
  });
});

describe("networkText()", () => {
  it("is the form of the metadata's text, whatever the order", () => {
    const list = ["2001:db8::/56", "100.64.0.0/16", "10.0.0.0/16"].map(Cidr.parse);
    expect(networkText(list)).toBe("10.0.0.0/16,100.64.0.0/16 2001:db8::/56");
    expect(networkText([])).toBe("");
  });
});
