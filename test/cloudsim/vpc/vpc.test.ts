import { afterAll, beforeAll, expect, test } from "vitest";
import type { InterfaceId, SubnetId } from "../../../common/ids.ts";
import { parseMac } from "../../../common/ids.ts";
import { Cidr, IpAddress } from "../../../common/ip.ts";
import { ping, Sink, sendForged, tcpAsk, tcpEcho } from "../probe/index.ts";
import { ipBatch } from "./commands.ts";
import { buildVpc, EXT, formatRisen, HOSTILE, type Place, risen, runIn, type Vpc } from "./index.ts";

const address = (text: string) => IpAddress.parse(text);
const ETH0 = "eni-a0" as InterfaceId;
let vpc: Vpc;
let node: Place;
let peer: Place;

beforeAll(() => {
  vpc = buildVpc({
    id: "vpctest",
    cidrs: [Cidr.parse("10.0.0.0/16"), Cidr.parse("fd00:10::/48")],
    subnets: [
      {
        id: "subnet-a" as SubnetId,
        zone: "a",
        ipv4: Cidr.parse("10.0.0.0/24"),
        ipv6: Cidr.parse("fd00:10::/64"),
      },
    ],
  });
  node = vpc.addNode({ name: "node-a", profile: HOSTILE });
  const mac = parseMac("02:00:00:00:00:10");
  vpc.plug({
    interfaceId: ETH0,
    mac,
    subnetId: "subnet-a" as SubnetId,
    instance: "node-a",
    linkName: "eth0",
  });
  vpc.deliver(ETH0, [Cidr.parse("10.0.0.10"), Cidr.parse("fd00:10::10")]);
  vpc.boot("node-a", "eth0", { ipv4: address("10.0.0.10"), ipv6: address("fd00:10::10") });
  vpc.publish("203.0.113.10", "10.0.0.10");
  peer = vpc.addHost({ name: "peer", addresses: [address("10.0.9.9"), address("fd00:10:9::9")] });
});

afterAll(() => vpc[Symbol.dispose]());

/** What the counters say of a piece of work. */
async function during(work: () => Promise<unknown>): Promise<string> {
  const before = vpc.counters();
  await work();
  return formatRisen(risen(before, vpc.counters()));
}

test.each([
  ["10.0.0.10", "10.0.9.9"],
  ["fd00:10::10", "fd00:10:9::9"],
])("an instance and a host reach each other, %s and %s", async (own, other) => {
  expect(await ping(node.netnsPath, { to: address(other) })).toBe(true);
  expect(await ping(peer.netnsPath, { to: address(own) })).toBe(true);
});

test.each([
  ["10.0.0.77", "10.0.9.9", "ipv4"],
  ["fd00:10::77", "fd00:10:9::9", "ipv6"],
])("a source that is not the interface's is dropped and counted: %s", async (from, to, family) => {
  using sink = new Sink(peer.netnsPath, address(to), 7100);
  const rose = await during(async () => {
    sendForged(node.netnsPath, { from: address(from), to: address(to), port: 7100 });
    await ping(node.netnsPath, { to: address(to) });
  });
  expect(rose).toBe(`source-check eth0 node-a ${family} +1`);
  expect(sink.received).toEqual([]);
});

test("an address that is not assigned is dropped and counted, and no ARP is answered for it", async () => {
  expect(await during(() => ping(node.netnsPath, { to: address("10.0.7.7"), timeoutMs: 100 }))).toBe(
    "unassigned ipv4 +1",
  );
  expect(await during(() => ping(node.netnsPath, { to: address("10.0.0.77"), timeoutMs: 100 }))).toBe(
    "nothing",
  );
});

test("a published address is translated both ways, and others do not reach the internet", async () => {
  using _out = tcpEcho({ netnsPath: vpc.ext.netnsPath, address: address(EXT.ipv4), port: 7101, name: "ext" });
  using _in = tcpEcho({ netnsPath: node.netnsPath, address: address("10.0.0.10"), port: 7102, name: "node" });
  expect(await tcpAsk(node.netnsPath, { to: address(EXT.ipv4), port: 7101 })).toMatchObject({
    seenSource: address("203.0.113.10"),
  });
  expect(await tcpAsk(vpc.ext.netnsPath, { to: address("203.0.113.10"), port: 7102 })).toMatchObject({
    ok: true,
    server: "node",
    seenSource: address(EXT.ipv4),
  });
  expect(await during(() => ping(peer.netnsPath, { to: address(EXT.ipv4), timeoutMs: 100 }))).toBe(
    "internet-private-source ipv4 +1",
  );
});

test("the internet cannot start a connection to a private address; a load balancer can", async () => {
  using _server = tcpEcho({
    netnsPath: node.netnsPath,
    address: address("10.0.0.10"),
    port: 7103,
    name: "node",
  });
  const question = { to: address("10.0.0.10"), port: 7103, timeoutMs: 200 };
  expect(await during(() => tcpAsk(vpc.ext.netnsPath, { ...question, device: "inet0" }))).toBe(
    "internet-unpublished ipv4 +1",
  );
  expect(await tcpAsk(vpc.ext.netnsPath, question)).toMatchObject({
    ok: true,
    seenSource: address(EXT.ipv4),
  });
});

test("IPv6 is routed to and from the internet for assigned addresses", async () => {
  expect(await ping(node.netnsPath, { to: address(EXT.ipv6) })).toBe(true);
  expect(await ping(vpc.ext.netnsPath, { to: address("fd00:10::10") })).toBe(true);
});

test("a unit is delivered while it is assigned, and a block as one", async () => {
  const secondary = [address("10.0.0.112"), address("10.0.0.127")];
  using _sink = new Sink(node.netnsPath, address("10.0.0.10"), 7104);
  const reach = () => ping(peer.netnsPath, { to: secondary[1] as IpAddress, timeoutMs: 100 });
  vpc.deliver(ETH0, [Cidr.parse("10.0.0.10"), Cidr.parse("fd00:10::10"), Cidr.parse("10.0.0.112/28")]);
  expect(await during(reach)).not.toContain("unassigned");
  vpc.deliver(ETH0, [Cidr.parse("10.0.0.10"), Cidr.parse("fd00:10::10")]);
  expect(await during(reach)).toContain("unassigned ipv4 +1");
});

test("the router carries what is sent by way of fe80:ec2::1, as AWS's does", async () => {
  const other = "fd00:10:9::9";
  ipBatch(node.netnsPath, [`route add ${other}/128 via fe80:ec2::1 dev eth0 metric 1`]);
  expect(await ping(node.netnsPath, { to: address(other) })).toBe(true);
  ipBatch(node.netnsPath, [`route del ${other}/128 via fe80:ec2::1 dev eth0 metric 1`]);
});

test("an interface comes and goes with its link, its address and its counters; a second cloud is another world", async () => {
  using other = buildVpc({ ...vpc.spec, id: "vpcother" });
  const place = other.addNode({ name: "node-a", profile: HOSTILE });
  const port = {
    interfaceId: ETH0,
    mac: parseMac("02:00:00:00:00:10"),
    subnetId: "subnet-a" as SubnetId,
    instance: "node-a",
    linkName: "eth0",
  };
  const counter = "source-check eth0 node-a ipv4";
  for (const _ of ["first", "again"]) {
    other.plug(port);
    other.deliver(ETH0, [Cidr.parse("10.0.0.10")]);
    other.boot("node-a", "eth0", { ipv4: address("10.0.0.10") });
    expect(other.counters().get(counter)).toBe(0);
    expect(await ping(place.netnsPath, { to: address("10.0.0.1") })).toBe(true);
    expect(await ping(place.netnsPath, { to: address("10.0.9.9"), timeoutMs: 50 })).toBe(false);
    other.unplug(ETH0);
    other.unplug(ETH0);
    expect(other.counters().has(counter)).toBe(false);
    expect(() => runIn(place.netnsPath, ["ip", "link", "show", "eth0"])).toThrow("does not exist");
  }
});
