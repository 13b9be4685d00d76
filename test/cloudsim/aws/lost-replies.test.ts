/** Every call that changes something can have acted though its reply never came. */
import {
  AssignIpv6AddressesCommand,
  AssignPrivateIpAddressesCommand,
  AttachNetworkInterfaceCommand,
  CreateNetworkInterfaceCommand,
  CreateSubnetCidrReservationCommand,
  CreateTagsCommand,
  DeleteNetworkInterfaceCommand,
  DeleteSubnetCidrReservationCommand,
  DeleteTagsCommand,
  DetachNetworkInterfaceCommand,
  type EC2Client,
  ModifyNetworkInterfaceAttributeCommand,
  UnassignIpv6AddressesCommand,
  UnassignPrivateIpAddressesCommand,
} from "@aws-sdk/client-ec2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ec2 } from "./ec2.ts";
import { createInterface } from "./model/create-interface.ts";
import { reserveRange } from "./model/reserve.ts";
import type { Instance, NetworkInterface } from "./model/resources.ts";
import { codeOf, newClient, SUBNET_A, startTestEc2 } from "./testing.ts";

let cloud: Ec2;
let client: EC2Client;
let node: Instance;
let spare: NetworkInterface;
let attached: NetworkInterface;
let reservationId: string;

beforeEach(async () => {
  cloud = await startTestEc2();
  client = newClient(cloud);
  node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
  spare = createInterface(cloud.account, {
    subnetId: SUBNET_A,
    ipv4: { addressCount: 1 },
    ipv6: { addressCount: 1 },
    tags: new Map([["old", "1"]]),
  });
  attached = cloud.outsideHand.attach(node);
  reservationId = reserveRange(cloud.account, {
    subnetId: SUBNET_A,
    cidr: "10.0.0.240/28",
    type: "explicit",
  }).id;
});

afterEach(async () => {
  client.destroy();
  await cloud.close();
});

/** Everything that a write may change, as text. */
function state(): string {
  const ofInterfaces = [...cloud.account.interfaces.values()].map(({ description }) => description);
  const reserved = cloud.account.subnets.flatMap(({ reservations }) => reservations.map(({ id }) => id));
  return JSON.stringify([cloud.view(), ofInterfaces, reserved]);
}

const target = () => ({ NetworkInterfaceId: spare.id });
const WRITES: Readonly<Record<string, () => Promise<unknown>>> = {
  CreateNetworkInterface: () => client.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A })),
  DeleteNetworkInterface: () => client.send(new DeleteNetworkInterfaceCommand(target())),
  AttachNetworkInterface: () =>
    client.send(new AttachNetworkInterfaceCommand({ ...target(), InstanceId: node.id, DeviceIndex: 2 })),
  DetachNetworkInterface: () =>
    client.send(new DetachNetworkInterfaceCommand({ AttachmentId: attached.attachment?.id })),
  AssignPrivateIpAddresses: () =>
    client.send(new AssignPrivateIpAddressesCommand({ ...target(), SecondaryPrivateIpAddressCount: 1 })),
  UnassignPrivateIpAddresses: () =>
    client.send(
      new UnassignPrivateIpAddressesCommand({
        ...target(),
        PrivateIpAddresses: spare.secondaryIpv4.map(String),
      }),
    ),
  AssignIpv6Addresses: () =>
    client.send(new AssignIpv6AddressesCommand({ ...target(), Ipv6AddressCount: 1 })),
  UnassignIpv6Addresses: () =>
    client.send(new UnassignIpv6AddressesCommand({ ...target(), Ipv6Addresses: spare.ipv6.map(String) })),
  ModifyNetworkInterfaceAttribute: () =>
    client.send(
      new ModifyNetworkInterfaceAttributeCommand({ ...target(), Description: { Value: "changed" } }),
    ),
  CreateTags: () =>
    client.send(new CreateTagsCommand({ Resources: [spare.id], Tags: [{ Key: "new", Value: "1" }] })),
  DeleteTags: () => client.send(new DeleteTagsCommand({ Resources: [spare.id], Tags: [{ Key: "old" }] })),
  CreateSubnetCidrReservation: () =>
    client.send(
      new CreateSubnetCidrReservationCommand({
        SubnetId: SUBNET_A,
        Cidr: "10.0.0.224/28",
        ReservationType: "prefix",
      }),
    ),
  DeleteSubnetCidrReservation: () =>
    client.send(new DeleteSubnetCidrReservationCommand({ SubnetCidrReservationId: reservationId })),
};

describe("A lost reply", () => {
  it.each(Object.entries(WRITES))("of %s comes after the change was made", async (action, call) => {
    const before = state();
    cloud.faults.loseReply(action);
    expect(await codeOf(call())).not.toBe("ok");
    expect(cloud.calls.all(action).map(({ outcome }) => outcome)).toEqual(["lost"]);
    expect(state()).not.toBe(before);
  });
});
