/** The doors to a namespace in memory: same promises and errors as the real ones. */
import { Cidr, IpAddress } from "../../ip.ts";
import type { Addresses, LinkAddress, Neighbour, Neighbours } from "../addresses.ts";
import { KernelError } from "../errors.ts";
import { checkAlias, type Link, type LinkChange, type Links, type VethPair } from "../links.ts";
import type { NetworkStack } from "../netns.ts";
import { isSameRoute, type Route, type Routes, routeScope } from "../routes.ts";
import { isSameRule, type Rule, type Rules } from "../rules.ts";
import { type MemoryNamespace, publicLink } from "./namespace.ts";
import { MemorySysctl } from "./sysctl.ts";

/** Gives a namespace by the descriptor of an open one. */
export type FindByFd = (fd: number) => MemoryNamespace | undefined;

/** @param namespace asked at each call, so that a stack can be made unusable by throwing */
export function memoryStack(namespace: () => MemoryNamespace, findByFd: FindByFd): NetworkStack {
  return {
    links: new MemoryLinks(namespace, findByFd),
    addresses: new MemoryAddresses(namespace),
    neighbours: new MemoryNeighbours(namespace),
    routes: new MemoryRoutes(namespace),
    rules: new MemoryRules(namespace),
    sysctl: new MemorySysctl(namespace),
    together: (work) => work(),
  };
}

class MemoryLinks implements Links {
  private readonly namespace: () => MemoryNamespace;
  private readonly findByFd: FindByFd;

  constructor(namespace: () => MemoryNamespace, findByFd: FindByFd) {
    this.namespace = namespace;
    this.findByFd = findByFd;
  }

  createPair(pair: VethPair): { readonly hostIndex: number; readonly podIndex: number } {
    const host = this.namespace();
    const pod = this.findByFd(pair.podNetnsFd);
    if (pod === undefined) throw new KernelError("EINVAL", `descriptor ${pair.podNetnsFd} is no namespace`);
    host.requireFreeName(pair.hostName);
    pod.requireFreeName(pair.podName);
    const common = { mtuBytes: pair.mtuBytes, up: false, group: 0, kind: "veth" };
    const podEnd = pod.addLink({ ...common, name: pair.podName, mac: pair.podMac });
    const peer = { namespace: pod, index: podEnd.index };
    const hostEnd = host.addLink({ ...common, name: pair.hostName, mac: pair.hostMac, peer });
    pod.links.set(podEnd.index, { ...podEnd, peer: { namespace: host, index: hostEnd.index } });
    return { hostIndex: hostEnd.index, podIndex: podEnd.index };
  }

  find(ref: number | string): Link | undefined {
    const link = this.namespace().findLink(ref);
    return link && publicLink(link);
  }

  findPeer(ref: number): Link | undefined {
    const peer = this.namespace().findLink(ref)?.peer;
    const link = peer?.namespace.findLink(peer.index);
    return link && publicLink(link);
  }

  list(kind?: "veth"): Link[] {
    const links = [...this.namespace().links.values()].map(publicLink);
    return kind === undefined ? links : links.filter((link) => link.kind === kind);
  }

  change(ref: number | string, change: LinkChange): void {
    checkAlias(change.alias);
    const namespace = this.namespace();
    const link = namespace.getLink(ref);
    const { addrGenModeNone, alias = link.alias, ...rest } = change;
    if (rest.name !== undefined && rest.name !== link.name) namespace.requireFreeName(rest.name);
    const { alias: _, ...others } = { ...link, ...rest };
    namespace.putLink(alias === undefined || alias === "" ? others : { ...others, alias });
  }

  remove(ref: number | string): void {
    this.namespace().removeLink(this.namespace().getLink(ref).index);
  }
}

class MemoryAddresses implements Addresses {
  private readonly namespace: () => MemoryNamespace;

  constructor(namespace: () => MemoryNamespace) {
    this.namespace = namespace;
  }

  add(address: LinkAddress): void {
    const namespace = this.namespace();
    const link = namespace.getLink(address.linkIndex);
    const isDisabled = namespace.sysctls.get(`net/ipv6/conf/${link.name}/disable_ipv6`) === "1";
    if (address.address.family === 6 && isDisabled) {
      throw new KernelError("EACCES", `IPv6 is disabled on link ${link.name}`);
    }
    const { linkIndex, prefixLength, scope = 0, noDad, noPrefixRoute } = address;
    namespace.setAddress({
      linkIndex,
      address: address.address,
      prefixLength,
      scope,
      ...(noDad && { noDad }),
      ...(noPrefixRoute && { noPrefixRoute }),
      permanent: true,
    });
  }

  remove(address: LinkAddress): void {
    this.namespace().removeAddress(address);
  }

  list(linkIndex?: number): LinkAddress[] {
    const { addresses } = this.namespace();
    return addresses
      .filter((address) => linkIndex === undefined || address.linkIndex === linkIndex)
      .sort((a, b) => a.address.family - b.address.family);
  }
}

class MemoryNeighbours implements Neighbours {
  private readonly namespace: () => MemoryNamespace;

  constructor(namespace: () => MemoryNamespace) {
    this.namespace = namespace;
  }

  set(neighbour: Neighbour): void {
    this.namespace().getLink(neighbour.linkIndex);
    this.remove(neighbour);
    this.namespace().neighbours.push(neighbour);
  }

  remove({ linkIndex, address }: Pick<Neighbour, "linkIndex" | "address">): void {
    const namespace = this.namespace();
    namespace.neighbours = namespace.neighbours.filter(
      (other) => other.linkIndex !== linkIndex || !other.address.equals(address),
    );
  }

  list(linkIndex: number): Neighbour[] {
    const { neighbours } = this.namespace();
    return neighbours
      .filter((neighbour) => neighbour.linkIndex === linkIndex)
      .sort((a, b) => a.address.family - b.address.family);
  }
}

class MemoryRoutes implements Routes {
  private readonly namespace: () => MemoryNamespace;

  constructor(namespace: () => MemoryNamespace) {
    this.namespace = namespace;
  }

  add(route: Route): void {
    const place = this.inPlaceOf(route);
    if (place !== undefined && isSameRoute(place, route)) return;
    if (place !== undefined)
      throw new KernelError("EEXIST", `another route has the place of ${route.destination}`);
    this.set(route);
  }

  replace(route: Route): void {
    const place = this.inPlaceOf(route);
    this.check(route);
    if (place !== undefined)
      this.namespace().routes = this.namespace().routes.filter((other) => other !== place);
    this.set(route);
  }

  remove(route: Route): void {
    const [found] = this.namespace()
      .routes.filter((other) => isMeant(route, other))
      .sort((a, b) => a.metric - b.metric);
    if (found !== undefined) this.namespace().removeRoute(found);
  }

  list({ family, table, protocol }: Parameters<Routes["list"]>[0]): Route[] {
    return this.namespace()
      .routes.filter((route) => route.destination.family === family && route.table === table)
      .filter((route) => protocol === undefined || route.protocol === protocol)
      .sort((a, b) => a.destination.compare(b.destination) || a.metric - b.metric);
  }

  private inPlaceOf(route: Route): Route | undefined {
    return this.namespace().routes.find(
      (other) =>
        other.table === route.table &&
        other.metric === metricOf(route) &&
        other.destination.equals(route.destination),
    );
  }

  private set(route: Route): void {
    this.check(route);
    const scope = route.destination.family === 4 ? { scope: routeScope(route) } : {};
    const { scope: _, onLink, ...rest } = route;
    this.namespace().setRoute({ ...rest, ...(onLink && { onLink }), metric: metricOf(route), ...scope });
  }

  private check(route: Route): void {
    const namespace = this.namespace();
    const { preferredSource } = route;
    if (
      preferredSource !== undefined &&
      !namespace.addresses.some(({ address }) => address.equals(preferredSource))
    ) {
      throw new KernelError("EINVAL", `preferred source ${preferredSource} is no address of this node`);
    }
    if (route.type !== "unicast") return;
    const link = namespace.getLink(route.linkIndex ?? 0);
    if (!link.up) throw new KernelError("ENETDOWN", `link ${link.name} is not up`);
    if (route.gateway !== undefined && !route.onLink && !isCovered(namespace, link.index, route.gateway)) {
      throw new KernelError("ENETUNREACH", `no route to gateway ${route.gateway} by link ${link.name}`);
    }
  }
}

class MemoryRules implements Rules {
  private readonly namespace: () => MemoryNamespace;

  constructor(namespace: () => MemoryNamespace) {
    this.namespace = namespace;
  }

  add(rule: Rule): void {
    if (this.find(rule) === undefined) this.namespace().setRule(rule);
  }

  remove(rule: Rule): void {
    const found = this.find(rule);
    if (found !== undefined) this.namespace().removeRule(found);
  }

  list(family: Rule["family"]): Rule[] {
    return this.namespace().rules.filter((rule) => rule.family === family);
  }

  private find(rule: Rule): Rule | undefined {
    return this.namespace().rules.find((other) => isSameRule(other, rule));
  }
}

/** IPv6 knows no metric of 0. */
function metricOf(route: Route): number {
  return route.metric === 0 && route.destination.family === 6 ? 1024 : route.metric;
}

/** What a removal compares; to IPv4 a metric of 0 means any. */
function isMeant(meant: Route, other: Route): boolean {
  return (
    other.destination.equals(meant.destination) &&
    other.table === meant.table &&
    other.type === meant.type &&
    other.protocol === meant.protocol &&
    other.linkIndex === meant.linkIndex &&
    (other.metric === metricOf(meant) || (meant.metric === 0 && meant.destination.family === 4))
  );
}

const LINK_LOCAL = IpAddress.parse("fe80::");

function isCovered(namespace: MemoryNamespace, linkIndex: number, gateway: IpAddress): boolean {
  if (gateway.family === 6 && gateway.value >> 118n === LINK_LOCAL.value >> 118n) return true;
  const isByRoute = namespace.routes.some(
    (route) =>
      route.linkIndex === linkIndex && route.gateway === undefined && route.destination.contains(gateway),
  );
  const isByAddress = namespace.addresses.some(
    (own) =>
      own.linkIndex === linkIndex &&
      !own.noPrefixRoute &&
      Cidr.of(own.address, own.prefixLength).contains(gateway),
  );
  return isByRoute || isByAddress;
}
