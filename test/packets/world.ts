/** The lab with everybody listening, and what cells are made of. */
import { type Family, IpAddress } from "../../common/ip.ts";
import {
  type EchoSpec,
  ping,
  type Reply,
  tcpAsk,
  tcpEcho,
  udpAsk,
  udpEcho,
} from "../cloudsim/probe/index.ts";
import { DOCKER, EXT, formatRisen, type Place, risen } from "../cloudsim/vpc/index.ts";
import type { Lab } from "./lab.ts";
import { at, NODE_A, NODE_B, PEER, PEER1, PEERED, PODS, type PodName } from "./lab-addresses.ts";

/** TCP and UDP port of every server, and UDP and TCP port of DNS. */
export const PORT = { echo: 8080, dns: 53 } as const;

/** One kind of traffic. `run` gives what went wrong, or undefined. */
export type Cell = { readonly name: string; readonly run: () => Promise<string | undefined> };

export type World = Disposable & { readonly lab: Lab };

/** Starts a server at every address of the lab, each with the name of whom it belongs to. */
export function openWorld(lab: Lab): World {
  const servers = new DisposableStack();
  for (const { place, name, addresses } of inhabitants(lab)) {
    for (const address of addresses) {
      const spec: EchoSpec = { netnsPath: place.netnsPath, address, port: PORT.echo, name };
      servers.use(tcpEcho(spec));
      servers.use(udpEcho(spec));
      if (name in PODS) {
        servers.use(udpEcho({ ...spec, port: PORT.dns }));
        servers.use(tcpEcho({ ...spec, port: PORT.dns }));
      }
    }
  }
  return { lab, [Symbol.dispose]: () => servers.dispose() };
}

function inhabitants(lab: Lab): { place: Place; name: string; addresses: IpAddress[] }[] {
  const both = (pair: { 4: string; 6: string }) => [IpAddress.parse(pair[4]), IpAddress.parse(pair[6])];
  const podNames = Object.keys(PODS) as PodName[];
  return [
    ...podNames.map((name) => ({ place: lab.pod(name), name, addresses: both(PODS[name]) })),
    {
      place: lab.nodeA,
      name: "node-a",
      addresses: [...NODE_A.flatMap((uplink) => both(uplink.own)), IpAddress.parse("127.0.0.1")],
    },
    { place: lab.nodeB, name: "node-b", addresses: NODE_B.flatMap((uplink) => both(uplink.own)) },
    { place: lab.peer, name: "peer", addresses: [...both(PEER), ...both(PEERED)] },
    { place: lab.peer1, name: "peer1", addresses: both(PEER1) },
    { place: lab.vpc.ext, name: "ext", addresses: [IpAddress.parse(EXT.ipv4), IpAddress.parse(EXT.ipv6)] },
    { place: lab.docker, name: "docker", addresses: both({ 4: DOCKER.ipv4, 6: DOCKER.ipv6 }) },
  ];
}

/** Who speaks to whom, and what the other side is to see. */
export type Talk = {
  /** Client and server as the cell's name has them. */
  readonly label: string;
  readonly by: Place;
  readonly to: IpAddress;
  readonly from?: IpAddress;
  readonly server: string;
  /** Addresses that the server may see; absent: any. */
  readonly sources?: readonly IpAddress[];
};

const PROTOCOLS = { tcp: tcpAsk, udp: udpAsk } as const;

/** A cell each for TCP, UDP and ICMP. */
export function talk(spec: Talk): Cell[] {
  const family = `ipv${spec.to.family}`;
  const cells = (["tcp", "udp"] as const).map((protocol) => ({
    name: `${spec.label} ${protocol} ${family}`,
    run: async () => {
      const question = { to: spec.to, from: spec.from, port: PORT.echo };
      return judge(await PROTOCOLS[protocol](spec.by.netnsPath, question), [spec.server], spec.sources);
    },
  }));
  const pinged = async () =>
    (await ping(spec.by.netnsPath, { to: spec.to, from: spec.from })) ? undefined : "no answer";
  return [...cells, { name: `${spec.label} ping ${family}`, run: pinged }];
}

/** What is wrong with a reply; undefined when nothing. */
export function judge(
  reply: Reply,
  servers: readonly string[],
  sources?: readonly IpAddress[],
): string | undefined {
  if (!reply.ok) return reply.reason;
  if (!servers.includes(reply.server)) return `${reply.server} answered`;
  if (sources?.some((source) => source.equals(reply.seenSource)) === false) {
    return `${reply.server} saw ${reply.seenSource}`;
  }
  return undefined;
}

/** The addresses that node-a has itself. */
export function ownOf(family: Family): IpAddress[] {
  return NODE_A.map((uplink) => at(uplink.own, family));
}

/** What a run of cells came to: failed cells with their reasons, and the counters that rose meanwhile. */
export type Outcome = {
  readonly names: readonly string[];
  readonly failed: ReadonlyMap<string, string>;
  readonly rose: ReadonlyMap<string, number>;
};

const PARALLEL = 96;

/** Runs cells side by side. */
export async function runCells(lab: Lab, cells: readonly Cell[], parallel = PARALLEL): Promise<Outcome> {
  const failed = new Map<string, string>();
  const before = lab.vpc.counters();
  const queue = [...cells];
  const worker = async (): Promise<void> => {
    for (let cell = queue.shift(); cell !== undefined; cell = queue.shift()) {
      const reason = await cell.run();
      if (reason !== undefined) failed.set(cell.name, reason);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return { names: cells.map((cell) => cell.name), failed, rose: risen(before, lab.vpc.counters()) };
}

/** For a person: what failed and why, and what rose. */
export function formatOutcome(outcome: Outcome): string {
  const lines = [...outcome.failed].map(([name, reason]) => `  ${name}: ${reason}`).sort();
  return [
    `${outcome.names.length} cells, ${outcome.failed.size} failed`,
    ...lines,
    `rose: ${formatRisen(outcome.rose)}`,
  ].join("\n");
}
