import {
  CreateNetworkInterfaceCommand,
  DescribeInstancesCommand,
  DescribeInstanceTypesCommand,
  DescribeNetworkInterfacesCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  type EC2Client,
  type Filter,
  paginateDescribeNetworkInterfaces,
} from "@aws-sdk/client-ec2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cidr } from "../../../../common/ip.ts";
import type { Ec2 } from "../ec2.ts";
import { primaryOf } from "../model/launch.ts";
import type { Instance, NetworkInterface } from "../model/resources.ts";
import { newClient, present, SMALL_SUBNET, SUBNET_A, SUBNET_B, startTestEc2 } from "../testing.ts";

let cloud: Ec2;
let client: EC2Client;
let node: Instance;
let primary: NetworkInterface;
const free: string[] = [];

beforeAll(async () => {
  cloud = await startTestEc2();
  client = newClient(cloud);
  node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large", primaryIpv4: "10.0.0.10" });
  primary = primaryOf(cloud.account, node);
  for (let index = 0; index < 12; index += 1) {
    const reply = await client.send(
      new CreateNetworkInterfaceCommand({
        SubnetId: SUBNET_B,
        Description: `spare ${index}`,
        TagSpecifications: [
          { ResourceType: "network-interface", Tags: [{ Key: "n", Value: String(index) }] },
        ],
      }),
    );
    free.push(present(reply.NetworkInterface?.NetworkInterfaceId));
  }
});

afterAll(async () => {
  client.destroy();
  await cloud.close();
});

async function idsBy(...filters: Filter[]): Promise<string[]> {
  const reply = await client.send(new DescribeNetworkInterfacesCommand({ Filters: filters }));
  return (reply.NetworkInterfaces ?? []).map((item) => present(item.NetworkInterfaceId));
}

describe("DescribeNetworkInterfaces by filter", () => {
  const rows: { readonly name: string; readonly values: () => string[]; readonly found: () => string[] }[] = [
    { name: "subnet-id", values: () => [SUBNET_A], found: () => [primary.id] },
    { name: "vpc-id", values: () => ["vpc-01"], found: () => [primary.id, ...free] },
    { name: "vpc-id", values: () => ["vpc-02"], found: () => [] },
    { name: "availability-zone", values: () => ["eu-west-1b"], found: () => free },
    { name: "attachment.instance-id", values: () => [node.id], found: () => [primary.id] },
    { name: "attachment.status", values: () => ["attached"], found: () => [primary.id] },
    { name: "attachment.device-index", values: () => ["0"], found: () => [primary.id] },
    { name: "status", values: () => ["available"], found: () => free },
    { name: "status", values: () => ["available", "in-use"], found: () => [primary.id, ...free] },
    { name: "network-interface-id", values: () => free.slice(3, 5), found: () => free.slice(3, 5) },
    { name: "mac-address", values: () => [primary.mac], found: () => [primary.id] },
    { name: "group-id", values: () => ["sg-0"], found: () => [] },
    { name: "tag:n", values: () => ["2"], found: () => free.slice(2, 3) },
    { name: "tag:n", values: () => ["1?"], found: () => free.slice(10) },
    { name: "tag-key", values: () => ["n"], found: () => free },
    { name: "description", values: () => ["spare 1*"], found: () => [free[1] ?? "", ...free.slice(10)] },
    { name: "addresses.private-ip-address", values: () => ["10.0.0.10"], found: () => [primary.id] },
  ];

  it.each(rows)("$name finds those and no others", async ({ name, values, found }) => {
    expect(await idsBy({ Name: name, Values: values() })).toEqual(found());
  });

  it("all filters must pass", async () => {
    const tagged = { Name: "tag-key", Values: ["n"] };
    expect(await idsBy(tagged, { Name: "subnet-id", Values: [SUBNET_A] })).toEqual([]);
    expect(await idsBy(tagged, { Name: "tag:n", Values: ["4"] })).toEqual(free.slice(4, 5));
  });
});

describe("What a new interface's subnet is chosen by", () => {
  const subnetIds = async (...filters: Filter[]) => {
    const reply = await client.send(new DescribeSubnetsCommand({ Filters: filters }));
    return (reply.Subnets ?? []).map((one) => present(one.SubnetId));
  };
  const routeTables = async (...filters: Filter[]) =>
    (await client.send(new DescribeRouteTablesCommand({ Filters: filters }))).RouteTables ?? [];

  it("is the subnets of a VPC, a zone and tags together", async () => {
    const [vpc, zone] = [
      { Name: "vpc-id", Values: ["vpc-01"] },
      { Name: "availability-zone", Values: ["eu-west-1a"] },
    ];
    expect(await subnetIds(vpc, zone)).toEqual([SUBNET_A, SMALL_SUBNET]);
    cloud.outsideHand.tag(SMALL_SUBNET, { "kubernetes.io/role/cni": "1" });
    cloud.outsideHand.tag(SUBNET_B, { "kubernetes.io/role/cni": "1" });
    expect(await subnetIds(vpc, zone, { Name: "tag:kubernetes.io/role/cni", Values: ["1"] })).toEqual([
      SMALL_SUBNET,
    ]);
    expect(await subnetIds({ ...vpc, Values: ["vpc-02"] }, zone)).toEqual([]);
  });

  it("is the route table that names a subnet, and the VPC's main one where none does", async () => {
    const own = cloud.account.addRouteTable([SUBNET_A]);
    const naming = (id: string) => routeTables({ Name: "association.subnet-id", Values: [id] });
    const [named] = await naming(SUBNET_A);
    expect(named).toMatchObject({
      RouteTableId: own.id,
      VpcId: "vpc-01",
      Associations: [{ Main: false, SubnetId: SUBNET_A, AssociationState: { State: "associated" } }],
    });
    expect(named?.Routes?.map((one) => one.DestinationCidrBlock ?? one.DestinationIpv6CidrBlock)).toEqual([
      "10.0.0.0/16",
      "100.64.0.0/16",
      "2001:db8::/56",
    ]);
    expect(await naming(SUBNET_B)).toEqual([]);
    const [main] = await routeTables({ Name: "association.main", Values: ["true"] });
    expect(main?.Associations).toMatchObject([{ Main: true }]);
    expect(main?.Associations?.[0]?.SubnetId).toBeUndefined();
    cloud.account.addRouteTable([SUBNET_A, SUBNET_B]);
    expect((await routeTables()).map((table) => table.Associations?.length)).toEqual([1, 0, 2]);
  });
});

describe("Paging", () => {
  it("gives each interface once, also when one goes between two pages", async () => {
    const seen: string[] = [];
    for await (const page of paginateDescribeNetworkInterfaces({ client, pageSize: 5 }, {})) {
      expect(page.NetworkInterfaces?.length).toBeLessThanOrEqual(5);
      seen.push(...(page.NetworkInterfaces ?? []).map((item) => present(item.NetworkInterfaceId)));
      cloud.account.interfaces.delete(present(free[11]) as never);
    }
    expect(seen).toEqual([primary.id, ...free.slice(0, 11)]);
    free.splice(11);
  });
});

describe("Describe calls", () => {
  it("DescribeInstances shows each interface of the instance with its place", async () => {
    const reply = await client.send(new DescribeInstancesCommand({ InstanceIds: [node.id] }));
    expect(reply.Reservations?.[0]?.Instances).toMatchObject([
      {
        InstanceId: node.id,
        InstanceType: "m5.large",
        State: { Code: 16, Name: "running" },
        Placement: { AvailabilityZone: "eu-west-1a" },
        NetworkInterfaces: [
          {
            NetworkInterfaceId: primary.id,
            PrivateIpAddress: "10.0.0.10",
            Attachment: { DeviceIndex: 0, NetworkCardIndex: 0, DeleteOnTermination: true },
          },
        ],
      },
    ]);
  });

  it("DescribeInstanceTypes has the real limits and network cards", async () => {
    const types = ["m5.large", "p4d.24xlarge", "p6-b300.48xlarge"] as const;
    const reply = await client.send(new DescribeInstanceTypesCommand({ InstanceTypes: [...types] }));
    const [large, cards, fabric] = (reply.InstanceTypes ?? []).map(({ NetworkInfo }) => NetworkInfo);
    expect(large).toMatchObject({
      MaximumNetworkInterfaces: 3,
      MaximumNetworkCards: 1,
      Ipv4AddressesPerInterface: 10,
      Ipv6AddressesPerInterface: 10,
      Ipv6Supported: true,
      EfaSupported: false,
    });
    expect(cards?.NetworkCards?.map(({ MaximumNetworkInterfaces }) => MaximumNetworkInterfaces)).toEqual([
      15, 15, 15, 15,
    ]);
    expect(fabric?.NetworkCards?.map(({ InterfaceTypes }) => InterfaceTypes?.join())).toEqual([
      "interface",
      ...Array.from({ length: 16 }, () => "efa-only"),
    ]);
  });

  it("DescribeSubnets counts free addresses: a prefix costs 16", async () => {
    const freeIn = async () => {
      const reply = await client.send(new DescribeSubnetsCommand({ SubnetIds: [SUBNET_A] }));
      return present(reply.Subnets?.[0]?.AvailableIpAddressCount);
    };
    const before = await freeIn();
    await client.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A, Ipv4PrefixCount: 2 }));
    expect(await freeIn()).toBe(before - 33);
  });

  it("DescribeVpcs lists CIDRs of every state", async () => {
    cloud.account.setVpcCidr(Cidr.parse("100.64.0.0/16"), "disassociated");
    const reply = await client.send(new DescribeVpcsCommand({ VpcIds: ["vpc-01"] }));
    const states = reply.Vpcs?.[0]?.CidrBlockAssociationSet?.map(
      ({ CidrBlock, CidrBlockState }) => `${CidrBlock} ${CidrBlockState?.State}`,
    );
    expect(states).toEqual(["10.0.0.0/16 associated", "100.64.0.0/16 disassociated"]);
    expect(reply.Vpcs?.[0]?.Ipv6CidrBlockAssociationSet?.[0]?.Ipv6CidrBlock).toBe("2001:db8::/56");
  });

  it("DescribeSecurityGroups finds by name", async () => {
    const group = cloud.account.addSecurityGroup("nodes");
    const filter = { Name: "group-name", Values: ["nodes"] };
    const reply = await client.send(new DescribeSecurityGroupsCommand({ Filters: [filter] }));
    expect(reply.SecurityGroups).toMatchObject([{ GroupId: group.id, GroupName: "nodes", VpcId: "vpc-01" }]);
  });
});
