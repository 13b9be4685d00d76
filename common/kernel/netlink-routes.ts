/** Routes over rtnetlink (linux/rtnetlink.h). */
import { LOOPBACK_INDEX } from "../constants.ts";
import { Cidr, type Family, IpAddress } from "../ip.ts";
import { ignoring, KernelError } from "./errors.ts";
import { AF_INET, Attributes, addressFamily } from "./netlink-codec.ts";
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, readHostU32 } from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import type { MessageWriter } from "./netlink-writer.ts";
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
      this.create(route, NLM_F_EXCL, "add");
    } catch (error) {
      if (error instanceof KernelError && error.code === "EEXIST" && this.holds(route)) return;
      throw error;
    }
  }

  replace(route: Route): void {
    this.create(route, NLM_F_REPLACE, "replace");
  }

  remove(route: Route, { soleType = false }: { readonly soleType?: boolean } = {}): void {
    // IPv6 ignores the type when it deletes, so `prohibit` would take a `blackhole` of the same metric
    const isUnsure = route.destination.family === 6 && route.type !== "unicast" && !soleType;
    if (isUnsure && !this.holds(route)) return;
    const write = (out: MessageWriter) => {
      writeRoute(out, route, RT_SCOPE_NOWHERE);
      if (route.destination.family === 6 && route.type !== "unicast") out.u32(RTA_OIF, LOOPBACK_INDEX);
    };
    const request = { type: RTM_DELROUTE, write, doing: () => `remove ${describe(route)}` };
    // ENOENT: the table is gone; ENODEV: the link is, and its routes with it
    ignoring(["ESRCH", "ENOENT", "ENODEV"], () => this.socket.ask(request));
  }

  list(filter: Filter): Route[] {
    return this.dump(filter, 0);
  }

  private create(route: Route, mode: number, verb: string): void {
    this.socket.ask({
      type: RTM_NEWROUTE,
      flags: NLM_F_CREATE | mode,
      write: (out) => writeRoute(out, route, routeScope(route)),
      doing: () => `${verb} ${describe(route)}`,
    });
  }

  private holds(route: Route): boolean {
    const filter = { family: route.destination.family, table: route.table, protocol: route.protocol };
    return this.dump(filter, TYPE_NUMBERS[route.type]).some((other) => isSameRoute(other, route));
  }

  private dump({ family, table, protocol = 0 }: Filter, type: number): Route[] {
    const write = (out: MessageWriter) => {
      writeHeader(out, { family, protocol, type });
      out.u32(RTA_TABLE, table);
    };
    const request = { type: RTM_GETROUTE, write, doing: () => `list routes of table ${table}` };
    // ENOENT is an absent IPv4 table
    const messages = ignoring(["ENOENT"], () => this.socket.dump(request)) ?? [];
    return messages.flatMap(({ data }) => decodeRoute(data) ?? []);
  }
}

/** A route out of a RTM_NEWROUTE or RTM_DELROUTE message; undefined for types that nobody asks for (broadcast, multicast, …). */
export function decodeRoute(data: Buffer): Route | undefined {
  const type = TYPE_NAMES.get(data.readUInt8(7));
  if (type === undefined) return undefined;
  const attributes = new Attributes(data, RTMSG_BYTES);
  const family = data.readUInt8(0) === AF_INET ? 4 : 6;
  const destination = attributes.address(RTA_DST) ?? IpAddress.fromValue(family, 0n);
  const linkIndex = type === "unicast" ? attributes.u32(RTA_OIF) : undefined;
  const gateway = attributes.address(RTA_GATEWAY);
  const preferredSource = attributes.address(RTA_PREFSRC);
  return {
    destination: Cidr.of(destination, data.readUInt8(1)),
    table: attributes.u32(RTA_TABLE) ?? data.readUInt8(4),
    type,
    protocol: data.readUInt8(5),
    metric: attributes.u32(RTA_PRIORITY) ?? 0,
    ...(linkIndex !== undefined && { linkIndex }),
    ...(gateway !== undefined && { gateway }),
    ...((readHostU32(data, 8) & RTNH_F_ONLINK) !== 0 && { onLink: true }),
    ...(family === 4 && { scope: data.readUInt8(6) }),
    ...(preferredSource !== undefined && { preferredSource }),
  };
}

type Header = {
  readonly family: Family;
  readonly prefixLength?: number;
  readonly protocol: number;
  readonly scope?: number;
  readonly type: number;
  readonly flags?: number;
};

/**
 * struct rtmsg: family, destination length, source length, tos, table, protocol, scope, type: u8 each; flags u32. The table is 0 because
 * the attribute has it, with room for numbers above 255.
 */
function writeHeader(out: MessageWriter, header: Header): void {
  const { family, prefixLength = 0, protocol, scope = 0, type, flags = 0 } = header;
  out.four(addressFamily(family), prefixLength, 0, 0);
  out.four(0, protocol, scope, type);
  out.word(flags);
}

function writeRoute(out: MessageWriter, route: Route, scope: number): void {
  const { family, prefixLength, address } = route.destination;
  const flags = route.onLink ? RTNH_F_ONLINK : 0;
  const { protocol } = route;
  writeHeader(out, { family, prefixLength, protocol, scope, type: TYPE_NUMBERS[route.type], flags });
  out.u32(RTA_TABLE, route.table);
  if (prefixLength > 0) out.value(RTA_DST, address.toBytes());
  if (route.metric !== 0) out.u32(RTA_PRIORITY, route.metric);
  if (route.linkIndex !== undefined) out.u32(RTA_OIF, route.linkIndex);
  if (route.gateway !== undefined) out.value(RTA_GATEWAY, route.gateway.toBytes());
  if (route.preferredSource !== undefined) out.value(RTA_PREFSRC, route.preferredSource.toBytes());
}

function describe({ type, destination, table, metric, linkIndex }: Route): string {
  const link = linkIndex === undefined ? "" : ` by link ${linkIndex}`;
  return `${type} route ${destination}${link} metric ${metric} in table ${table}`;
}
