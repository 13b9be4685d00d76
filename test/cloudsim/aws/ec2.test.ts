import { once } from "node:events";
import type { AddressInfo } from "node:net";
import {
  AssignIpv6AddressesCommand,
  AssignPrivateIpAddressesCommand,
  AttachNetworkInterfaceCommand,
  CreateNetworkInterfaceCommand,
  CreateTagsCommand,
  DeleteNetworkInterfaceCommand,
  DeleteTagsCommand,
  DescribeNetworkInterfaceAttributeCommand,
  DescribeNetworkInterfacesCommand,
  DetachNetworkInterfaceCommand,
  type EC2Client,
  ModifyNetworkInterfaceAttributeCommand,
  UnassignIpv6AddressesCommand,
  UnassignPrivateIpAddressesCommand,
  type NetworkInterface as WireInterface,
} from "@aws-sdk/client-ec2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ec2 } from "./ec2.ts";
import { primaryOf } from "./model/launch.ts";
import type { Instance } from "./model/resources.ts";
import { freeIpv4Count } from "./model/subnet-addresses.ts";
import { ManualTimers } from "./model/timers.ts";
import {
  codeOf,
  newClient,
  present,
  RecordingDataPlane,
  SMALL_SUBNET,
  SUBNET_A,
  startTestEc2,
} from "./testing.ts";

const ATTACH_MS = 2000;
const DETACH_MS = 3000;

let dataPlane: RecordingDataPlane;
let timers: ManualTimers;
let cloud: Ec2;
let client: EC2Client;
let node: Instance;

beforeEach(async () => {
  dataPlane = new RecordingDataPlane();
  timers = new ManualTimers();
  cloud = await startTestEc2({ dataPlane, timers, attachMs: ATTACH_MS, detachMs: DETACH_MS });
  client = newClient(cloud);
  node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large", name: "node-1" });
});

afterEach(async () => {
  client.destroy();
  await cloud.close();
});

async function describeOne(id: string): Promise<WireInterface> {
  const reply = await client.send(new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [id] }));
  return present(reply.NetworkInterfaces?.[0]);
}

async function createOne(input = {}): Promise<string> {
  const reply = await client.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A, ...input }));
  return present(reply.NetworkInterface?.NetworkInterfaceId);
}

async function attachOne(id: string): Promise<string> {
  const place = { InstanceId: node.id, DeviceIndex: 1, NetworkCardIndex: 0 };
  const reply = await client.send(new AttachNetworkInterfaceCommand({ NetworkInterfaceId: id, ...place }));
  return present(reply.AttachmentId);
}

/** Addresses and prefixes of a reply, as the data plane has them. */
function unitsIn(reply: WireInterface): string[] {
  return [
    ...(reply.PrivateIpAddresses ?? []).map(({ PrivateIpAddress }) => `${PrivateIpAddress}/32`),
    ...(reply.Ipv4Prefixes ?? []).map(({ Ipv4Prefix }) => present(Ipv4Prefix)),
    ...(reply.Ipv6Addresses ?? []).map(({ Ipv6Address }) => `${Ipv6Address}/128`),
    ...(reply.Ipv6Prefixes ?? []).map(({ Ipv6Prefix }) => present(Ipv6Prefix)),
  ].sort();
}

describe("CreateNetworkInterface", () => {
  it("gives everything that one call asks for", async () => {
    const reply = await client.send(
      new CreateNetworkInterfaceCommand({
        SubnetId: SUBNET_A,
        Description: "pods",
        PrivateIpAddress: "10.0.0.20",
        Ipv4PrefixCount: 2,
        Ipv6PrefixCount: 1,
        TagSpecifications: [{ ResourceType: "network-interface", Tags: [{ Key: "a", Value: "<b> & c" }] }],
      }),
    );
    expect(reply.ClientToken).toMatch(/^[0-9a-f-]{36}$/);
    const created = present(reply.NetworkInterface);
    expect(created).toMatchObject({
      Description: "pods",
      Status: "available",
      InterfaceType: "interface",
      SubnetId: SUBNET_A,
      VpcId: "vpc-01",
      AvailabilityZone: "eu-west-1a",
      PrivateIpAddress: "10.0.0.20",
      PrivateIpAddresses: [{ Primary: true, PrivateIpAddress: "10.0.0.20" }],
      TagSet: [{ Key: "a", Value: "<b> & c" }],
      Groups: [{ GroupName: "default" }],
    });
    expect(created.Attachment).toBeUndefined();
    expect(created.Ipv4Prefixes).toHaveLength(2);
    expect(created.Ipv6Prefixes?.[0]?.Ipv6Prefix).toMatch(/\/80$/);
    expect(dataPlane.delivered.has(present(created.NetworkInterfaceId))).toBe(false);
  });

  it("takes the primary address from the list when it is marked there", async () => {
    const list = [
      { PrivateIpAddress: "10.0.0.31", Primary: false },
      { PrivateIpAddress: "10.0.0.30", Primary: true },
    ];
    expect(await describeOne(await createOne({ PrivateIpAddresses: list }))).toMatchObject({
      PrivateIpAddress: "10.0.0.30",
      PrivateIpAddresses: [
        { PrivateIpAddress: "10.0.0.30", Primary: true },
        { PrivateIpAddress: "10.0.0.31", Primary: false },
      ],
    });
  });

  it("makes one interface for one client token", async () => {
    const before = cloud.account.interfaces.size;
    const input = { ClientToken: "one", SecondaryPrivateIpAddressCount: 2 };
    const [first, again] = [await createOne(input), await createOne(input)];
    expect(again).toBe(first);
    expect(cloud.account.interfaces.size).toBe(before + 1);
    expect(await createOne({ ...input, ClientToken: "two" })).not.toBe(first);
  });
});

describe("AttachNetworkInterface", () => {
  it("shows the link only when attaching is over, with all it is to receive", async () => {
    const id = await createOne({ Ipv4PrefixCount: 1, Ipv6AddressCount: 1 });
    await attachOne(id);
    expect(await describeOne(id)).toMatchObject({
      Status: "in-use",
      Attachment: { Status: "attaching", InstanceId: node.id, DeviceIndex: 1, NetworkCardIndex: 0 },
    });
    timers.advance(ATTACH_MS - 1);
    expect(dataPlane.events).not.toContain(`plug ${id} node-1 eth1`);
    timers.advance(1);
    expect(dataPlane.events.slice(-2)).toEqual([`plug ${id} node-1 eth1`, `deliver ${id}`]);
    const attached = await describeOne(id);
    expect(attached.Attachment).toMatchObject({ Status: "attached", DeleteOnTermination: false });
    expect([...(dataPlane.delivered.get(id) ?? [])].sort()).toEqual(unitsIn(attached));
  });

  it("without a network card fails at an index that another card uses, as EC2 does, and works with the card named", async () => {
    const fabric = await cloud.addInstance({ subnetId: SUBNET_A, type: "c6in.32xlarge" });
    const place = { InstanceId: fabric.id, DeviceIndex: 1 };
    const attach = async (extra: { readonly NetworkCardIndex?: number }) =>
      codeOf(
        client.send(
          new AttachNetworkInterfaceCommand({ NetworkInterfaceId: await createOne(), ...place, ...extra }),
        ),
      );
    expect(await attach({ NetworkCardIndex: 1 })).toBe("ok");
    expect(await attach({})).toBe("InvalidParameterValue");
    expect(await attach({ NetworkCardIndex: 0 })).toBe("ok");
  });
});

describe("AttachmentLimitExceeded", () => {
  it("comes when one network card is full, with room on another", async () => {
    const fabric = await cloud.addInstance({ subnetId: SUBNET_A, type: "c6in.32xlarge" });
    const attach = async (DeviceIndex: number, NetworkCardIndex: number) => {
      const place = { InstanceId: fabric.id, DeviceIndex, NetworkCardIndex };
      const NetworkInterfaceId = await createOne();
      return codeOf(client.send(new AttachNetworkInterfaceCommand({ NetworkInterfaceId, ...place })));
    };
    for (let device = 1; device < 8; device += 1) expect(await attach(device, 0)).toBe("ok");
    expect(await attach(8, 0)).toBe("AttachmentLimitExceeded");
    expect(await attach(0, 1)).toBe("ok");
  });
});

describe("DetachNetworkInterface and DeleteNetworkInterface", () => {
  it("take the link away when detaching is over, and only then let the interface be deleted", async () => {
    const id = await createOne();
    const attachmentId = await attachOne(id);
    timers.advance(ATTACH_MS);
    await client.send(new DetachNetworkInterfaceCommand({ AttachmentId: attachmentId }));
    expect((await describeOne(id)).Attachment?.Status).toBe("detaching");
    const remove = () => codeOf(client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id })));
    expect(await remove()).toBe("InvalidParameterValue");
    expect(dataPlane.events).not.toContain(`unplug ${id}`);
    timers.advance(DETACH_MS);
    expect(dataPlane.events).toContain(`unplug ${id}`);
    expect((await describeOne(id)).Status).toBe("available");
    expect(await remove()).toBe("ok");
    expect(await remove()).toBe("InvalidNetworkInterfaceID.NotFound");
  });

  it("let the interface be attached again, with all it is to receive", async () => {
    const id = await createOne();
    for (const time of ["first", "second"]) {
      const attachmentId = await attachOne(id);
      timers.advance(ATTACH_MS);
      expect(dataPlane.delivered.get(id), time).toHaveLength(1);
      await client.send(new DetachNetworkInterfaceCommand({ AttachmentId: attachmentId }));
      timers.advance(DETACH_MS);
    }
  });

  it("do not end a new attachment when an old one was still detaching", async () => {
    const other = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large", name: "node-2" });
    const id = await createOne();
    await client.send(new DetachNetworkInterfaceCommand({ AttachmentId: await attachOne(id) }));
    cloud.terminateInstance(node);
    const place = { InstanceId: other.id, DeviceIndex: 1, NetworkCardIndex: 0 };
    await client.send(new AttachNetworkInterfaceCommand({ NetworkInterfaceId: id, ...place }));
    timers.advance(ATTACH_MS + DETACH_MS);
    expect((await describeOne(id)).Attachment).toMatchObject({ Status: "attached", InstanceId: other.id });
  });

  it("never show the link of an interface that is detached before attaching was over", async () => {
    const id = await createOne();
    await client.send(new DetachNetworkInterfaceCommand({ AttachmentId: await attachOne(id) }));
    timers.advance(ATTACH_MS + DETACH_MS);
    expect(dataPlane.events.filter((event) => event.includes(id))).toEqual([]);
    expect((await describeOne(id)).Status).toBe("available");
  });
});

describe("Assigning and unassigning", () => {
  it("answers with the new addresses only, and the network follows each change", async () => {
    const { id } = primaryOf(cloud.account, node);
    const target = { NetworkInterfaceId: id };
    const four = await client.send(
      new AssignPrivateIpAddressesCommand({ ...target, SecondaryPrivateIpAddressCount: 2 }),
    );
    expect(four.AssignedPrivateIpAddresses).toHaveLength(2);
    const blocks = await client.send(new AssignPrivateIpAddressesCommand({ ...target, Ipv4PrefixCount: 1 }));
    expect(blocks.AssignedPrivateIpAddresses).toEqual([]);
    const six = await client.send(new AssignIpv6AddressesCommand({ ...target, Ipv6AddressCount: 1 }));
    const sixBlocks = await client.send(new AssignIpv6AddressesCommand({ ...target, Ipv6PrefixCount: 1 }));
    expect([...(dataPlane.delivered.get(id) ?? [])].sort()).toEqual(unitsIn(await describeOne(id)));
    expect(dataPlane.delivered.get(id)).toHaveLength(2 + 2 + 1 + 1 + 1);

    const [one, other] = (four.AssignedPrivateIpAddresses ?? []).map((item) =>
      present(item.PrivateIpAddress),
    );
    const prefix = present(blocks.AssignedIpv4Prefixes?.[0]?.Ipv4Prefix);
    const addresses = [present(one), present(other)];
    await client.send(new UnassignPrivateIpAddressesCommand({ ...target, PrivateIpAddresses: addresses }));
    await client.send(new UnassignPrivateIpAddressesCommand({ ...target, Ipv4Prefixes: [prefix] }));
    const gone = await client.send(
      new UnassignIpv6AddressesCommand({
        ...target,
        Ipv6Addresses: present(six.AssignedIpv6Addresses),
        Ipv6Prefixes: present(sixBlocks.AssignedIpv6Prefixes),
      }),
    );
    expect(gone.UnassignedIpv6Addresses).toEqual(six.AssignedIpv6Addresses);
    expect(gone.UnassignedIpv6Prefixes).toEqual(sixBlocks.AssignedIpv6Prefixes);
    expect(dataPlane.delivered.get(id)).toHaveLength(2);
    // one for each call that changed something, and the first
    expect(dataPlane.events.filter((event) => event === `deliver ${id}`)).toHaveLength(1 + 7);
  });

  it("moves an address from its interface when that is allowed", async () => {
    const from = await createOne({ SecondaryPrivateIpAddressCount: 1 });
    const [address = ""] = cloud.account.getInterface(from).secondaryIpv4.map(String);
    const { id } = primaryOf(cloud.account, node);
    const assign = { NetworkInterfaceId: id, PrivateIpAddresses: [address] };
    const move = (AllowReassignment: boolean) =>
      codeOf(client.send(new AssignPrivateIpAddressesCommand({ ...assign, AllowReassignment })));
    expect(await move(false)).toBe("InvalidParameterValue");
    expect(await move(true)).toBe("ok");
    expect(cloud.account.getInterface(from).secondaryIpv4).toEqual([]);
    expect(dataPlane.delivered.get(id)).toContain(`${address}/32`);
  });

  it("has no /28 in a subnet with enough addresses in the wrong places", async () => {
    for (let block = 0; block < 16; block += 1) {
      await createOne({ PrivateIpAddress: `10.0.0.${block * 16 + 5}` }).catch(() => undefined);
    }
    const subnet = cloud.account.getSubnet(SUBNET_A);
    expect(freeIpv4Count(cloud.account, subnet)).toBeGreaterThan(200);
    const { id } = primaryOf(cloud.account, node);
    const assign = (request: object) =>
      codeOf(client.send(new AssignPrivateIpAddressesCommand({ NetworkInterfaceId: id, ...request })));
    expect(await assign({ Ipv4PrefixCount: 1 })).toBe("InsufficientCidrBlocks");
    expect(await assign({ SecondaryPrivateIpAddressCount: 1 })).toBe("ok");
  });

  it("gives every address of a subnet but the five reserved, and then none", async () => {
    await createOne({ SubnetId: SMALL_SUBNET, SecondaryPrivateIpAddressCount: 10 });
    const [only] = cloud.account.interfacesIn(cloud.account.getSubnet(SMALL_SUBNET));
    const all = [present(only).primaryIpv4, ...present(only).secondaryIpv4].map(String).sort();
    expect(all).toEqual(Array.from({ length: 11 }, (_, index) => `10.0.2.${index + 4}`).sort());
    expect(await codeOf(createOne({ SubnetId: SMALL_SUBNET }))).toBe("InsufficientFreeAddressesInSubnet");
  });
});

describe("Attributes and tags", () => {
  it("change one at a time and read back", async () => {
    const id = await createOne();
    const attachmentId = await attachOne(id);
    const group = cloud.account.addSecurityGroup("pods");
    timers.advance(ATTACH_MS);
    const seen = dataPlane.events.length;
    const modify = (change: object) =>
      client.send(new ModifyNetworkInterfaceAttributeCommand({ NetworkInterfaceId: id, ...change }));
    await modify({ Attachment: { AttachmentId: attachmentId, DeleteOnTermination: true } });
    await modify({ SourceDestCheck: { Value: false } });
    await modify({ Description: { Value: "of the pods" } });
    await modify({ Groups: [group.id] });
    expect(await describeOne(id)).toMatchObject({
      Attachment: { DeleteOnTermination: true },
      SourceDestCheck: false,
      Description: "of the pods",
      Groups: [{ GroupId: group.id, GroupName: "pods" }],
    });
    expect(dataPlane.events.slice(seen)).toEqual([]);
    const attribute = (Attribute: "attachment" | "description" | "groupSet" | "sourceDestCheck") =>
      client.send(new DescribeNetworkInterfaceAttributeCommand({ NetworkInterfaceId: id, Attribute }));
    expect((await attribute("attachment")).Attachment?.DeleteOnTermination).toBe(true);
    expect((await attribute("description")).Description?.Value).toBe("of the pods");
    expect((await attribute("groupSet")).Groups).toEqual([{ GroupId: group.id, GroupName: "pods" }]);
    expect((await attribute("sourceDestCheck")).SourceDestCheck?.Value).toBe(false);
  });

  it("come and go; a value that does not match stays", async () => {
    const id = await createOne();
    const tags = [
      { Key: "a", Value: "1" },
      { Key: "b", Value: "2" },
      { Key: "c", Value: "3" },
    ];
    await client.send(new CreateTagsCommand({ Resources: [id, node.id], Tags: tags }));
    const remove = [{ Key: "a" }, { Key: "b", Value: "2" }, { Key: "c", Value: "other" }];
    await client.send(new DeleteTagsCommand({ Resources: [id], Tags: remove }));
    expect((await describeOne(id)).TagSet).toEqual([{ Key: "c", Value: "3" }]);
    expect([...node.tags.keys()]).toEqual(["a", "b", "c"]);
  });
});

describe("Instances", () => {
  it("start with their primary interface plugged and public address published", async () => {
    const instance = await cloud.addInstance({
      subnetId: SUBNET_A,
      type: "t3.medium",
      name: "node-2",
      primaryIpv4: "10.0.0.40",
      publicIpv4: "198.51.100.7",
    });
    const { id } = primaryOf(cloud.account, instance);
    expect(dataPlane.events.slice(-3)).toEqual([
      `plug ${id} node-2 eth0`,
      `deliver ${id}`,
      "publish 198.51.100.7 10.0.0.40",
    ]);
    expect((await describeOne(id)).Association?.PublicIp).toBe("198.51.100.7");
  });

  it("take interfaces with delete-on-termination with them and leave the others", async () => {
    const stays = await createOne();
    await attachOne(stays);
    timers.advance(ATTACH_MS);
    const { id: goes } = primaryOf(cloud.account, node);
    cloud.terminateInstance(node);
    expect(dataPlane.events).toEqual(expect.arrayContaining([`unplug ${goes}`, `unplug ${stays}`]));
    expect(await codeOf(describeOne(goes))).toBe("InvalidNetworkInterfaceID.NotFound");
    expect((await describeOne(stays)).Status).toBe("available");
  });
});

describe("startEc2()", () => {
  it("lets the caller say where each server listens", async () => {
    const roles: string[] = [];
    const other = await startTestEc2({
      listen: async (server, role) => {
        roles.push(role.kind === "imds" ? role.instance.name : role.kind);
        server.listen(0, "127.0.0.1");
        await once(server, "listening");
        return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      },
    });
    const instance = await other.addInstance({ subnetId: SUBNET_A, type: "m5.large", name: "node-9" });
    expect(roles).toEqual(["ec2", "node-9"]);
    expect(other.imdsEndpoint(instance)).not.toBe(other.endpoint);
    await other.close();
    await other.close();
  });

  it("chooses alike with one seed and differently with another", async () => {
    const views: string[] = [];
    for (const seed of [7, 7, 8]) {
      const other = await startTestEc2({ seed, timers: new ManualTimers() });
      await other.addInstance({ subnetId: SUBNET_A, type: "m5.large", ipv4: { addressCount: 3 } });
      views.push(other.view());
      await other.close();
    }
    expect(views[1]).toBe(views[0]);
    expect(views[2]).not.toBe(views[0]);
  });
});
