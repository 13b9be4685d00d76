/** Which addresses and blocks EC2 takes from a subnet. */
import {
  AssignIpv6AddressesCommand,
  AssignPrivateIpAddressesCommand,
  CreateNetworkInterfaceCommand,
  CreateSubnetCidrReservationCommand,
  DeleteSubnetCidrReservationCommand,
  type EC2Client,
  GetSubnetCidrReservationsCommand,
} from "@aws-sdk/client-ec2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cidr, IpAddress } from "../../../common/ip.ts";
import type { Ec2 } from "./ec2.ts";
import { codeOf, newClient, present, SUBNET_A, startTestEc2 } from "./testing.ts";

let cloud: Ec2;
let client: EC2Client;

beforeEach(async () => {
  cloud = await startTestEc2();
  client = newClient(cloud);
});

afterEach(async () => {
  client.destroy();
  await cloud.close();
});

async function create(input: object = {}) {
  const reply = await client.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A, ...input }));
  return present(reply.NetworkInterface);
}

async function reserve(cidr: string, type: "prefix" | "explicit") {
  const request = { SubnetId: SUBNET_A, Cidr: cidr, ReservationType: type };
  const reply = await client.send(new CreateSubnetCidrReservationCommand(request));
  return present(reply.SubnetCidrReservation);
}

const addresses = (reply: { PrivateIpAddresses?: { PrivateIpAddress?: string | undefined }[] | undefined }) =>
  (reply.PrivateIpAddresses ?? []).map((one) => IpAddress.parse(present(one.PrivateIpAddress)));

/** In how many of the subnet's sixteen /28 these are. */
function blocksOf(list: readonly IpAddress[]): number {
  return new Set(list.map((address) => Cidr.of(address, 28).toString())).size;
}

describe("Addresses by count", () => {
  it("come from all over the subnet, so that few of them break most of its blocks up", async () => {
    const taken = addresses(await create({ SecondaryPrivateIpAddressCount: 39 }));
    expect(blocksOf(taken)).toBeGreaterThan(12);
  });

  it("come alike with the same seed, and differently with another", async () => {
    const takenWith = async (seed: number) => {
      const other = await startTestEc2({ seed });
      const command = new CreateNetworkInterfaceCommand({
        SubnetId: SUBNET_A,
        SecondaryPrivateIpAddressCount: 9,
      });
      const reply = await newClient(other).send(command);
      await other.close();
      return addresses(present(reply.NetworkInterface)).join(" ");
    };
    expect(await takenWith(5)).toBe(await takenWith(5));
    expect(await takenWith(5)).not.toBe(await takenWith(6));
  });
});

describe("Blocks by count", () => {
  it("are aligned, free of what is in use, and of the right size", async () => {
    const singles = addresses(await create({ SecondaryPrivateIpAddressCount: 9 }));
    const made = await create({ Ipv4PrefixCount: 3, Ipv6PrefixCount: 2 });
    const four = (made.Ipv4Prefixes ?? []).map((one) => Cidr.parse(present(one.Ipv4Prefix)));
    const six = (made.Ipv6Prefixes ?? []).map((one) => Cidr.parse(present(one.Ipv6Prefix)));
    expect(four.map(({ prefixLength }) => prefixLength)).toEqual([28, 28, 28]);
    expect(six.map(({ prefixLength }) => prefixLength)).toEqual([80, 80]);
    for (const block of four) expect(singles.some((single) => block.contains(single))).toBe(false);
  });
});

describe("A range reserved for prefixes", () => {
  it("gives no single address, and blocks before the rest of the subnet does", async () => {
    await reserve("10.0.0.64/26", "prefix");
    const blocks = (await create({ Ipv4PrefixCount: 4 })).Ipv4Prefixes ?? [];
    expect(blocks.map((one) => present(one.Ipv4Prefix)).sort()).toEqual([
      "10.0.0.112/28",
      "10.0.0.64/28",
      "10.0.0.80/28",
      "10.0.0.96/28",
    ]);
    const range = Cidr.parse("10.0.0.128/27");
    await reserve(range.toString(), "prefix");
    const made = await create({ SecondaryPrivateIpAddressCount: 130 });
    expect(addresses(made).filter((address) => range.contains(address))).toEqual([]);
  });

  it("keeps blocks whole in a subnet that is fragmented otherwise, and none when it is used up", async () => {
    const { NetworkInterfaceId } = await create();
    await reserve("10.0.0.128/27", "prefix");
    cloud.outsideHand.fragment(SUBNET_A);
    const assign = async (Ipv4PrefixCount: number) => {
      const request = { NetworkInterfaceId, Ipv4PrefixCount };
      const reply = await client.send(new AssignPrivateIpAddressesCommand(request));
      return (reply.AssignedIpv4Prefixes ?? []).map((one) => present(one.Ipv4Prefix)).sort();
    };
    expect(await assign(2)).toEqual(["10.0.0.128/28", "10.0.0.144/28"]);
    expect(await codeOf(assign(1))).toBe("InsufficientCidrBlocks");
  });

  it("leaves enough addresses that nobody gets: the subnet is exhausted for singles", async () => {
    await reserve("10.0.0.128/25", "prefix");
    const single = (SecondaryPrivateIpAddressCount: number) =>
      codeOf(create({ SecondaryPrivateIpAddressCount }));
    expect(await single(200)).toBe("InsufficientFreeAddressesInSubnet");
    expect(await single(100)).toBe("ok");
  });

  it("gives IPv6 blocks of its own, and no single address", async () => {
    const range = Cidr.parse("2001:db8:0:a:5::/78");
    await reserve(range.toString(), "prefix");
    const { NetworkInterfaceId } = await create();
    const blocks = new AssignIpv6AddressesCommand({ NetworkInterfaceId, Ipv6PrefixCount: 4 });
    const given = present((await client.send(blocks)).AssignedIpv6Prefixes).map(Cidr.parse);
    expect(given.every((block) => range.contains(block))).toBe(true);
    const more = new AssignIpv6AddressesCommand({ NetworkInterfaceId, Ipv6PrefixCount: 1 });
    const [outside] = present((await client.send(more)).AssignedIpv6Prefixes).map(Cidr.parse);
    expect(range.contains(present(outside))).toBe(false);
  });
});

describe("A range reserved as explicit", () => {
  it("gives nothing but what is named", async () => {
    const range = Cidr.parse("10.0.0.128/25");
    await reserve(range.toString(), "explicit");
    const made = await create({ Ipv4PrefixCount: 6 });
    for (const one of made.Ipv4Prefixes ?? []) {
      expect(range.contains(Cidr.parse(present(one.Ipv4Prefix)))).toBe(false);
    }
    expect(addresses(await create({ PrivateIpAddress: "10.0.0.200" })).map(String)).toEqual(["10.0.0.200"]);
  });
});

describe("Subnet CIDR reservations", () => {
  it("are listed by family until they are deleted, and touch nothing that is in use", async () => {
    await create({ PrivateIpAddress: "10.0.0.65" });
    const { SubnetCidrReservationId, ...four } = await reserve("10.0.0.64/28", "prefix");
    await reserve("2001:db8:0:a:5::/80", "explicit");
    expect(four).toMatchObject({ Cidr: "10.0.0.64/28", ReservationType: "prefix", SubnetId: SUBNET_A });
    const list = async () => {
      const reply = await client.send(new GetSubnetCidrReservationsCommand({ SubnetId: SUBNET_A }));
      const cidrs = (found: { Cidr?: string | undefined }[] = []) => found.map(({ Cidr: cidr }) => cidr);
      return [cidrs(reply.SubnetIpv4CidrReservations), cidrs(reply.SubnetIpv6CidrReservations)];
    };
    expect(await list()).toEqual([["10.0.0.64/28"], ["2001:db8:0:a:5::/80"]]);
    const remove = () =>
      codeOf(client.send(new DeleteSubnetCidrReservationCommand({ SubnetCidrReservationId })));
    expect(await remove()).toBe("ok");
    expect(await remove()).toBe("InvalidSubnetCidrReservationId.NotFound");
    expect(await list()).toEqual([[], ["2001:db8:0:a:5::/80"]]);
  });

  it.each([
    ["a range of another subnet", "10.0.1.0/28"],
    ["a range that overlaps one", "10.0.0.0/25"],
    ["what is no range", "ten"],
  ])("refuse %s", async (_what, cidr) => {
    await reserve("10.0.0.64/28", "prefix");
    expect(await codeOf(reserve(cidr, "prefix"))).toBe("InvalidParameterValue");
  });
});
