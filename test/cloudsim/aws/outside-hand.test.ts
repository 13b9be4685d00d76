import {
  AssignPrivateIpAddressesCommand,
  CreateNetworkInterfaceCommand,
  DescribeInstancesCommand,
  DescribeNetworkInterfacesCommand,
  DescribeVpcsCommand,
  type EC2Client,
} from "@aws-sdk/client-ec2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cidr } from "../../../common/ip.ts";
import type { Ec2 } from "./ec2.ts";
import { primaryOf } from "./model/launch.ts";
import type { Instance, NetworkInterface } from "./model/resources.ts";
import { freeIpv4Count } from "./model/subnet-addresses.ts";
import { ManualTimers } from "./model/timers.ts";
import {
  codeOf,
  newClient,
  present,
  RecordingDataPlane,
  SUBNET_A,
  SUBNET_B,
  startTestEc2,
} from "./testing.ts";

let dataPlane: RecordingDataPlane;
let timers: ManualTimers;
let cloud: Ec2;
let client: EC2Client;
let node: Instance;
let primary: NetworkInterface;

beforeEach(async () => {
  dataPlane = new RecordingDataPlane();
  timers = new ManualTimers();
  cloud = await startTestEc2({ dataPlane, timers, detachMs: 1000 });
  client = newClient(cloud);
  node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.4xlarge" });
  primary = primaryOf(cloud.account, node);
});

afterEach(async () => {
  client.destroy();
  await cloud.close();
});

async function find(id: string) {
  const Filters = [{ Name: "network-interface-id", Values: [id] }];
  const reply = await client.send(new DescribeNetworkInterfacesCommand({ Filters }));
  return reply.NetworkInterfaces?.[0];
}

describe("The outside hand", () => {
  it("leaves no call in the log and takes no token", async () => {
    const limited = await startTestEc2({
      rateLimits: { reads: { size: 0, perSecond: 0 }, writes: { size: 0, perSecond: 0 } },
    });
    const instance = await limited.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    limited.outsideHand.attach(instance);
    expect(limited.calls.count()).toBe(0);
    expect(limited.account.interfacesOf(instance.id)).toHaveLength(2);
    await limited.close();
  });

  it("attaches an interface with tags at the first free index, and its link shows", async () => {
    const { id } = cloud.outsideHand.attach(node, { tags: { owner: "them" } });
    const other = cloud.outsideHand.attach(node);
    expect(await find(id)).toMatchObject({
      Attachment: { DeviceIndex: 1, InstanceId: node.id, Status: "attached" },
      TagSet: [{ Key: "owner", Value: "them" }],
    });
    expect((await find(other.id))?.Attachment?.DeviceIndex).toBe(2);
    expect(dataPlane.delivered.has(id)).toBe(true);
  });

  it("detaches, which takes its time, and deletes, which does not", async () => {
    const { id } = cloud.outsideHand.attach(node);
    cloud.outsideHand.detach(id);
    expect((await find(id))?.Attachment?.Status).toBe("detaching");
    timers.advance(1000);
    expect((await find(id))?.Status).toBe("available");
    const other = cloud.outsideHand.attach(node);
    cloud.outsideHand.delete(other.id);
    expect(await find(other.id)).toBeUndefined();
    expect(dataPlane.delivered.has(other.id)).toBe(false);
  });

  it("assigns and takes away units of both families, and the network follows", () => {
    const before = dataPlane.delivered.get(primary.id);
    const { outsideHand } = cloud;
    const units = [
      ...outsideHand.assign(primary.id, 4, { addressCount: 2 }),
      ...outsideHand.assign(primary.id, 4, { prefixCount: 1 }),
      ...outsideHand.assign(primary.id, 6, { addressCount: 1 }),
      ...outsideHand.assign(primary.id, 6, { prefixCount: 1 }),
    ];
    expect(dataPlane.delivered.get(primary.id)).toEqual(expect.arrayContaining(units.map(String)));
    outsideHand.unassign(primary.id, units);
    expect(dataPlane.delivered.get(primary.id)).toEqual(before);
  });

  it("tags and untags", async () => {
    cloud.outsideHand.tag(primary.id, { "causeway.dev/unmanaged": "true", other: "1" });
    cloud.outsideHand.untag(primary.id, "other");
    expect((await find(primary.id))?.TagSet).toEqual([{ Key: "causeway.dev/unmanaged", Value: "true" }]);
  });

  it("adds a CIDR to the VPC and takes one away", async () => {
    const states = async () => {
      const [vpc] = (await client.send(new DescribeVpcsCommand({}))).Vpcs ?? [];
      const list = vpc?.CidrBlockAssociationSet ?? [];
      return Object.fromEntries(list.map((one) => [one.CidrBlock, one.CidrBlockState?.State]));
    };
    const joined = Cidr.parse("10.9.0.0/16");
    cloud.outsideHand.addVpcCidr(joined);
    expect(await states()).toMatchObject({ "10.9.0.0/16": "associated" });
    cloud.outsideHand.removeVpcCidr(joined);
    expect(await states()).toMatchObject({ "10.9.0.0/16": "disassociated", "10.0.0.0/16": "associated" });
  });

  it("stops, terminates and in the end forgets an instance", async () => {
    const state = async () => {
      const reply = await client.send(new DescribeInstancesCommand({ InstanceIds: [node.id] }));
      return reply.Reservations?.[0]?.Instances?.[0]?.State;
    };
    const { id } = cloud.outsideHand.attach(node);
    cloud.outsideHand.stop(node.id);
    expect(await state()).toEqual({ Code: 80, Name: "stopped" });
    expect((await find(id))?.Status).toBe("in-use");
    cloud.outsideHand.terminate(node.id);
    expect(await state()).toEqual({ Code: 48, Name: "terminated" });
    expect([(await find(primary.id))?.Status, (await find(id))?.Status]).toEqual([undefined, "available"]);
    cloud.outsideHand.forget(node.id);
    expect(await codeOf(state())).toBe("InvalidInstanceID.NotFound");
  });

  it("uses a subnet up, all but so many addresses", async () => {
    cloud.outsideHand.fill(SUBNET_A, 2);
    expect(freeIpv4Count(cloud.account, cloud.account.getSubnet(SUBNET_A))).toBe(2);
    const create = (SecondaryPrivateIpAddressCount: number) =>
      codeOf(
        client.send(
          new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A, SecondaryPrivateIpAddressCount }),
        ),
      );
    expect(await create(2)).toBe("InsufficientFreeAddressesInSubnet");
    expect(await create(1)).toBe("ok");
    expect(await create(0)).toBe("InsufficientFreeAddressesInSubnet");
  });

  it("breaks a subnet's free blocks up, all but so many", async () => {
    cloud.outsideHand.fragment(SUBNET_A, 1);
    const target = { NetworkInterfaceId: primary.id };
    const block = async () => {
      const request = { ...target, Ipv4PrefixCount: 1 };
      return present((await client.send(new AssignPrivateIpAddressesCommand(request))).AssignedIpv4Prefixes);
    };
    expect(await block()).toHaveLength(1);
    expect(await codeOf(block())).toBe("InsufficientCidrBlocks");
    const single = { ...target, SecondaryPrivateIpAddressCount: 10 };
    expect(await codeOf(client.send(new AssignPrivateIpAddressesCommand(single)))).toBe("ok");
    const elsewhere = new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_B, Ipv4PrefixCount: 1 });
    expect(await codeOf(client.send(elsewhere))).toBe("ok");
  });
});
