/** Routes over rtnetlink (linux/rtnetlink.h). */
import { FlagsNew } from "netlink/dist/constants.js";
import { LOOPBACK_INDEX } from "../constants.ts";
import { Cidr, type Family, IpAddress } from "../ip.ts";
import { ignoring, KernelError } from "./errors.ts";
import {
  AF_INET,
  addressFamily,
  addressOf,
  decodeAttributes,
  encodeBody,
  hostU32,
  readHostU32,
  u32,
} from "./netlink-codec.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { isSameRoute, type Route, type Routes, type RouteType, routeScope } from "./routes.ts";

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTMSG_BYTES = 12;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_TABLE = 15;
const RTNH_F_ONLINK = 4;
const RT_SCOPE_NOWHERE = 255;

const TYPE_NUMBERS: Readonly<Record<RouteType, number>> = {
  unicast: 1,
  local: 2,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
};
const TYPE_NAMES = new Map(Object.entries(TYPE_NUMBERS).map(([name, number]) => [number, name as RouteType]));

type Filter = { readonly family: Family; readonly table: number; readonly protocol?: number };

/** Routes of the namespace that the socket belongs to. */
export class NetlinkRoutes implements Routes {
  private readonly socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.socket = socket;
  }

  add(route: Route): void {
    try {
      this.create(route, FlagsNew.EXCL, "add");
    } catch (error) {
      if (error instanceof KernelError && error.code === "EEXIST" && this.holds(route)) return;
      throw error;
    }
  }

  replace(route: Route): void {
    this.create(route, FlagsNew.REPLACE, "replace");
  }

  remove(route: Route, { soleType = false }: { readonly soleType?: boolean } = {}): void {
    // IPv6 ignores the type when it deletes, so `prohibit` would take a `blackhole` of the same metric
    const isUnsure = route.destination.family === 6 && route.type !== "unicast" && !soleType;
    if (isUnsure && !this.holds(route)) return;
    const body = encodeRoute(route, RT_SCOPE_NOWHERE, (out) => {
      if (route.destination.family === 6 && route.type !== "unicast") out.push(RTA_OIF, u32(LOOPBACK_INDEX));
    });
    const request = { type: RTM_DELROUTE, body, doing: `remove ${describe(route)}` };
    // ENOENT: the table is gone; ENODEV: the link is, and its routes with it
    ignoring(["ESRCH", "ENOENT", "ENODEV"], () => this.socket.ask(request));
  }

  list(filter: Filter): Route[] {
    return this.dump(filter, 0);
  }

  private create(route: Route, mode: number, verb: string): void {
    const body = encodeRoute(route, routeScope(route));
    const flags = FlagsNew.CREATE | mode;
    this.socket.ask({ type: RTM_NEWROUTE, flags, body, doing: `${verb} ${describe(route)}` });
  }

  private holds(route: Route): boolean {
    const filter = { family: route.destination.family, table: route.table, protocol: route.protocol };
    return this.dump(filter, TYPE_NUMBERS[route.type]).some((other) => isSameRoute(other, route));
  }

  private dump({ family, table, protocol = 0 }: Filter, type: number): Route[] {
    const header = routeHeader({ family: addressFamily(family), protocol, type });
    const body = encodeBody(header, (out) => out.push(RTA_TABLE, u32(table)));
    const request = { type: RTM_GETROUTE, body, doing: `list routes of table ${table}` };
    // ENOENT is an absent IPv4 table
    const messages = ignoring(["ENOENT"], () => this.socket.dump(request)) ?? [];
    return messages.flatMap(({ data }) => decodeRoute(data) ?? []);
  }
}

/** A route out of a RTM_NEWROUTE or RTM_DELROUTE message; undefined for types that nobody asks for (broadcast, multicast, …). */
export function decodeRoute(data: Buffer): Route | undefined {
  const type = TYPE_NAMES.get(data.readUInt8(7));
  if (type === undefined) return undefined;
  const attributes = decodeAttributes(data, RTMSG_BYTES);
  const family = data.readUInt8(0) === AF_INET ? 4 : 6;
  const destination = addressOf(attributes, RTA_DST) ?? IpAddress.fromValue(family, 0n);
  const linkIndex = type === "unicast" ? hostU32(attributes, RTA_OIF) : undefined;
  const gateway = addressOf(attributes, RTA_GATEWAY);
  const preferredSource = addressOf(attributes, RTA_PREFSRC);
  return {
    destination: Cidr.of(destination, data.readUInt8(1)),
    table: hostU32(attributes, RTA_TABLE) ?? data.readUInt8(4),
    type,
    protocol: data.readUInt8(5),
    metric: hostU32(attributes, RTA_PRIORITY) ?? 0,
    ...(linkIndex !== undefined && { linkIndex }),
    ...(gateway !== undefined && { gateway }),
    ...((readHostU32(data, 8) & RTNH_F_ONLINK) !== 0 && { onLink: true }),
    ...(family === 4 && { scope: data.readUInt8(6) }),
    ...(preferredSource !== undefined && { preferredSource }),
  };
}

type Header = {
  family: number;
  prefixLength?: number;
  protocol?: number;
  scope?: number;
  type?: number;
  flags?: number;
};

/**
 * struct rtmsg: family, destination length, source length, tos, table, protocol, scope, type: u8 each; flags u32. The table is 0 because
 * the attribute has it, with room for numbers above 255.
 */
function routeHeader({
  family,
  prefixLength = 0,
  protocol = 0,
  scope = 0,
  type = 0,
  flags = 0,
}: Header): Buffer {
  return Buffer.concat([Buffer.of(family, prefixLength, 0, 0, 0, protocol, scope, type), u32(flags)]);
}

function encodeRoute(
  route: Route,
  scope: number,
  writeMore: Parameters<typeof encodeBody>[1] = () => undefined,
): Buffer {
  const header = routeHeader({
    family: addressFamily(route.destination.family),
    prefixLength: route.destination.prefixLength,
    protocol: route.protocol,
    scope,
    type: TYPE_NUMBERS[route.type],
    flags: route.onLink ? RTNH_F_ONLINK : 0,
  });
  return encodeBody(header, (out) => {
    out.push(RTA_TABLE, u32(route.table));
    if (route.destination.prefixLength > 0) out.push(RTA_DST, route.destination.address.toBytes());
    if (route.metric !== 0) out.push(RTA_PRIORITY, u32(route.metric));
    if (route.linkIndex !== undefined) out.push(RTA_OIF, u32(route.linkIndex));
    if (route.gateway !== undefined) out.push(RTA_GATEWAY, route.gateway.toBytes());
    if (route.preferredSource !== undefined) out.push(RTA_PREFSRC, route.preferredSource.toBytes());
    writeMore(out);
  });
}

function describe({ type, destination, table, metric, linkIndex }: Route): string {
  const link = linkIndex === undefined ? "" : ` by link ${linkIndex}`;
  return `${type} route ${destination}${link} metric ${metric} in table ${table}`;
}
