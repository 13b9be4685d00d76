/** Cells without Services: pods, nodes, machines of the VPC, the internet, docker. */
import { type Family, IpAddress } from "../../common/ip.ts";
import { learnedMtu, Sink, tcpAsk, udpAsk } from "../cloudsim/probe/index.ts";
import { DOCKER, EXT, type Place } from "../cloudsim/vpc/index.ts";
import type { Lab } from "./lab.ts";
import { at, LOCAL_PODS, NODE_B, PEER, PEER1, PEERED, PODS, type PodName, PUBLIC } from "./lab-addresses.ts";
import { type Cell, judge, ownOf, PORT, talk } from "./world.ts";

const FAMILIES: readonly Family[] = [4, 6];
const ALL_PODS = Object.keys(PODS) as PodName[];

/** Every cell that needs no kube-proxy. */
export function directCells(lab: Lab): Cell[] {
  return FAMILIES.flatMap((family) => [
    ...podCells(lab, family),
    ...vpcCells(lab, family),
    ...nodeCells(lab, family),
    ...internetCells(lab, family),
    ...dockerCells(lab, family),
    ...sizeCells(lab, family),
    proxyCell(lab, family),
  ]).concat(loopbackCell(lab));
}

function podCells(lab: Lab, family: Family): Cell[] {
  const nodeB = at(NODE_B[0]?.own ?? PEER, family);
  return ALL_PODS.flatMap((name) => {
    const by = lab.pod(name);
    const sources = [at(PODS[name], family)];
    const others = ALL_PODS.filter((other) => other !== name);
    return [
      ...others.flatMap((other) =>
        talk({ label: `${name} -> ${other}`, by, to: at(PODS[other], family), server: other, sources }),
      ),
      ...ownOf(family).flatMap((to) =>
        talk({ label: `${name} -> node-a ${to}`, by, to, server: "node-a", sources }),
      ),
      ...talk({ label: `${name} -> node-b`, by, to: nodeB, server: "node-b", sources }),
    ];
  });
}

function vpcCells(lab: Lab, family: Family): Cell[] {
  const machines = [
    { label: "peer", place: lab.peer, address: at(PEER, family) },
    { label: "peer1", place: lab.peer1, address: at(PEER1, family) },
  ];
  const peered = at(PEERED, family);
  return ALL_PODS.flatMap((name) => {
    const pod = at(PODS[name], family);
    return [
      ...machines.flatMap(({ label, place, address }) => [
        ...talk({
          label: `${name} -> ${label}`,
          by: lab.pod(name),
          to: address,
          server: label,
          sources: [pod],
        }),
        ...talk({
          label: `${label} -> ${name}`,
          by: place,
          from: address,
          to: pod,
          server: name,
          sources: [address],
        }),
      ]),
      ...talk({
        label: `peered -> ${name}`,
        by: lab.peer,
        from: peered,
        to: pod,
        server: name,
        sources: [peered],
      }),
      ...talk({
        label: `${name} -> peered`,
        by: lab.pod(name),
        to: peered,
        server: "peer",
        sources: [towardsPeered(lab, name, family)],
      }),
    ];
  });
}

/** A peered network is outside the VPC: translated, unless it is excluded or nothing is translated here. */
function towardsPeered(lab: Lab, name: PodName, family: Family): IpAddress {
  const isKept = family === 6 || lab.spec.externalSnat === true || (lab.spec.excluded ?? []).length > 0;
  if (isKept) return at(PODS[name], family);
  return name === "rb" ? at(NODE_B[0]?.own ?? PEER, 4) : (ownOf(4)[0] as IpAddress);
}

function nodeCells(lab: Lab, family: Family): Cell[] {
  const by = lab.nodeA;
  const own = ownOf(family);
  const targets = [
    ...ALL_PODS.map((name) => ({ label: name as string, to: at(PODS[name], family) })),
    { label: "peer", to: at(PEER, family) },
    { label: "peer1", to: at(PEER1, family) },
  ];
  return [
    ...targets.flatMap(({ label, to }) => {
      // in IPv4 the node is seen as its primary address; IPv6 has no such preference per route
      const sources = family === 4 ? own.slice(0, 1) : own;
      return talk({ label: `node-a -> ${label}`, by, to, server: label, sources });
    }),
    ...own.flatMap((from) =>
      targets.flatMap(({ label, to }) =>
        talk({ label: `node-a ${from} -> ${label}`, by, from, to, server: label, sources: [from] }),
      ),
    ),
    ...own.flatMap((to) =>
      talk({
        label: `peer -> node-a ${to}`,
        by: lab.peer,
        from: at(PEER, family),
        to,
        server: "node-a",
        sources: [at(PEER, family)],
      }),
    ),
  ];
}

function internetCells(lab: Lab, family: Family): Cell[] {
  const ext = IpAddress.parse(family === 4 ? EXT.ipv4 : EXT.ipv6);
  const publicOf = (address: IpAddress): IpAddress[] => {
    const found = PUBLIC.find(([, inside]) => inside === address.toString());
    return found === undefined ? [] : [IpAddress.parse(found[0])];
  };
  const fromPod = (name: PodName): IpAddress[] => {
    if (family === 6 || lab.spec.externalSnat === true) return [egressOf(PODS[name][family])];
    return publicOf(name === "rb" ? at(NODE_B[0]?.own ?? PEER, 4) : (ownOf(4)[0] as IpAddress));
  };
  const pods = ALL_PODS.flatMap((name) => [
    ...talk({
      label: `${name} -> ext`,
      by: lab.pod(name),
      to: ext,
      server: "ext",
      sources: fromPod(name),
    }),
    ...talk({
      label: `ext -> ${name}`,
      by: lab.vpc.ext,
      to: at(PODS[name], family),
      server: name,
      sources: [ext],
    }),
    {
      name: `ext <-> ${name} 30 flows each way at once ipv${family}`,
      run: () => crossfire(lab, name, family),
    },
  ]);
  const primary = ownOf(family)[0] as IpAddress;
  const node = talk({
    label: "node-a -> ext",
    by: lab.nodeA,
    to: ext,
    server: "ext",
    sources: family === 4 ? publicOf(primary) : ownOf(6),
  });
  return [...pods, ...node];
}

/** What the internet sees of a pod that keeps its address: the lab publishes pods as 203.0.113.<last byte>. */
export function egressOf(pod: string): IpAddress {
  return IpAddress.parse(pod.includes(":") ? pod : `203.0.113.${pod.split(".")[3]}`);
}

/** Connections to a pod with the client's own source, and the pod's own connections to the same client, at once. */
async function crossfire(lab: Lab, name: PodName, family: Family): Promise<string | undefined> {
  const ext = IpAddress.parse(family === 4 ? EXT.ipv4 : EXT.ipv6);
  const flows = Array.from({ length: 30 }, () => [
    tcpAsk(lab.vpc.ext.netnsPath, { to: at(PODS[name], family), port: PORT.echo }),
    tcpAsk(lab.pod(name).netnsPath, { to: ext, port: PORT.echo }),
  ]).flat();
  const reasons = (await Promise.all(flows)).map((reply) => judge(reply, [name, "ext"]));
  const failed = reasons.filter((reason) => reason !== undefined);
  return failed.length === 0 ? undefined : `${failed.length} of 60: ${failed[0]}`;
}

function dockerCells(lab: Lab, family: Family): Cell[] {
  const docker = IpAddress.parse(family === 4 ? DOCKER.ipv4 : DOCKER.ipv6);
  const by = lab.docker;
  return [
    ...LOCAL_PODS.flatMap((name) => [
      ...talk({
        label: `docker -> ${name}`,
        by,
        to: at(PODS[name], family),
        server: name,
        sources: [docker],
      }),
      ...talk({
        label: `${name} -> docker`,
        by: lab.pod(name),
        to: docker,
        server: "docker",
        sources: [at(PODS[name], family)],
      }),
    ]),
    ...ownOf(family).flatMap((to) =>
      talk({ label: `docker -> node-a ${to}`, by, to, server: "node-a", sources: [docker] }),
    ),
  ];
}

function sizeCells(lab: Lab, family: Family): Cell[] {
  return LOCAL_PODS.flatMap((name) => [
    {
      name: `${name} -> peer full size ipv${family}`,
      run: async () => {
        const sizeBytes = family === 4 ? 1472 : 1452;
        const question = { to: at(PEER, family), port: PORT.echo, sizeBytes };
        return judge(await udpAsk(lab.pod(name).netnsPath, question), ["peer"]);
      },
    },
    {
      name: `${name} -> rb too big is answered ipv${family}`,
      run: async () => {
        const probe = { to: at(PODS.rb, family), port: PORT.echo, sizeBytes: 1500 };
        const mtu = await learnedMtu(lab.pod(name).netnsPath, probe);
        return mtu === NARROW_MTU_BYTES ? undefined : `learned ${mtu}`;
      },
    },
  ]);
}

/** The fabric's link to node-b, in the world of the matrix. */
export const NARROW_MTU_BYTES = 1400;

/** A proxy on the node that keeps the pod's address: what it sends must leave by the pod's uplink. */
function proxyCell(lab: Lab, family: Family): Cell {
  return {
    name: `proxy on node-a as p1 -> peer ipv${family}`,
    run: async () => {
      const [port, to, from] = [7200 + family, at(PEER, family), at(PODS.p1, family)];
      using sink = new Sink(lab.peer.netnsPath, to, port);
      await udpAsk(lab.nodeA.netnsPath, { to, port, from, transparent: true, timeoutMs: 150 });
      return sink.received.some((packet) => packet.from.equals(from)) ? undefined : "did not arrive";
    },
  };
}

function loopbackCell(lab: Lab): Cell[] {
  const address = IpAddress.parse("127.0.0.1");
  const by: Place = lab.nodeA;
  return talk({ label: "node-a -> itself", by, to: address, server: "node-a", sources: [address] });
}
