/** Pods with each other, with their node and with machines of the VPC. */
import { IpAddress } from "../../../common/ip.ts";
import { ping, Sink, sendForged } from "../../cloudsim/probe/index.ts";
import { nftCounters } from "../../cloudsim/vpc/counters.ts";
import { type Check, converse, direct, FAMILIES, until } from "../check.ts";
import { addressOf, type DemoPod, ECHO_PORT, endpoints, type World } from "../world.ts";

const pairs = (world: World, choose: (a: DemoPod, b: DemoPod, sameNode: boolean) => boolean) =>
  world.nodes.flatMap((from) =>
    from.pods.flatMap((a) =>
      world.nodes.flatMap((to) =>
        to.pods.filter((b) => a !== b && choose(a, b, from === to)).map((b) => [a, b] as const),
      ),
    ),
  );

export const podChecks: readonly Check[] = [
  {
    name: "pod-to-pod-same-uplink",
    shows: "pods of one node on one uplink, source kept",
    run: (world) =>
      converse(pairs(world, (a, b, same) => same && a.slot === b.slot).flatMap(([a, b]) => direct(a, b))),
  },
  {
    name: "pod-to-pod-other-uplink",
    shows: "pods of one node on two uplinks, source kept",
    run: (world) =>
      converse(pairs(world, (a, b, same) => same && a.slot !== b.slot).flatMap(([a, b]) => direct(a, b))),
  },
  {
    name: "pod-to-pod-other-node",
    shows: "pods of two nodes in two zones, every uplink, source kept",
    run: (world) => converse(pairs(world, (_a, _b, same) => !same).flatMap(([a, b]) => direct(a, b))),
  },
  {
    name: "pod-and-vpc-host",
    shows: "pods and a machine of the VPC, both ways, source kept",
    run: (world) =>
      converse(
        world.nodes.flatMap(({ pods }) =>
          pods.flatMap((pod) => [...direct(pod, world.peer), ...direct(world.peer, pod)]),
        ),
      ),
  },
  {
    name: "pod-and-node",
    shows: "pods and their own node, both ways, by TCP, UDP and ping",
    run: async (world) => {
      const own = world.nodes.flatMap(({ host, pods }) => pods.map((pod) => [host, pod] as const));
      const failures = await converse(
        own.flatMap(([host, pod]) => [...direct(pod, host), ...direct(host, pod)]),
      );
      const pings = await Promise.all(
        own.flatMap(([host, pod]) =>
          FAMILIES.map(async (family) =>
            (await ping(host.netnsPath, { to: addressOf(pod, family) }))
              ? []
              : [`${host.name} pings ${pod.name} over IPv${family}: no answer`],
          ),
        ),
      );
      return [...failures, ...pings.flat()];
    },
  },
  {
    name: "spoofing-refused",
    shows: "a pod with its neighbour's address, on the same uplink, is dropped by the node and counted",
    run: async (world) => {
      const lines = await Promise.all(
        world.nodes.map((node) => spoof(world, node.host.netnsPath, node.pods)),
      );
      return lines.flat();
    },
  },
  {
    name: "node-secondary-address",
    shows:
      "the node's own socket on a secondary interface's address reaches the VPC, and the subnet of that interface by the primary",
    run: (world) =>
      converse(
        world.nodes.flatMap(({ host, secondaryIpv4 }, index) => [
          {
            what: `${host.name} from ${secondaryIpv4} to peer`,
            from: host,
            question: { from: secondaryIpv4, to: world.peer.ipv4, port: ECHO_PORT },
            server: "peer",
            seen: secondaryIpv4,
          },
          ...otherPods(world, index).map((pod) => ({
            what: `${host.name} to ${pod.name} in another node's pod subnet`,
            from: host,
            question: { to: pod.ipv4, port: ECHO_PORT },
            server: pod.name,
            seen: host.ipv4,
          })),
          {
            what: `${host.name} to a machine in its own pod subnet`,
            from: host,
            question: { to: sameSubnet(secondaryIpv4), port: ECHO_PORT },
            server: "peer",
            seen: host.ipv4,
          },
        ]),
      ),
  },
];

/** What the peer answers as well: an address in the subnet of a node's second interface. */
export function sameSubnet(secondaryIpv4: IpAddress): IpAddress {
  return IpAddress.fromValue(4, (secondaryIpv4.value & ~0xffn) | 0xfan);
}

function otherPods(world: World, index: number): readonly DemoPod[] {
  const other = world.nodes[(index + 1) % world.nodes.length];
  return other === undefined || world.nodes.length === 1 ? [] : endpoints(other);
}

/** One forged datagram per family from a pod in the name of another pod of its uplink. */
async function spoof(world: World, netnsPath: string, pods: readonly DemoPod[]): Promise<string[]> {
  const [liar, victim] =
    pods.flatMap((a) => pods.filter((b) => a !== b && a.slot === b.slot).map((b) => [a, b] as const))[0] ??
    [];
  if (liar === undefined || victim === undefined) return [];
  const failures: string[] = [];
  for (const family of FAMILIES) {
    const [to, port] = [addressOf(world.peer, family), 9999];
    const spoofed = () => nftCounters(netnsPath, "causeway").get("spoofed") ?? 0;
    const before = spoofed();
    using sink = new Sink(world.peer.netnsPath, to, port);
    sendForged(liar.netnsPath, { from: addressOf(victim, family), to, port, payload: "forged" });
    const counted = spoofed() - before;
    // an honest datagram behind it: when that is there, the forged one would be too
    sendForged(liar.netnsPath, { from: addressOf(liar, family), to, port, payload: "honest" });
    await until(() => sink.received.some(({ payload }) => payload === "honest"), 900);
    const what = `${liar.name} as ${victim.name} over IPv${family}`;
    if (sink.received.some(({ payload }) => payload === "forged")) failures.push(`${what}: it arrived`);
    if (counted === 0) failures.push(`${what}: not counted as spoofed`);
  }
  return failures;
}
