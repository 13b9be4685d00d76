import type { Cidr, Family, IpAddress } from "../ip.ts";

/** RTN_* of linux/rtnetlink.h: unicast 1, local 2, blackhole 6, unreachable 7, prohibit 8. Local ones are never ours: the kernel's, or a TPROXY's. */
export type RouteType = "unicast" | "local" | "blackhole" | "unreachable" | "prohibit";

/** A route. What is compared and deleted by: destination, table, type, metric, link and protocol together. */
export type Route = {
  /** 0.0.0.0/0 or ::/0 for a default route. */
  readonly destination: Cidr;
  /** Above 255 is fine. 254 is main. */
  readonly table: number;
  readonly type: RouteType;
  /** RTPROT_*. 197 marks what is ours; 2 is the kernel's. */
  readonly protocol: number;
  /** Priority. IPv6 knows no 0: a unicast route made without gets 1024, so always give one there. IPv4 default 0. */
  readonly metric: number;
  /** Required for unicast. */
  readonly linkIndex?: number;
  readonly gateway?: IpAddress;
  /** RTNH_F_ONLINK: the gateway need not be covered by a route. */
  readonly onLink?: boolean;
  /** RT_SCOPE_*: IPv4 only; default 253 (link) for unicast without gateway, else 0. */
  readonly scope?: number;
  /** IPv4 only: the address this node uses as source towards the destination. */
  readonly preferredSource?: IpAddress;
};

/** Routes of one namespace. Synchronous; throws KernelError. */
export interface Routes {
  /** Creates it, or does nothing when an equal one is there. EEXIST: one that differs has its place (IPv4). */
  add(route: Route): void;
  /** As add(), but takes the place of a route with the same destination, table and metric. */
  replace(route: Route): void;
  /**
   * Idempotent. Sends type, metric, link and protocol, so that it never removes another than the one meant; but to IPv4 a metric of 0
   * means any, the lowest first. To be sure of an IPv6 type it reads the table, which the kernel does not compare; `soleType` says that no other type of ours
   * ever has that metric there, and spares it.
   */
  remove(route: Route, certainty?: { readonly soleType: true }): void;
  /** A dump filtered in the kernel by family and table (and protocol): an absent table is an empty list. */
  list(filter: { readonly family: Family; readonly table: number; readonly protocol?: number }): Route[];
}

/** The scope that a route has when none is given. */
export function routeScope(route: Route): number {
  if (route.destination.family === 6) return 0;
  return route.scope ?? (route.type === "unicast" && route.gateway === undefined ? 253 : 0);
}

/** True when the two are one route to the kernel, down to gateway and preferred source. */
export function isSameRoute(a: Route, b: Route): boolean {
  return routeKey(a) === routeKey(b);
}

function routeKey(route: Route): string {
  const { destination, table, type, protocol, metric, linkIndex, gateway, onLink, preferredSource } = route;
  const parts = [
    destination,
    table,
    type,
    protocol,
    metric,
    linkIndex,
    gateway,
    onLink ?? false,
    preferredSource,
  ];
  return [...parts, routeScope(route)].join(" ");
}
