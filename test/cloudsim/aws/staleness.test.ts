import {
  AssignPrivateIpAddressesCommand,
  CreateNetworkInterfaceCommand,
  CreateTagsCommand,
  DeleteNetworkInterfaceCommand,
  DescribeInstancesCommand,
  DescribeNetworkInterfacesCommand,
  type EC2Client,
  type NetworkInterface as WireInterface,
} from "@aws-sdk/client-ec2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ec2 } from "./ec2.ts";
import { primaryOf } from "./model/launch.ts";
import type { Instance } from "./model/resources.ts";
import { ManualTimers } from "./model/timers.ts";
import { codeOf, newClient, present, SUBNET_A, startTestEc2 } from "./testing.ts";

let timers: ManualTimers;
let cloud: Ec2;
let client: EC2Client;
let node: Instance;

async function start(seed = 1): Promise<void> {
  timers = new ManualTimers();
  cloud = await startTestEc2({ timers, seed });
  client = newClient(cloud);
  node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
}

beforeEach(() => start());

afterEach(async () => {
  client.destroy();
  await cloud.close();
});

async function list(): Promise<WireInterface[]> {
  return (await client.send(new DescribeNetworkInterfacesCommand({}))).NetworkInterfaces ?? [];
}

const find = async (id: string) => (await list()).find((one) => one.NetworkInterfaceId === id);

async function create(): Promise<string> {
  const reply = await client.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A }));
  return present(reply.NetworkInterface?.NetworkInterfaceId);
}

function assign(id: string) {
  const request = { NetworkInterfaceId: id, SecondaryPrivateIpAddressCount: 1 };
  return client.send(new AssignPrivateIpAddressesCommand(request));
}

const tag = (id: string) =>
  client.send(new CreateTagsCommand({ Resources: [id], Tags: [{ Key: "a", Value: "b" }] }));

describe("A describe that is behind", () => {
  it("shows what was there before for as long as the kind of the change says", async () => {
    const { id } = primaryOf(cloud.account, node);
    cloud.staleness.set({ units: 3000, tags: 1000 });
    await assign(id);
    await tag(id);
    const seen = async () => {
      const one = present(await find(id));
      return [one.PrivateIpAddresses?.length, one.TagSet?.length];
    };
    timers.advance(999);
    expect(await seen()).toEqual([1, 0]);
    timers.advance(2001);
    expect(await seen()).toEqual([2, 1]);
  });

  it("knows an interface neither in lists nor by id nor in its instance, and may know one that is deleted", async () => {
    cloud.staleness.set({ create: 1000, delete: 500 });
    const young = await create();
    const byId = (id: string) =>
      codeOf(client.send(new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [id] })));
    expect(await find(young)).toBeUndefined();
    expect(await byId(young)).toBe("InvalidNetworkInterfaceID.NotFound");
    timers.advance(1000);
    expect(await byId(young)).toBe("ok");
    await client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: young }));
    timers.advance(499);
    expect(await byId(young)).toBe("ok");
    timers.advance(1);
    expect(await find(young)).toBeUndefined();
  });

  it("shows an attachment late, also in DescribeInstances", async () => {
    cloud.staleness.set({ attachment: 700 });
    const { id } = cloud.outsideHand.attach(node);
    const attached = async () => {
      const reply = await client.send(new DescribeInstancesCommand({ InstanceIds: [node.id] }));
      return reply.Reservations?.[0]?.Instances?.[0]?.NetworkInterfaces?.length;
    };
    expect([(await find(id))?.Status, await attached()]).toEqual(["available", 1]);
    timers.advance(700);
    expect([(await find(id))?.Status, await attached()]).toEqual(["in-use", 2]);
  });

  it("does not hold writes back: they act on what is true", async () => {
    cloud.staleness.set({ create: 5000, units: 5000 });
    const id = await create();
    expect(await codeOf(assign(id))).toBe("ok");
    expect(await find(id)).toBeUndefined();
    timers.advance(5000);
    expect((await find(id))?.PrivateIpAddresses).toHaveLength(2);
  });

  it("may forget what the one before it knew, and does so alike with the same seed", async () => {
    const looks = async (seed: number) => {
      await start(seed);
      const { id } = primaryOf(cloud.account, node);
      cloud.staleness.set({ units: 1000, jitterMs: 1000 });
      await assign(id);
      timers.advance(1500);
      const counts: (number | undefined)[] = [];
      for (let look = 0; look < 30; look += 1) counts.push((await find(id))?.PrivateIpAddresses?.length);
      timers.advance(500);
      expect((await find(id))?.PrivateIpAddresses).toHaveLength(2);
      return counts.join("");
    };
    const counts = await looks(7);
    expect(counts).toContain("21");
    expect(counts).toContain("12");
    await cloud.close();
    expect(await looks(7)).toBe(counts);
  });

  it("is another thing than a metadata service that is behind", async () => {
    const { id, mac } = primaryOf(cloud.account, node);
    const metadata = async () => {
      const headers = { "x-aws-ec2-metadata-token-ttl-seconds": "60" };
      const url = `${cloud.imdsEndpoint(node)}/latest`;
      const token = await (await fetch(`${url}/api/token`, { method: "PUT", headers })).text();
      const path = `${url}/meta-data/network/interfaces/macs/${mac}/local-ipv4s`;
      const reply = await fetch(path, { headers: { "x-aws-ec2-metadata-token": token } });
      return (await reply.text()).split("\n").length;
    };
    const described = async () => (await find(id))?.PrivateIpAddresses?.length;
    timers.advance(10_000);
    cloud.staleness.set({ units: 1000 });
    cloud.imds(node).faults.lagMs = 3000;
    await assign(id);
    expect([await described(), await metadata()]).toEqual([1, 1]);
    timers.advance(1000);
    expect([await described(), await metadata()]).toEqual([2, 1]);
    timers.advance(2000);
    expect([await described(), await metadata()]).toEqual([2, 2]);
  });
});
