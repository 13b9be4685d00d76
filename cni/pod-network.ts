/**
 * What a pod's network must look like, on both ends of its pair: a pure function of the lease. Everything the pod needs is
 * permanent and on-link, so nothing depends on ARP, neighbour discovery or router advertisements.
 */
import {
  LOCAL_TABLE,
  MAIN_TABLE,
  METRIC,
  POD_GATEWAY_IPV4,
  POD_GATEWAY_IPV6,
  PODS_TABLE,
  PROTOCOL,
} from "../common/constants.ts";
import type { MacAddress } from "../common/ids.ts";
import { Cidr, IpAddress } from "../common/ip.ts";
import type { LinkAddress, Neighbour } from "../common/kernel/addresses.ts";
import type { NftElement } from "../common/kernel/nft.ts";
import type { Route } from "../common/kernel/routes.ts";
import type { Lease } from "./ipam.ts";
import { linkLocalOf, type PodLink, podLink } from "./pod-link.ts";

/** An object of the kernel that belongs to a link whose index is known only once it exists. */
export type OnLink<T extends { readonly linkIndex?: number }> = Omit<T, "linkIndex">;

export type EndOfPair = {
  /** Written before the link is up: path under /proc/sys, value. A path that does not exist is skipped. */
  readonly sysctls: readonly (readonly [path: string, value: string])[];
  readonly addresses: readonly OnLink<LinkAddress>[];
  readonly neighbours: readonly OnLink<Neighbour>[];
  readonly routes: readonly OnLink<Route>[];
  /**
   * That an IPv6 address is here. The kernel writes this itself, but behind its answer to who added the address (addrconf_dad_work, also with `nodad`): until
   * then what comes to the address is dropped, and a pod that begins at once would lose the first reply.
   */
  readonly own: readonly OnLink<Route>[];
};

export type PodNetwork = {
  readonly link: PodLink;
  readonly ifname: string;
  readonly mtuBytes: number;
  readonly host: EndOfPair;
  readonly pod: EndOfPair;
  /** What this pod may use as a source: its addresses, and the link-local of its own MAC. */
  readonly genuine: readonly NftElement[];
};

const GATEWAY = { 4: IpAddress.parse(POD_GATEWAY_IPV4), 6: IpAddress.parse(POD_GATEWAY_IPV6) } as const;
const EVERYWHERE = { 4: Cidr.parse("0.0.0.0/0"), 6: Cidr.parse("::/0") } as const;
const LINK_SCOPE = 253;
/** RTPROT_STATIC: inside the pod nobody else needs to tell ours apart. */
const STATIC = 4;

export function planPodNetwork(lease: Lease): PodNetwork {
  const link = podLink(lease.attachment);
  const addresses = [lease.ipv4, lease.ipv6].filter((address) => address !== undefined);
  const sources = lease.ipv6 === undefined ? addresses : [...addresses, linkLocalOf(link.podMac)];
  return {
    link,
    ifname: lease.attachment.ifname,
    mtuBytes: lease.mtuBytes,
    host: hostEnd(lease, link, addresses),
    pod: podEnd(lease, link, addresses),
    genuine: sources.map((address) => ({ set: "genuine", link: link.hostName, address })),
  };
}

/**
 * The host's end towards a pod whose own end has that hardware address; undefined for one that cannot be told. When a chained plugin or the pod
 * itself has given it another than ours, the kernel has taken the pod's entry for its gateway away with the old one. So the host follows, and
 * has the IPv4 gateway as an address of its end, to answer the pod's ARP; IPv6's is there anyway.
 */
export function hostEndTowards(network: PodNetwork, podMac: MacAddress | undefined): EndOfPair {
  const { host, link } = network;
  if (podMac === undefined || podMac === link.podMac) return host;
  const gateway = { address: GATEWAY[4], prefixLength: 32, scope: LINK_SCOPE };
  return {
    ...host,
    addresses: host.neighbours.some(({ address }) => address.family === 4)
      ? [...host.addresses, gateway]
      : host.addresses,
    neighbours: host.neighbours.map(({ address }) => ({ address, mac: podMac })),
  };
}

/** The route that says an address is reserved, leased or cooling. */
export function claimOf(address: IpAddress): Route {
  return {
    destination: address.toCidr(),
    table: PODS_TABLE,
    type: "unreachable",
    protocol: PROTOCOL,
    metric: METRIC.claimed,
  };
}

/** Parameters of a pod's host link, written before it is up. */
export function podLinkSysctls(linkName: string): EndOfPair["sysctls"] {
  return [
    [`net/ipv4/conf/${linkName}/rp_filter`, "1"],
    [`net/ipv6/conf/${linkName}/accept_ra`, "0"],
    [`net/ipv6/conf/${linkName}/accept_redirects`, "0"],
  ];
}

function hostEnd(lease: Lease, link: PodLink, addresses: readonly IpAddress[]): EndOfPair {
  return {
    sysctls: podLinkSysctls(link.hostName),
    addresses: lease.ipv6 === undefined ? [] : [linkLocal(GATEWAY[6])],
    neighbours: addresses.map((address) => ({ address, mac: link.podMac })),
    routes: addresses.map((address) => ({
      destination: address.toCidr(),
      table: PODS_TABLE,
      type: "unicast",
      protocol: PROTOCOL,
      metric: address.family === 4 ? METRIC.podIpv4 : METRIC.podIpv6,
      ...(address.family === 4 ? { scope: LINK_SCOPE } : {}),
      // without it the pod would see the node come from whichever address the kernel finds first
      ...(address.family === 4 && lease.nodeIpv4 !== undefined ? { preferredSource: lease.nodeIpv4 } : {}),
    })),
    own: [],
  };
}

function podEnd(lease: Lease, link: PodLink, addresses: readonly IpAddress[]): EndOfPair {
  const global = addresses.map(
    (address): OnLink<LinkAddress> =>
      address.family === 4
        ? { address, prefixLength: 32, scope: 0 }
        : { address, prefixLength: 128, scope: 0, noDad: true, noPrefixRoute: true },
  );
  return {
    // some runtimes disable IPv6 in new namespaces; the address would be refused
    sysctls: lease.ipv6 === undefined ? [] : [[`net/ipv6/conf/${lease.attachment.ifname}/disable_ipv6`, "0"]],
    addresses: lease.ipv6 === undefined ? global : [linkLocal(linkLocalOf(link.podMac)), ...global],
    neighbours: addresses.map(({ family }) => ({ address: GATEWAY[family], mac: link.hostMac })),
    routes: addresses.map(({ family }) => ({
      destination: EVERYWHERE[family],
      table: MAIN_TABLE,
      type: "unicast",
      protocol: STATIC,
      metric: family === 4 ? 0 : 1024,
      gateway: GATEWAY[family],
      onLink: true,
      scope: 0,
    })),
    own: addresses.filter(({ family }) => family === 6).map(ownRoute),
  };
}

/** The kernel's own, which comes later, has metric 0: the two are there side by side. */
function ownRoute(address: IpAddress): OnLink<Route> {
  return { destination: address.toCidr(), table: LOCAL_TABLE, type: "local", protocol: STATIC, metric: 1024 };
}

function linkLocal(address: IpAddress): OnLink<LinkAddress> {
  return { address, prefixLength: 64, scope: LINK_SCOPE, noDad: true, noPrefixRoute: true };
}
