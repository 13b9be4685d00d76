/** The internet, load balancers, bridges of the host, proxies, packet sizes. */
import { learnedMtu, Sink, udpAsk } from "../../cloudsim/probe/index.ts";
import { INTERNET_LINK } from "../../cloudsim/vpc/fabric-table.ts";
import { type Check, converse, direct, type Expectation, FAMILIES } from "../check.ts";
import {
  addressOf,
  type DemoNode,
  type DemoPod,
  ECHO_PORT,
  endpoints,
  INTERNET_MTU_BYTES,
  LINK_MTU_BYTES,
  type World,
} from "../world.ts";

const podsOf = (world: World) => world.nodes.flatMap((node) => node.pods.map((pod) => ({ node, pod })));

export const outsideChecks: readonly Check[] = [
  {
    name: "internet-ipv4",
    shows: "pods to the internet over IPv4: as the node's public address",
    run: (world) =>
      converse(
        podsOf(world).flatMap(({ node, pod }) =>
          (["tcp", "udp"] as const).map(
            (protocol): Expectation => ({
              what: `${pod.name} by ${protocol.toUpperCase()}`,
              from: pod,
              protocol,
              question: { to: world.ext.ipv4, port: ECHO_PORT },
              server: "ext",
              seen: node.publicIpv4,
            }),
          ),
        ),
      ),
  },
  {
    name: "internet-ipv6",
    shows: "pods to the internet over IPv6: as themselves",
    run: (world) =>
      converse(
        podsOf(world).map(({ pod }) => ({
          what: pod.name,
          from: pod,
          question: { to: world.ext.ipv6, port: ECHO_PORT },
          server: "ext",
          seen: pod.ipv6,
        })),
      ),
  },
  {
    name: "internet-cannot-enter",
    shows: "the internet cannot start a connection to a pod over IPv4",
    run: (world) =>
      converse(
        podsOf(world).map(({ pod }) => ({
          what: `ext to ${pod.name}`,
          from: world.ext,
          question: { to: pod.ipv4, port: ECHO_PORT, device: INTERNET_LINK, timeoutMs: 300 },
          refused: true,
        })),
      ),
  },
  {
    name: "client-to-pod",
    shows: "a client's public address straight to a pod on each uplink, by a balancer that keeps it",
    run: (world) =>
      converse(
        podsOf(world).flatMap(({ pod }) =>
          FAMILIES.map((family) => ({
            what: `ext to ${pod.name} over IPv${family}`,
            from: world.ext,
            question: { to: addressOf(pod, family), port: ECHO_PORT },
            server: pod.name,
            seen: addressOf(world.ext, family),
          })),
        ),
      ),
  },
  {
    name: "docker0",
    shows:
      "a container behind docker0 and pods of that node, both ways; and to a secondary interface's address",
    run: (world) => {
      const [first] = world.nodes;
      if (first === undefined) return Promise.resolve([]);
      const both = endpoints(first).flatMap((pod) => [
        ...direct(pod, world.docker),
        ...direct(world.docker, pod),
      ]);
      const toSecondary: Expectation = {
        what: `docker to ${first.secondaryIpv4}`,
        from: world.docker,
        question: { to: first.secondaryIpv4, port: ECHO_PORT },
        server: first.host.name,
      };
      return converse([...both, toSecondary]);
    },
  },
  {
    name: "proxy-keeps-source",
    shows: "a transparent proxy on the node that keeps a pod's address leaves by the pod's uplink",
    run: async (world) => {
      const lines: string[][] = [];
      for (const node of world.nodes) lines.push(await proxied(world, node));
      return lines.flat();
    },
  },
  {
    name: "packet-sizes",
    shows: "full packets pass; one that is too big for the way is answered with the size that fits",
    run: async (world) => {
      const lines = await Promise.all(podsOf(world).map(({ pod }) => sizes(world, pod)));
      return lines.flat();
    },
  },
];

/** The answer would go to the pod, which has no such connection: what counts is that the peer was reached. */
async function proxied(world: World, node: DemoNode): Promise<string[]> {
  const pod = endpoints(node)[1];
  const [to, port] = [world.peer.ipv4, 9998];
  using sink = new Sink(world.peer.netnsPath, to, port);
  await udpAsk(node.host.netnsPath, { from: pod.ipv4, to, port, transparent: true, timeoutMs: 150 });
  const heard = sink.received.some(({ from }) => from.equals(pod.ipv4));
  return heard ? [] : [`${node.host.name} as ${pod.name}: the peer heard nothing`];
}

/** IP and UDP headers. */
const HEADERS_BYTES = { 4: 28, 6: 48 } as const;

async function sizes(world: World, pod: DemoPod): Promise<string[]> {
  const full = await converse(
    FAMILIES.map((family) => ({
      what: `${pod.name} with ${LINK_MTU_BYTES} bytes over IPv${family}`,
      from: pod,
      protocol: "udp",
      question: {
        to: addressOf(world.peer, family),
        port: ECHO_PORT,
        sizeBytes: LINK_MTU_BYTES - HEADERS_BYTES[family],
      },
      server: "peer",
    })),
  );
  const learned = await Promise.all(
    FAMILIES.map(async (family) => {
      const probe = { to: addressOf(world.ext, family), port: ECHO_PORT, sizeBytes: LINK_MTU_BYTES };
      const mtu = await learnedMtu(pod.netnsPath, probe);
      if (mtu === INTERNET_MTU_BYTES) return [];
      return [`${pod.name} learned MTU ${mtu} over IPv${family}, wanted ${INTERNET_MTU_BYTES}`];
    }),
  );
  return [...full, ...learned.flat()];
}
