/** Cells through kube-proxy's recorded rules: ClusterIPs and NodePorts, until every endpoint has answered. */
import { type Family, IpAddress } from "../../common/ip.ts";
import { NODE_PORT, SERVICE } from "../cloudsim/kube-proxy.ts";
import { type Reply, tcpAsk, udpAsk } from "../cloudsim/probe/index.ts";
import { EXT, type Place } from "../cloudsim/vpc/index.ts";
import type { Lab } from "./lab.ts";
import { at, LOCAL_PODS, PEER, PODS, PUBLIC } from "./lab-addresses.ts";
import { type Cell, judge, ownOf, PORT } from "./world.ts";

const TRIES_MAX = 40;
const FAMILIES: readonly Family[] = [4, 6];

/** Every cell of Services, of node-a. */
export function serviceCells(lab: Lab): Cell[] {
  return FAMILIES.flatMap((family) => [
    ...clusterIpCells(lab, family),
    ...nodePortCells(lab, family),
    ...nodePortCellsOfPods(lab, family),
  ]);
}

type Balanced = {
  readonly name: string;
  readonly by: Place;
  readonly from?: IpAddress;
  readonly to: IpAddress;
  readonly port: number;
  readonly endpoints: readonly string[];
  /** What endpoints other than the client itself see; absent: any. */
  readonly sources?: readonly IpAddress[];
  readonly client?: string;
  readonly ask?: typeof tcpAsk;
};

/** Endpoints as this lab has them: one pod and p1 may have changed places. */
function endpointsOf(lab: Lab, recorded: readonly string[]): readonly string[] {
  const { swapped } = lab.spec;
  if (swapped === undefined) return recorded;
  return recorded.map((name) => (name === "p1" ? swapped : name === swapped ? "p1" : name));
}

/** Asks until every endpoint has answered; each answer must be right. */
function balanced(spec: Balanced): Cell {
  const ask = spec.ask ?? tcpAsk;
  return {
    name: spec.name,
    run: async () => {
      const met = new Set<string>();
      for (let tries = 0; tries < TRIES_MAX && met.size < spec.endpoints.length; tries += 1) {
        const reply: Reply = await ask(spec.by.netnsPath, { to: spec.to, from: spec.from, port: spec.port });
        const isHairpin = reply.ok && reply.server === spec.client;
        const sources = isHairpin ? undefined : spec.sources;
        const reason = judge(reply, spec.endpoints, sources);
        if (reason !== undefined) return reason;
        if (reply.ok) met.add(reply.server);
      }
      const unmet = spec.endpoints.filter((endpoint) => !met.has(endpoint));
      return unmet.length === 0 ? undefined : `never met ${unmet.join(", ")}`;
    },
  };
}

function clusterIp(service: number, family: Family): IpAddress {
  return IpAddress.parse(family === 4 ? `172.20.0.${service}` : `fd00:20::${service}`);
}

const ENDPOINTS: Readonly<Record<string, readonly string[]>> = {
  web: ["p0", "p1", "rb"],
  npCluster: ["p1", "rb"],
  npLocal: ["p1", "rb"],
  npHost: ["node-a"],
  one: ["p2"],
};

function clusterIpCells(lab: Lab, family: Family): Cell[] {
  const clients = [
    ...LOCAL_PODS.map((name) => ({
      client: name as string,
      by: lab.pod(name),
      source: at(PODS[name], family),
    })),
    { client: "node-a", by: lab.nodeA as Place, source: undefined },
  ];
  return clients.flatMap(({ client, by, source }) => [
    ...Object.entries(ENDPOINTS).map(([service, endpoints]) =>
      balanced({
        name: `${client} -> ClusterIP ${service} ipv${family}`,
        by,
        client,
        to: clusterIp(SERVICE[service as keyof typeof SERVICE], family),
        port: 80,
        endpoints: endpointsOf(lab, endpoints),
        ...(source === undefined ? {} : { sources: [source] }),
      }),
    ),
    balanced({
      name: `${client} -> ClusterIP dns udp ipv${family}`,
      by,
      client,
      to: clusterIp(SERVICE.dns, family),
      port: PORT.dns,
      endpoints: endpointsOf(lab, ["p0", "rb"]),
      ask: udpAsk,
      ...(source === undefined ? {} : { sources: [source] }),
    }),
    {
      name: `${client} -> ClusterIP without endpoints is refused ipv${family}`,
      run: async () => {
        // a refusal that comes while connect() still runs is heard with the second SYN only, after 1 s
        const question = { to: clusterIp(SERVICE.empty, family), port: 80, timeoutMs: 2500 };
        const reply = await tcpAsk(by.netnsPath, question);
        return !reply.ok && reply.reason === "connection refused" ? undefined : JSON.stringify(reply);
      },
    },
  ]);
}

function nodePortCells(lab: Lab, family: Family): Cell[] {
  const ext = IpAddress.parse(family === 4 ? EXT.ipv4 : EXT.ipv6);
  const clients = [
    { client: "peer", by: lab.peer, from: at(PEER, family), addresses: ownOf(family) },
    { client: "ext", by: lab.vpc.ext, from: ext, addresses: ownOf(family) },
    ...(family === 4
      ? [
          {
            client: "ext by the internet",
            by: lab.vpc.ext,
            from: ext,
            addresses: PUBLIC.slice(0, 2).map(([outside]) => IpAddress.parse(outside)),
          },
        ]
      : []),
  ];
  return clients.flatMap(({ client, by, from, addresses }) =>
    addresses.flatMap((to) => {
      const label = `${client} -> NodePort ${to}`;
      const common = { by, from, to };
      return [
        balanced({
          ...common,
          name: `${label} cluster`,
          port: NODE_PORT.cluster,
          endpoints: endpointsOf(lab, ["p1", "rb"]),
          sources: ownOf(family),
        }),
        balanced({
          ...common,
          name: `${label} local`,
          port: NODE_PORT.local,
          endpoints: endpointsOf(lab, ["p1"]),
          sources: [from],
        }),
        balanced({ ...common, name: `${label} hostNetwork`, port: NODE_PORT.host, endpoints: ["node-a"] }),
      ];
    }),
  );
}

function nodePortCellsOfPods(lab: Lab, family: Family): Cell[] {
  return LOCAL_PODS.flatMap((name) =>
    ownOf(family).flatMap((to) => {
      const common = { by: lab.pod(name), client: name, to };
      return [
        balanced({
          ...common,
          name: `${name} -> NodePort ${to} cluster`,
          port: NODE_PORT.cluster,
          endpoints: endpointsOf(lab, ["p1", "rb"]),
          sources: ownOf(family),
        }),
        balanced({
          ...common,
          name: `${name} -> NodePort ${to} local`,
          port: NODE_PORT.local,
          endpoints: endpointsOf(lab, ["p1"]),
          sources: [at(PODS[name], family)],
        }),
      ];
    }),
  );
}
