/** The AWS adapter against an EC2 that others wrote. Only what LocalStack is known to do right is asserted. */
import { existsSync } from "node:fs";
import {
  AssignPrivateIpAddressesCommand,
  AttachNetworkInterfaceCommand,
  type NetworkInterface,
} from "@aws-sdk/client-ec2";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { hasCode } from "../../common/errors.ts";
import { DEFAULT_POOL, type InterfaceId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import type { AwsNetwork } from "../../providers/aws/provider.ts";
import type { CloudInterface, CreateInterface } from "../../providers/provider.ts";
import { present } from "../cloudsim/aws/testing.ts";
import { CLUSTER, LocalLab, VPC_CIDR } from "./lab.ts";
import { LocalStack } from "./localstack.ts";
import { PoolNode } from "./pool-node.ts";

const START_MS = 120_000;

let localStack: LocalStack;
let lab: LocalLab;
let network: AwsNetwork;

beforeAll(async () => {
  localStack = await LocalStack.start();
}, START_MS);

afterAll(async () => {
  await localStack.stop();
  expect(existsSync(`/proc/${localStack.pid}`)).toBe(false);
  expect(existsSync(localStack.root)).toBe(false);
}, START_MS);

beforeEach(async () => {
  lab = await LocalLab.start(localStack);
  network = lab.network();
}, START_MS);

afterEach(() => lab.close());

const soon = () => AbortSignal.timeout(25_000);
const singles = (count: number) => ({ family: 4, prefixLength: 32, count }) as const;

async function seen(id: string, by: AwsNetwork = network): Promise<CloudInterface> {
  const { interfaces } = await by.describe(soon());
  return present(interfaces.find((one) => one.id === id));
}

function request(token: string, count = 2): CreateInterface {
  return {
    poolKey: DEFAULT_POOL,
    subnets: { by: "node" },
    avoid: [],
    securityGroupIds: [],
    cardIndex: 0,
    units: [singles(count)],
    token,
  };
}

const tagsOf = (one: NetworkInterface | undefined) =>
  Object.fromEntries((one?.TagSet ?? []).map(({ Key = "", Value = "" }) => [Key, Value]));

const addressesOf = (one: NetworkInterface | undefined) =>
  (one?.PrivateIpAddresses ?? [])
    .filter(({ Primary }) => Primary !== true)
    .map((entry) => present(entry.PrivateIpAddress))
    .sort();

const texts = (units: readonly Cidr[]) => units.map((unit) => unit.address.toString()).sort();

describe("On LocalStack, the node", () => {
  it("is found by its metadata, with what its type carries", async () => {
    expect(await network.identify(soon())).toMatchObject({ instanceId: lab.instanceId, zone: "eu-west-1a" });
    const { cards, unitsPerInterface } = await network.capabilities(soon());
    expect(cards).toEqual([{ index: 0, interfacesMax: 3 }]);
    expect(unitsPerInterface[4]).toBe(9);
  });

  it("has its primary shared, in its subnet, and the network's CIDRs", async () => {
    const { networkCidrs, interfaces } = await network.describe(soon());
    expect(networkCidrs.map(String)).toEqual([VPC_CIDR]);
    expect(interfaces).toHaveLength(1);
    expect(interfaces[0]).toMatchObject({
      id: lab.primaryId,
      isPrimary: true,
      ownership: "shared",
      state: "attached",
      units: [],
      subnet: { id: lab.subnetId, ipv4: Cidr.parse(VPC_CIDR) },
    });
  });
});

describe("On LocalStack, the life of an interface", () => {
  it("begins in one call with tags and addresses, and ends with nothing left", async () => {
    const made = await network.createInterface(request("life"), soon());
    expect(made).toMatchObject({ ownership: "ours", isPrimary: false, deviceIndex: 1 });
    const wire = await lab.find(made.id);
    expect(wire).toMatchObject({
      Status: "in-use",
      Attachment: { InstanceId: lab.instanceId, DeviceIndex: 1 },
      Description: `causeway ${CLUSTER} ${lab.instanceId}`,
    });
    expect(tagsOf(wire)).toMatchObject({
      "causeway.dev/cluster": CLUSTER,
      "causeway.dev/instance": lab.instanceId,
      "causeway.dev/token": "life",
    });
    const found = await seen(made.id, lab.network());
    expect(found).toMatchObject({ ownership: "ours", state: "attached" });
    expect(texts(found.units)).toEqual(addressesOf(wire));
    expect(found.units).toHaveLength(2);
    await network.deleteInterface(made.id, soon());
    expect(await lab.find(made.id)).toBeUndefined();
    await network.deleteInterface(made.id, soon());
    expect((await network.describe(soon())).interfaces.map(({ id }) => id)).toEqual([lab.primaryId]);
  });

  it("is one life for one token, also in a process that comes later", async () => {
    const made = await network.createInterface(request("same"), soon());
    const again = await lab.network().createInterface(request("same"), soon());
    expect(again.id).toBe(made.id);
    expect(await lab.list()).toHaveLength(2);
  });

  it("goes on where a crash left it, between creating and attaching", async () => {
    const left = await lab.create(
      {
        "causeway.dev/cluster": CLUSTER,
        "causeway.dev/instance": lab.instanceId,
        "causeway.dev/token": "crashed",
        "causeway.dev/pool": DEFAULT_POOL,
      },
      {
        PrivateIpAddresses: [
          { PrivateIpAddress: "10.20.7.1", Primary: true },
          { PrivateIpAddress: "10.20.7.2", Primary: false },
          { PrivateIpAddress: "10.20.7.3", Primary: false },
        ],
      },
    );
    const made = await network.createInterface(request("crashed"), soon());
    expect(made.id).toBe(left);
    expect(await lab.find(left)).toMatchObject({
      Status: "in-use",
      Attachment: { InstanceId: lab.instanceId },
    });
    const found = await seen(left);
    expect(found.own.map(String)).toEqual(["10.20.7.1"]);
    expect(texts(found.units)).toEqual(["10.20.7.2", "10.20.7.3"]);
  });

  it("holds more addresses and fewer, as describe shows them", async () => {
    const { id } = await network.createInterface(request("grows"), soon());
    const given = await network.assignUnits(id, [singles(3)], soon());
    const grown = await seen(id);
    expect(grown.units).toHaveLength(5);
    expect(texts(grown.units)).toEqual(addressesOf(await lab.find(id)));
    expect(texts(grown.units)).toEqual(expect.arrayContaining(texts(given)));
    expect(given).toHaveLength(3);
    await network.releaseUnits(id, given, soon());
    const shrunk = await seen(id, lab.network());
    expect(shrunk.units).toHaveLength(2);
    expect(texts(shrunk.units)).toEqual(addressesOf(await lab.find(id)));
    expect(shrunk.own).toEqual(grown.own);
  });
});

describe("On LocalStack, what is not ours", () => {
  it("stays on the primary, while our addresses beside it come and go", async () => {
    const theirs = ["10.20.8.1", "10.20.8.2"];
    const assign = { NetworkInterfaceId: lab.primaryId, PrivateIpAddresses: theirs };
    await lab.administrator.send(new AssignPrivateIpAddressesCommand(assign));
    const id = lab.primaryId as InterfaceId;
    expect(texts((await seen(id)).foreignUnits)).toEqual(theirs);
    const ours = await network.assignUnits(id, [singles(2)], soon());
    const managed = await seen(id, lab.network());
    expect(texts(managed.foreignUnits)).toEqual(theirs);
    expect(texts(managed.units)).toEqual(texts(ours));
    expect(tagsOf(await lab.find(id))["causeway.dev/foreign"]).toBe(theirs.join(" "));
    await expect(network.releaseUnits(id, managed.foreignUnits, soon())).rejects.toSatisfy((error) =>
      hasCode(error, "not-ours"),
    );
    await network.releaseUnits(id, ours, soon());
    expect(addressesOf(await lab.find(id))).toEqual(theirs);
  });

  it("is an interface that others attached: seen, and refused", async () => {
    const id = await lab.create({ Name: "theirs" });
    const place = { InstanceId: lab.instanceId, DeviceIndex: 1, NetworkCardIndex: 0 };
    await lab.administrator.send(new AttachNetworkInterfaceCommand({ NetworkInterfaceId: id, ...place }));
    expect(await seen(id)).toMatchObject({ ownership: "foreign", units: [] });
    await expect(network.deleteInterface(id as InterfaceId, soon())).rejects.toSatisfy((error) =>
      hasCode(error, "not-ours"),
    );
    const made = await network.createInterface(request("beside"), soon());
    expect(made.deviceIndex).toBe(2);
    expect((await lab.find(id))?.Status).toBe("in-use");
  });

  it("is what does not exist", async () => {
    const call = network.assignUnits("eni-0123456789abcdef0" as InterfaceId, [singles(1)], soon());
    await expect(call).rejects.toSatisfy((error) => hasCode(error, "not-found"));
  });
});

describe("On LocalStack, a node's pool", () => {
  let node: PoolNode | undefined;

  afterEach(async () => {
    await node?.stop();
    node = undefined;
  });

  /** What LocalStack shows: how many interfaces, and how many addresses for pods. */
  async function held() {
    node?.kick();
    const all = await lab.list();
    return { interfaces: all.length, addresses: all.flatMap(addressesOf).length };
  }

  it(
    "grows over a second interface with its pods, and shrinks to its spare when they go",
    async () => {
      node = await PoolNode.start(lab);
      await expect.poll(held, { timeout: 25_000 }).toEqual({ interfaces: 1, addresses: 2 });
      node.pending = 12;
      await expect.poll(held, { timeout: 25_000, interval: 200 }).toEqual({ interfaces: 2, addresses: 14 });
      await expect.poll(() => node?.count("free"), { timeout: 25_000 }).toBe(14);
      expect(node.limit()).toBeUndefined();
      node.pending = 0;
      await node.losePatience();
      await expect.poll(held, { timeout: 25_000, interval: 200 }).toEqual({ interfaces: 1, addresses: 2 });
      await expect.poll(() => node?.count("free"), { timeout: 25_000 }).toBe(2);
    },
    START_MS,
  );

  it(
    "goes on in a process that comes later with what is there",
    async () => {
      node = await PoolNode.start(lab);
      node.pending = 10;
      await expect.poll(held, { timeout: 25_000, interval: 200 }).toEqual({ interfaces: 2, addresses: 12 });
      await node.stop();
      const before = (await lab.list()).flatMap(addressesOf).sort();
      node = await PoolNode.start(lab);
      node.pending = 10;
      await expect.poll(() => node?.count("free"), { timeout: 25_000 }).toBe(12);
      expect((await lab.list()).flatMap(addressesOf).sort()).toEqual(before);
    },
    START_MS,
  );
});
