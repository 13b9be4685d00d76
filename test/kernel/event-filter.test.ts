import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseMac } from "../../common/ids.ts";
import { Cidr, IpAddress } from "../../common/ip.ts";
import { nftEventFilter, peerEventFilter, routeEventFilter } from "../../common/kernel/event-filter.ts";
import { attachFilter, close, openNetlink, receive, setSocketOption } from "../../common/kernel/libc.ts";
import { NetlinkEvents } from "../../common/kernel/netlink-events.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "../../common/kernel/netlink-message.ts";
import { NetlinkNft } from "../../common/kernel/netlink-nft.ts";
import { NetlinkSocket } from "../../common/kernel/netlink-socket.ts";
import { inNetns } from "../../common/kernel/netns-window.ts";
import { NftProgram } from "../../common/kernel/nft-program.ts";
import { OwnPorts } from "../../common/kernel/own-ports.ts";
import { openNetnsFile, openStack } from "../../common/kernel/proc-netns.ts";
import { createNetns, run, type TestNetns } from "./namespaces.ts";

const SOL_NETLINK = 270;
const [ADD_MEMBERSHIP, LISTEN_ALL_NSID] = [1, 8];
const [LINKS, NEIGHBOURS, IPV4_ADDRESSES, IPV4_ROUTES, IPV6_ADDRESSES, IPV6_ROUTES] = [1, 3, 5, 7, 9, 11];
const NFT = 7;

let host: TestNetns;
let fd: number;
let own: ReturnType<typeof openStack>;
const subscribed: number[] = [];

beforeEach(() => {
  host = createNetns();
  fd = openNetnsFile(host.path);
  own = openStack(fd);
});
afterEach(() => {
  own.socket[Symbol.dispose]();
  for (const socket of [fd, ...subscribed.splice(0)]) close(socket);
  host.destroy();
});

function subscribe(protocol: number, groups: readonly number[], filter?: Buffer): number {
  const socket = inNetns(fd, () => openNetlink(protocol).fd);
  subscribed.push(socket);
  if (filter !== undefined) attachFilter(socket, filter);
  for (const group of groups) setSocketOption(socket, SOL_NETLINK, ADD_MEMBERSHIP, group);
  return socket;
}

/** What has been sent to a subscriber by now: nlmsg_type of the first message of each. */
function typesReceived(socket: number): number[] {
  const types: number[] = [];
  for (let bytes = receive(socket); bytes !== undefined; bytes = receive(socket))
    types.push(bytes.readUInt16LE(4));
  return types;
}

const held = {
  destination: Cidr.parse("10.9.0.0/24"),
  table: 4100,
  type: "blackhole",
  protocol: 197,
  metric: 8192,
} as const;

describe("routeEventFilter()", () => {
  it("lets nothing of our own changes through, and what another does", () => {
    const groups = [NEIGHBOURS, IPV4_ROUTES, IPV6_ROUTES];
    const filtered = subscribe(NETLINK_ROUTE, groups, routeEventFilter([1, own.socket.port, 2]));
    const all = subscribe(NETLINK_ROUTE, groups);
    own.stack.routes.add(held);
    expect(typesReceived(all)).toHaveLength(1);
    expect(typesReceived(filtered)).toHaveLength(0);
    run(`ip -n ${host.name} route add blackhole 10.8.0.0/24 table 4100`);
    run(`ip -n ${host.name} route del blackhole 10.9.0.0/24 table 4100 metric 8192`);
    expect(typesReceived(filtered)).toEqual([24, 25]);
  });

  it("lets through what the kernel does not ascribe to anybody, but for neighbours that come and routes of addresses", () => {
    const groups = [LINKS, NEIGHBOURS, IPV4_ADDRESSES, IPV4_ROUTES, IPV6_ADDRESSES, IPV6_ROUTES];
    run(`ip -n ${host.name} link add a0 type veth peer name a1`);
    run(`ip -n ${host.name} link set a1 up`);
    const filtered = subscribe(NETLINK_ROUTE, groups, routeEventFilter([own.socket.port]));
    const all = subscribe(NETLINK_ROUTE, groups);
    run(`ip -n ${host.name} link set a0 up`);
    run(`ip -n ${host.name} addr add 10.7.0.1/24 dev a0`);
    run(`ip -n ${host.name} neigh add 10.7.0.2 lladdr 02:00:00:00:00:01 dev a0`);
    run(`ip -n ${host.name} neigh del 10.7.0.2 dev a0`);
    const [some, every] = [typesReceived(filtered), typesReceived(all)];
    expect(every).toContain(28);
    expect(some).not.toContain(28);
    for (const type of [16, 20, 24, 29]) expect(some).toContain(type);
    // 10.7.0.0/24 alone, of all that the address brought
    expect(every.filter((type) => type === 24).length).toBeGreaterThan(
      1 + some.filter((type) => type === 24).length,
    );
  });
});

describe("nftEventFilter()", () => {
  it("lets nothing of our own transactions through, and all of another's", () => {
    run(`ip netns exec ${host.name} nft add table inet causeway`);
    run(`ip netns exec ${host.name} nft add set inet causeway genuine4 { type ifname . ipv4_addr ; }`);
    using socket = inNetns(fd, () => NetlinkSocket.open(NETLINK_NETFILTER));
    const filtered = subscribe(NETLINK_NETFILTER, [NFT], nftEventFilter([socket.port]));
    const all = subscribe(NETLINK_NETFILTER, [NFT]);
    const element = { set: "genuine", link: "cw0", address: IpAddress.parse("10.9.0.1") } as const;
    new NetlinkNft(socket, new NftProgram(new OwnPorts(), host.path)).change([{ op: "add", element }]);
    expect(typesReceived(all)).not.toHaveLength(0);
    expect(typesReceived(filtered)).toHaveLength(0);
    run(`ip netns exec ${host.name} nft delete table inet causeway`);
    expect(typesReceived(filtered)).toEqual(typesReceived(all));
  });
});

describe("NetlinkEvents", () => {
  /** Bytes that wait in all netlink sockets of the namespace: the column Rmem. */
  const bytesWaiting = () =>
    inNetns(fd, () => readFileSync("/proc/thread-self/net/netlink", "utf8"))
      .split("\n")
      .slice(1)
      .reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[4] ?? 0), 0);

  it("is not woken by what is sent through a port while that is ours", () => {
    const ports = new OwnPorts();
    const events = new NetlinkEvents(fd, ports);
    events.subscribe(() => undefined);
    ports.add(NETLINK_ROUTE, own.socket.port);
    own.stack.routes.add(held);
    expect(bytesWaiting()).toBe(0);
    ports.remove(NETLINK_ROUTE, own.socket.port);
    own.stack.routes.remove(held);
    expect(bytesWaiting()).toBeGreaterThan(0);
    events.close();
  });
});

describe("peerEventFilter()", () => {
  it("lets far ends through that are set, and no host ends, no links without another end and no removals", () => {
    const pod = createNetns();
    const podFd = openNetnsFile(pod.path);
    const [hostMac, podMac] = [parseMac("0a:00:00:00:00:01"), parseMac("0a:00:00:00:00:02")];
    const pair = {
      hostName: "cw0123456789ab",
      hostMac,
      podName: "eth0",
      podMac,
      mtuBytes: 1500,
      podNetnsFd: podFd,
    };
    own.stack.links.createPair(pair);
    const filtered = inNetns(fd, () => openNetlink(NETLINK_ROUTE).fd);
    subscribed.push(filtered, podFd);
    attachFilter(filtered, peerEventFilter({ nameLength: 14, prefix: "cw" }));
    setSocketOption(filtered, SOL_NETLINK, LISTEN_ALL_NSID, 1);
    setSocketOption(filtered, SOL_NETLINK, ADD_MEMBERSHIP, LINKS);
    run(`ip -n ${host.name} link set cw0123456789ab up`);
    run(`ip -n ${pod.name} link set lo up`);
    expect(typesReceived(filtered)).toEqual([]);
    run(`ip -n ${pod.name} link set eth0 up`);
    expect(typesReceived(filtered)).toContain(16);
    run(`ip -n ${pod.name} link set eth0 name cw1`);
    expect(typesReceived(filtered)).toContain(16);
    run(`ip -n ${host.name} link del cw0123456789ab`);
    expect(typesReceived(filtered)).not.toContain(17);
    pod.destroy();
  });
});
