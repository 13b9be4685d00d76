/** One row for each thing that EC2 refuses: the official SDK, real HTTP, the code that comes back. */
import {
  AssignIpv6AddressesCommand,
  AssignPrivateIpAddressesCommand,
  AttachNetworkInterfaceCommand,
  CreateNetworkInterfaceCommand,
  type CreateNetworkInterfaceCommandInput,
  CreateTagsCommand,
  DeleteNetworkInterfaceCommand,
  DescribeInstancesCommand,
  DescribeInstanceTypesCommand,
  DescribeNetworkInterfaceAttributeCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  DetachNetworkInterfaceCommand,
  type EC2Client,
  ModifyNetworkInterfaceAttributeCommand,
  UnassignIpv6AddressesCommand,
  UnassignPrivateIpAddressesCommand,
} from "@aws-sdk/client-ec2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ec2 } from "../ec2.ts";
import { primaryOf } from "../model/launch.ts";
import type { Instance, NetworkInterface } from "../model/resources.ts";
import { codeOf, newClient, present, SMALL_SUBNET, SUBNET_A, SUBNET_B, startTestEc2 } from "../testing.ts";

let cloud: Ec2;
let client: EC2Client;
/** t3.nano: two interfaces, two addresses each. */
let nano: Instance;
let large: Instance;
let manyCards: Instance;
let primary: NetworkInterface;

beforeAll(async () => {
  cloud = await startTestEc2();
  client = newClient(cloud);
  large = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large", primaryIpv4: "10.0.0.20" });
  nano = await cloud.addInstance({ subnetId: SUBNET_A, type: "t3.nano", ipv4: { addressCount: 1 } });
  manyCards = await cloud.addInstance({ subnetId: SUBNET_A, type: "p6-b300.48xlarge" });
  primary = primaryOf(cloud.account, large);
});

afterAll(async () => {
  client.destroy();
  await cloud.close();
});

async function create(input: Partial<CreateNetworkInterfaceCommandInput> = {}): Promise<string> {
  const reply = await client.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A, ...input }));
  return present(reply.NetworkInterface?.NetworkInterfaceId);
}

async function attach(interfaceId: string, instance: Instance, device: number, card?: number) {
  return client.send(
    new AttachNetworkInterfaceCommand({
      NetworkInterfaceId: interfaceId,
      InstanceId: instance.id,
      DeviceIndex: device,
      NetworkCardIndex: card,
    }),
  );
}

type Row = { readonly what: string; readonly code: string; readonly call: () => Promise<unknown> };

const rows: Row[] = [
  {
    what: "CreateNetworkInterface in a subnet that is not there",
    code: "InvalidSubnetID.NotFound",
    call: () => create({ SubnetId: "subnet-0123" }),
  },
  {
    what: "CreateNetworkInterface with a group that is not there",
    code: "InvalidGroup.NotFound",
    call: () => create({ Groups: ["sg-0123"] }),
  },
  {
    what: "CreateNetworkInterface with an address in use",
    code: "InvalidIPAddress.InUse",
    call: () => create({ PrivateIpAddress: "10.0.0.20" }),
  },
  {
    what: "CreateNetworkInterface with an address of another subnet",
    code: "InvalidParameterValue",
    call: () => create({ PrivateIpAddress: "10.0.1.9" }),
  },
  ...["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.255"].map((address) => ({
    what: `CreateNetworkInterface with the reserved address ${address}`,
    code: "InvalidParameterValue",
    call: () => create({ PrivateIpAddress: address }),
  })),
  {
    what: "CreateNetworkInterface with more addresses than the subnet has",
    code: "InsufficientFreeAddressesInSubnet",
    call: () => create({ SubnetId: SMALL_SUBNET, SecondaryPrivateIpAddressCount: 11 }),
  },
  {
    what: "CreateNetworkInterface with a prefix where fewer than 16 addresses are free",
    code: "InvalidParameterValue",
    call: () => create({ SubnetId: SMALL_SUBNET, Ipv4PrefixCount: 1 }),
  },
  {
    what: "CreateNetworkInterface with a count of addresses and of prefixes",
    code: "InvalidParameterCombination",
    call: () => create({ SecondaryPrivateIpAddressCount: 1, Ipv4PrefixCount: 1 }),
  },
  {
    what: "CreateNetworkInterface with a prefix that has host bits",
    code: "InvalidParameterValue",
    call: () => create({ Ipv4Prefixes: [{ Ipv4Prefix: "10.0.0.17/28" }] }),
  },
  {
    what: "CreateNetworkInterface with an IPv6 address in use",
    code: "InvalidIPAddress.InUse",
    call: () => create({ Ipv6Addresses: [{ Ipv6Address: String(primary.ipv6[0]) }] }),
  },
  {
    what: "CreateNetworkInterface with a prefix around an address in use",
    code: "InvalidIPAddress.InUse",
    call: () => create({ Ipv4Prefixes: [{ Ipv4Prefix: "10.0.0.16/28" }] }),
  },
  {
    what: "CreateNetworkInterface with one address twice",
    code: "InvalidIPAddress.InUse",
    call: () =>
      create({
        PrivateIpAddress: "10.0.0.77",
        PrivateIpAddresses: [{ PrivateIpAddress: "10.0.0.77", Primary: false }],
      }),
  },
  {
    what: "CreateNetworkInterface with secondary addresses and no primary one",
    code: "InvalidParameterCombination",
    call: () => create({ PrivateIpAddresses: [{ PrivateIpAddress: "10.0.0.77", Primary: false }] }),
  },
  {
    what: "CreateNetworkInterface with a used client token and other parameters",
    code: "IdempotentParameterMismatch",
    call: async () => {
      await create({ ClientToken: "token-of-another" });
      await create({ ClientToken: "token-of-another", Description: "not the same" });
    },
  },
  {
    what: "CreateNetworkInterface with a tag key of AWS's own",
    code: "InvalidParameterValue",
    call: () =>
      create({
        TagSpecifications: [{ ResourceType: "network-interface", Tags: [{ Key: "aws:x", Value: "" }] }],
      }),
  },
  {
    what: "CreateNetworkInterface with a parameter that is not modelled",
    code: "UnknownParameter",
    call: () => create({ EnablePrimaryIpv6: true }),
  },
  {
    what: "CreateNetworkInterface as a dry run",
    code: "DryRunOperation",
    call: () => create({ DryRun: true }),
  },
  {
    what: "AttachNetworkInterface beyond the instance's limit",
    code: "AttachmentLimitExceeded",
    call: async () => {
      await attach(await create(), nano, 1);
      await attach(await create(), nano, 2);
    },
  },
  {
    what: "AttachNetworkInterface at a device index in use",
    code: "InvalidParameterValue",
    call: async () => attach(await create(), large, 0, 0),
  },
  {
    what: "AttachNetworkInterface from another zone",
    code: "InvalidParameterCombination",
    call: async () => attach(await create({ SubnetId: SUBNET_B }), large, 1),
  },
  {
    what: "AttachNetworkInterface of one that is attached",
    code: "InvalidNetworkInterface.InUse",
    call: () => attach(primary.id, nano, 1),
  },
  {
    what: "AttachNetworkInterface with more addresses than the type takes",
    code: "PrivateIpAddressLimitExceeded",
    call: async () => attach(await create({ SecondaryPrivateIpAddressCount: 10 }), large, 1),
  },
  {
    what: "AttachNetworkInterface to a network card that is not there",
    code: "InvalidParameterValue",
    call: async () => attach(await create(), large, 1, 1),
  },
  {
    what: "AttachNetworkInterface to a network card without IP",
    code: "InvalidParameterValue",
    call: async () => attach(await create(), manyCards, 1, 1),
  },
  {
    what: "AttachNetworkInterface to an instance that is not there",
    code: "InvalidInstanceID.NotFound",
    call: async () =>
      client.send(
        new AttachNetworkInterfaceCommand({
          NetworkInterfaceId: await create(),
          InstanceId: "i-0123",
          DeviceIndex: 1,
        }),
      ),
  },
  {
    what: "DetachNetworkInterface of the primary interface",
    code: "OperationNotPermitted",
    call: () => client.send(new DetachNetworkInterfaceCommand({ AttachmentId: primary.attachment?.id })),
  },
  {
    what: "DetachNetworkInterface of an attachment that is not there",
    code: "InvalidAttachmentID.NotFound",
    call: () => client.send(new DetachNetworkInterfaceCommand({ AttachmentId: "eni-attach-0123" })),
  },
  {
    what: "DeleteNetworkInterface of one in use",
    code: "InvalidParameterValue",
    call: () => client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: primary.id })),
  },
  {
    what: "DeleteNetworkInterface of one that is gone",
    code: "InvalidNetworkInterfaceID.NotFound",
    call: () => client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: "eni-0123" })),
  },
  {
    what: "DeleteNetworkInterface of something else",
    code: "InvalidNetworkInterfaceId.Malformed",
    call: () => client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: "interface-1" })),
  },
  {
    what: "AssignPrivateIpAddresses beyond the interface's limit",
    code: "PrivateIpAddressLimitExceeded",
    call: () =>
      client.send(
        new AssignPrivateIpAddressesCommand({
          NetworkInterfaceId: primary.id,
          SecondaryPrivateIpAddressCount: 10,
        }),
      ),
  },
  {
    what: "AssignPrivateIpAddresses of an address that another interface has",
    code: "InvalidParameterValue",
    call: () =>
      client.send(
        new AssignPrivateIpAddressesCommand({
          NetworkInterfaceId: primary.id,
          PrivateIpAddresses: [primaryOf(cloud.account, nano).primaryIpv4.toString()],
          AllowReassignment: true,
        }),
      ),
  },
  {
    what: "AssignPrivateIpAddresses of nothing",
    code: "MissingParameter",
    call: () => client.send(new AssignPrivateIpAddressesCommand({ NetworkInterfaceId: primary.id })),
  },
  {
    what: "AssignIpv6Addresses beyond the interface's limit",
    code: "PrivateIpAddressLimitExceeded",
    call: () =>
      client.send(new AssignIpv6AddressesCommand({ NetworkInterfaceId: primary.id, Ipv6AddressCount: 10 })),
  },
  {
    what: "AssignIpv6Addresses of an address that another interface has",
    code: "InvalidIPAddress.InUse",
    call: () =>
      client.send(
        new AssignIpv6AddressesCommand({
          NetworkInterfaceId: primary.id,
          Ipv6Addresses: [String(primaryOf(cloud.account, manyCards).ipv6[0])],
        }),
      ),
  },
  {
    what: "AssignIpv6Addresses of a prefix of the wrong length",
    code: "InvalidParameterValue",
    call: () =>
      client.send(
        new AssignIpv6AddressesCommand({
          NetworkInterfaceId: primary.id,
          Ipv6Prefixes: ["2001:db8:0:a:1::/96"],
        }),
      ),
  },
  {
    what: "UnassignPrivateIpAddresses of the primary address",
    code: "InvalidParameterValue",
    call: () =>
      client.send(
        new UnassignPrivateIpAddressesCommand({
          NetworkInterfaceId: primary.id,
          PrivateIpAddresses: ["10.0.0.20"],
        }),
      ),
  },
  {
    what: "UnassignPrivateIpAddresses of an address that is not there",
    code: "InvalidParameterValue",
    call: () =>
      client.send(
        new UnassignPrivateIpAddressesCommand({
          NetworkInterfaceId: primary.id,
          PrivateIpAddresses: ["10.0.0.99"],
        }),
      ),
  },
  {
    what: "UnassignIpv6Addresses of a prefix that is not there",
    code: "InvalidParameterValue",
    call: () =>
      client.send(
        new UnassignIpv6AddressesCommand({
          NetworkInterfaceId: primary.id,
          Ipv6Prefixes: ["2001:db8:0:a:1::/80"],
        }),
      ),
  },
  {
    what: "ModifyNetworkInterfaceAttribute of two attributes",
    code: "InvalidParameterCombination",
    call: () =>
      client.send(
        new ModifyNetworkInterfaceAttributeCommand({
          NetworkInterfaceId: primary.id,
          Description: { Value: "x" },
          SourceDestCheck: { Value: false },
        }),
      ),
  },
  {
    what: "ModifyNetworkInterfaceAttribute by the attachment of another interface",
    code: "InvalidAttachmentID.NotFound",
    call: () =>
      client.send(
        new ModifyNetworkInterfaceAttributeCommand({
          NetworkInterfaceId: primary.id,
          Attachment: {
            AttachmentId: primaryOf(cloud.account, nano).attachment?.id,
            DeleteOnTermination: false,
          },
        }),
      ),
  },
  {
    what: "DescribeNetworkInterfaceAttribute of an unknown attribute",
    code: "InvalidParameterValue",
    call: () =>
      client.send(
        new DescribeNetworkInterfaceAttributeCommand({
          NetworkInterfaceId: primary.id,
          Attribute: "associatePublicIpAddress",
        }),
      ),
  },
  {
    what: "CreateTags on something that is not there",
    code: "InvalidNetworkInterfaceID.NotFound",
    call: () =>
      client.send(new CreateTagsCommand({ Resources: ["eni-0123"], Tags: [{ Key: "a", Value: "b" }] })),
  },
  {
    what: "CreateTags beyond 50",
    code: "TagLimitExceeded",
    call: () =>
      client.send(
        new CreateTagsCommand({
          Resources: [primary.id],
          Tags: Array.from({ length: 51 }, (_, index) => ({ Key: `k${index}`, Value: "" })),
        }),
      ),
  },
  {
    what: "DescribeNetworkInterfaces with ids and MaxResults",
    code: "InvalidParameterCombination",
    call: () =>
      client.send(
        new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [primary.id], MaxResults: 10 }),
      ),
  },
  {
    what: "DescribeInstances with ids and MaxResults",
    code: "InvalidParameterCombination",
    call: () => client.send(new DescribeInstancesCommand({ InstanceIds: [large.id], MaxResults: 10 })),
  },
  {
    what: "DescribeNetworkInterfaces with pages that are too small",
    code: "InvalidParameterValue",
    call: () => client.send(new DescribeNetworkInterfacesCommand({ MaxResults: 4 })),
  },
  {
    what: "DescribeNetworkInterfaces with a token of nobody's",
    code: "InvalidPaginationToken",
    call: () => client.send(new DescribeNetworkInterfacesCommand({ NextToken: "x" })),
  },
  {
    what: "DescribeNetworkInterfaces with an unknown filter",
    code: "InvalidParameterValue",
    call: () =>
      client.send(
        new DescribeNetworkInterfacesCommand({ Filters: [{ Name: "instance-id", Values: ["i-0"] }] }),
      ),
  },
  {
    what: "DescribeInstanceTypes of an unknown type",
    code: "InvalidInstanceType",
    call: () => client.send(new DescribeInstanceTypesCommand({ InstanceTypes: ["m5.huge" as never] })),
  },
  {
    what: "DescribeSubnets of one that is not there",
    code: "InvalidSubnetID.NotFound",
    call: () => client.send(new DescribeSubnetsCommand({ SubnetIds: ["subnet-0123"] })),
  },
  {
    what: "DescribeVpcs of one that is not there",
    code: "InvalidVpcID.NotFound",
    call: () => client.send(new DescribeVpcsCommand({ VpcIds: ["vpc-0123"] })),
  },
  {
    what: "DescribeSecurityGroups of one that is not there",
    code: "InvalidGroup.NotFound",
    call: () => client.send(new DescribeSecurityGroupsCommand({ GroupIds: ["sg-0123"] })),
  },
];

describe("EC2 refuses", () => {
  it.each(rows)("$what with $code", async ({ call, code }) => {
    expect(await codeOf(call())).toBe(code);
  });
});

describe("EC2 changes nothing", () => {
  it("of what it refuses in part: one of two addresses to unassign, one of two to assign", async () => {
    const id = await create({ SecondaryPrivateIpAddressCount: 2 });
    const before = cloud.view();
    const [address = ""] = cloud.account.getInterface(id).secondaryIpv4.map(String);
    const unassign = { NetworkInterfaceId: id, PrivateIpAddresses: [address, "10.0.0.99"] };
    expect(await codeOf(client.send(new UnassignPrivateIpAddressesCommand(unassign)))).toBe(
      "InvalidParameterValue",
    );
    const assign = {
      NetworkInterfaceId: primary.id,
      PrivateIpAddresses: [address, primaryOf(cloud.account, nano).primaryIpv4.toString()],
      AllowReassignment: true,
    };
    expect(await codeOf(client.send(new AssignPrivateIpAddressesCommand(assign)))).toBe(
      "InvalidParameterValue",
    );
    expect(cloud.view()).toBe(before);
  });
});
