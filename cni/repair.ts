/**
 * Puts back what a living attachment lost on the host's side: one `down` and `up` of its link loses routes, neighbours and the IPv6 address, and
 * other programs remove what they do not know.
 */
import { PODS_TABLE, PROTOCOL } from "../common/constants.ts";
import { isSameAddress, isSameNeighbour } from "../common/kernel/addresses.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Link, LinkChange } from "../common/kernel/links.ts";
import type { NetworkStack } from "../common/kernel/netns.ts";
import type { NftElement } from "../common/kernel/nft.ts";
import { isSameRoute, type Route } from "../common/kernel/routes.ts";
import type { Lease } from "./ipam.ts";
import { formatLeaseAlias } from "./lease-alias.ts";
import { podLink } from "./pod-link.ts";
import { type EndOfPair, hostEndTowards, planPodNetwork } from "./pod-network.ts";

/** What is looked at for all pods together. */
export type PodsState = {
  /** By destination: with many pods each is otherwise compared with the routes of all. */
  readonly routes: ReadonlyMap<string, readonly Route[]>;
  readonly genuine: ReadonlySet<string>;
};

/** Our routes in the pods table, both families. */
export function readPodsTable(kernel: Kernel): Route[] {
  return ([4, 6] as const).flatMap((family) =>
    kernel.host.routes.list({ family, table: PODS_TABLE, protocol: PROTOCOL }),
  );
}

/** The pods table and the genuine pairs, as they are now. */
export function readPodsState(kernel: Kernel): PodsState {
  return {
    routes: Map.groupBy(readPodsTable(kernel), destinationOf),
    genuine: new Set(kernel.nft.list("genuine").map(genuineName)),
  };
}

/**
 * Gives what it wrote, for people; a second call writes nothing. Does nothing when the link is gone. Throws KernelError.
 * `state` may be shared by repairs of one moment.
 */
export function repair(kernel: Kernel, lease: Lease, state: PodsState = readPodsState(kernel)): string[] {
  const network = planPodNetwork(lease);
  const link = kernel.host.links.find(network.link.hostName);
  if (link === undefined) return [];
  const host = hostEndTowards(network, kernel.host.links.findPeer(link.index)?.mac);
  const genuine = network.genuine.filter((element) => !state.genuine.has(genuineName(element)));
  if (genuine.length > 0) kernel.nft.change(genuine.map((element) => ({ op: "add", element })));
  return [
    ...repairSysctls(kernel.host, host),
    ...repairLink(kernel.host, link, lease),
    ...repairEnd(kernel.host, host, link.index, state.routes),
    ...genuine.map((element) => `nft ${genuineName(element)}`),
  ].map((what) => `${link.name}: ${what}`);
}

function repairSysctls(host: NetworkStack, end: EndOfPair): string[] {
  return end.sysctls.flatMap(([path, value]) => {
    const actual = host.sysctl.get(path);
    if (actual === undefined || actual === value) return [];
    host.sysctl.set(path, value);
    return [`sysctl ${path} ${actual} -> ${value}`];
  });
}

function repairLink(host: NetworkStack, link: Link, lease: Lease): string[] {
  const { hostMac } = podLink(lease.attachment);
  // without its alias the lease would be forgotten by the next start
  const alias = formatLeaseAlias({ ...lease, state: "ready" });
  const change: LinkChange = {
    ...(link.up ? {} : { up: true }),
    ...(link.alias === alias ? {} : { alias }),
    ...(link.mac === hostMac ? {} : { mac: hostMac }),
  };
  if (Object.keys(change).length === 0) return [];
  host.links.change(link.index, change);
  return [`link ${JSON.stringify(change)}`];
}

function repairEnd(
  host: NetworkStack,
  end: EndOfPair,
  linkIndex: number,
  actual: PodsState["routes"],
): string[] {
  const addresses = lacking(
    end.addresses.map((address) => ({ ...address, linkIndex })),
    host.addresses.list(linkIndex),
    isSameAddress,
  );
  for (const address of addresses) host.addresses.add(address);
  const neighbours = lacking(
    end.neighbours.map((neighbour) => ({ ...neighbour, linkIndex })),
    host.neighbours.list(linkIndex),
    isSameNeighbour,
  );
  for (const neighbour of neighbours) host.neighbours.set(neighbour);
  const routes = lacking(
    end.routes.map((route) => ({ ...route, linkIndex })),
    end.routes.flatMap((route) => actual.get(destinationOf(route)) ?? []),
    isSameRoute,
  );
  for (const route of routes) host.routes.replace(route);
  return [
    ...addresses.map(({ address }) => `address ${address}`),
    ...neighbours.map(({ address }) => `neighbour ${address}`),
    ...routes.map(({ destination }) => `route ${destination}`),
  ];
}

function destinationOf({ destination }: Pick<Route, "destination">): string {
  return destination.toString();
}

function lacking<T>(wanted: readonly T[], actual: readonly T[], isSame: (a: T, b: T) => boolean): T[] {
  return wanted.filter((one) => !actual.some((other) => isSame(one, other)));
}

/** A genuine pair as text, for sets and for people. */
export function genuineName(element: NftElement): string {
  return element.set === "genuine" ? `${element.link} ${element.address}` : "";
}
