/**
 * Packets per second of one flow of small packets on one processor, from a pod (or what stands for one) through a router into the network: plain, with
 * connection tracking, with two rules per pod as amazon-vpc-cni has them, and with this project's nodes. What has left the router is counted, and
 * dropped behind it.
 */
import { Cidr } from "../../common/ip.ts";
import { runIn } from "../cloudsim/vpc/commands.ts";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import type { ClusterNode } from "../cluster/cluster.ts";
import type { BenchPod } from "./sides.ts";
import { median, type Ratio, ratioOf } from "./statistics.ts";
import type { World } from "./world.ts";

/** A way through a router. `outLink` is the router's link to where the packets go. */
export type Route = {
  readonly name: string;
  readonly senderNetns: string;
  readonly routerNetns: string;
  readonly outLink: string;
  readonly destination: string;
};

export type Forwarding = {
  readonly packetsPerSecond: Readonly<Record<string, number>>;
  /** Of each to the first and to the second way. */
  readonly againstPlain: Readonly<Record<string, Ratio>>;
  readonly againstConntrack: Readonly<Record<string, Ratio>>;
} & Ratio;

/** In the VPC and no subnet of it: no block of the pool can have it. */
const VPC_HOST = "10.0.255.99";
const CONNTRACK =
  "add table ip bench; add chain ip bench forward { type filter hook forward priority 0; }; add rule ip bench forward ct state invalid drop";

/** `main` is the way whose ratio to `base` is the result's own. */
export function measureForwarding(
  routes: readonly Route[],
  options: {
    readonly rounds: number;
    readonly seconds: number;
    readonly main: string;
    readonly base: string;
  },
  progress: (done: number) => void,
): Forwarding {
  const rates = new Map<string, number[]>(routes.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const index of routes.keys()) {
      const route = routes[(index + round) % routes.length];
      if (route !== undefined) rates.get(route.name)?.push(rateOf(route, options.seconds));
    }
    progress(round + 1);
  }
  const of = (name: string) => rates.get(name) ?? [];
  const against = (base: string) =>
    Object.fromEntries([...rates.keys()].map((name) => [name, ratioOf(of(name), of(base))]));
  return {
    packetsPerSecond: Object.fromEntries(
      [...rates].map(([name, values]) => [name, Math.round(median(values))]),
    ),
    againstPlain: against("plain"),
    againstConntrack: against("conntrack"),
    ...ratioOf(of(options.main), of(options.base)),
  };
}

function rateOf({ senderNetns, routerNetns, outLink, destination }: Route, seconds: number): number {
  const before = sentBy(routerNetns, outLink);
  const nanoseconds = Number(runIn(senderNetns, ["dist/bench/flow", "1", String(seconds), destination]));
  const sent = sentBy(routerNetns, outLink) - before;
  if (sent === 0) throw new Error(`no packet left ${outLink} towards ${destination}`);
  return sent / (nanoseconds / 1e9);
}

function sentBy(netnsPath: string, link: string): number {
  const [stats] = JSON.parse(runIn(netnsPath, ["ip", "-s", "-j", "link", "show", link])) as [
    { readonly stats64: { readonly tx: { readonly packets: number } } },
  ];
  return stats.stats64.tx.packets;
}

/** A pod's way out of a node of the embedded cloud by its primary interface: up to the cloud, and no further. */
export function podRoute(world: World, name: string, node: ClusterNode, pod: BenchPod): Route {
  const { fabric } = world.cluster.vpc;
  const linkOf = (netns: string, link: string) =>
    JSON.parse(runIn(netns, ["ip", "-j", "link", "show", ...link.split(" ")])) as {
      readonly ifname: string;
      readonly ifindex: number;
      readonly link_index?: number;
    }[];
  const farEnd = linkOf(node.place.netnsPath, "eth0")[0]?.link_index;
  const port = linkOf(fabric.netnsPath, "type veth").find(({ ifindex }) => ifindex === farEnd)?.ifname;
  if (port === undefined) throw new Error(`the cloud has no port for ${node.name}`);
  discardAt(fabric.netnsPath, port, `bench-${node.name}`);
  return {
    name,
    senderNetns: pod.netnsPath,
    routerNetns: node.place.netnsPath,
    outLink: "eth0",
    destination: VPC_HOST,
  };
}

/** Drops what the flow sends as soon as it arrives there. */
function discardAt(netnsPath: string, link: string, table = "bench"): void {
  const chain = `{ type filter hook ingress device ${link} priority 0; udp dport 9 drop; }`;
  runIn(netnsPath, ["nft", `add table netdev ${table} { chain in ${chain}; }`]);
}

/**
 * A router between two namespaces, with connection tracking or without, and rules as amazon-vpc-cni has them for so many pods. It has a node's
 * rp_filter, so that what is compared is the same host.
 */
export function bareRoute(
  world: World,
  name: string,
  options: { conntrack?: boolean; rulesOfPods?: number; rule?: string },
): Route {
  const [sender, router, sink] = [world.place("sender"), world.place("router"), world.place("sink")];
  const ip = (netns: string, line: string) => runIn(netns, ["ip", ...line.split(" ")]);
  ip(router.netnsPath, `link add in0 type veth peer name eth0 netns ${sender.name}`);
  ip(router.netnsPath, `link add out0 type veth peer name eth0 netns ${sink.name}`);
  for (const [netns, link, address] of [
    [sender.netnsPath, "eth0", "10.90.0.2/24"],
    [router.netnsPath, "in0", "10.90.0.1/24"],
    [router.netnsPath, "out0", "10.91.0.1/24"],
    [sink.netnsPath, "eth0", "10.91.0.2/24"],
  ] as const) {
    ip(netns, `address add ${address} dev ${link}`);
    ip(netns, `link set ${link} up`);
  }
  ip(sender.netnsPath, "route add default via 10.90.0.1");
  runIn(router.netnsPath, ["sysctl", "-qw", `net.ipv4.conf.all.rp_filter=${HOSTILE.rpFilter}`]);
  if (options.conntrack === true) runIn(router.netnsPath, ["nft", CONNTRACK]);
  if (options.rulesOfPods !== undefined) addRules(router.netnsPath, options.rulesOfPods);
  if (options.rule !== undefined) ip(router.netnsPath, `rule add ${options.rule}`);
  discardAt(sink.netnsPath, "eth0");
  return {
    name,
    senderNetns: sender.netnsPath,
    routerNetns: router.netnsPath,
    outLink: "out0",
    destination: "10.91.0.2",
  };
}

/** For each pod `to` it at 512 and `from` it at 1536. None matches: so it is for packets of all but the first pods. */
function addRules(netnsPath: string, pods: number): void {
  const { first } = Cidr.parse("10.92.0.0/16");
  const lines = Array.from({ length: pods }, (_, index) => {
    const pod = first.plus(index + 1);
    return `rule add to ${pod} lookup main pref 512\nrule add from ${pod} lookup 2 pref 1536\n`;
  });
  runIn(netnsPath, ["ip", "-batch", "-"], lines.join(""));
}
