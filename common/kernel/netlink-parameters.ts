/** News of IP parameters (linux/netconf.h): the kernel tells of rp_filter and forwarding, of `all` and `default` too. */
import type { KernelEvent } from "./events.ts";
import { AF_INET, AF_INET6, Attributes } from "./netlink-codec.ts";

export const RTM_NEWNETCONF = 80;
/** struct netconfmsg: family u8, padded to 4 bytes. */
const NETCONFMSG_BYTES = 4;
const NETCONFA_IFINDEX = 1;
const NETCONFA_FORWARDING = 2;
const NETCONFA_RP_FILTER = 3;
const IFINDEX_ALL = -1;
const IFINDEX_DEFAULT = -2;

/** Undefined for what is neither IPv4 nor IPv6, and for parameters that we do not know. */
export function decodeParameters(data: Buffer): KernelEvent | undefined {
  const family = data.readUInt8(0);
  const attributes = new Attributes(data, NETCONFMSG_BYTES);
  const index = attributes.u32(NETCONFA_IFINDEX);
  const rpFilter = attributes.u32(NETCONFA_RP_FILTER);
  const forwarding = attributes.u32(NETCONFA_FORWARDING);
  if ((family !== AF_INET && family !== AF_INET6) || index === undefined) return undefined;
  if (rpFilter === undefined && forwarding === undefined) return undefined;
  return {
    kind: "parameter",
    family: family === AF_INET ? 4 : 6,
    ...scopeOf(index | 0),
    ...(rpFilter !== undefined && { rpFilter }),
    ...(forwarding !== undefined && { forwarding: forwarding !== 0 }),
  };
}

function scopeOf(index: number) {
  if (index === IFINDEX_ALL) return { scope: "all" } as const;
  if (index === IFINDEX_DEFAULT) return { scope: "default" } as const;
  return { scope: "link", linkIndex: index } as const;
}
