/** Numbers and names that are ours in a kernel shared with others. One place each; DESIGN-level reasons beside them. */

/** Rule priorities, before amazon-vpc-cni's 512 to 1536 so that a migration can lay ours beside theirs. */
export const RULE_PRIORITY = {
  /** Strict mode: what arrives by an uplink is delivered before a strict mark is looked at. Reserved. */
  arrived: 400,
  /** Strict mode. Reserved. */
  strict: 401,
  pods: 402,
  mainSpecific: 403,
  uplinkMark: 404,
  uplinkAddress: 405,
} as const;

/** Route and rule protocol; unused in rt_protos. Only objects that carry it are ever removed. */
export const PROTOCOL = 197;

/** The pods table, which is the journal too. Uplink in slot n has table PODS_TABLE + n; the primary is slot 1. */
export const PODS_TABLE = 4100;
export const MAIN_TABLE = 254;
/** RT_TABLE_LOCAL: which addresses are here. Looked up before any rule of ours. */
export const LOCAL_TABLE = 255;

/** Interface group of all uplinks, and of links that wait for removal. Below 2^31, or `ip` prints them as negative. */
export const UPLINK_GROUP = 4100;
export const DYING_GROUP = 4101;

/** Bits of packet and connection marks that are ours: uplink slot, and strict. Clear of portmap 0x2000, kube-proxy 0xc000. */
export const MARK_FIELD = 0x1f00;
export const MARK_SLOT = 0x0f00;
export const MARK_SLOT_SHIFT = 8;
export const MARK_STRICT = 0x1000;
/** How many uplinks a node can have: the slot has four bits and 0 means none. */
export const SLOT_MAX = 15;

/** Route metrics in the pods table; see the state table in ARCHITECTURE.md. */
export const METRIC = { podIpv4: 0, podIpv6: 1024, claimed: 4096, unit: 8192 } as const;

/** Host ends of pods: `cw` and 12 hex digits of a hash of (container id, ifname). */
export const POD_LINK_PREFIX = "cw";

/** Inside every pod: the gateway addresses, answered by permanent neighbour entries, never by ARP or discovery. */
export const POD_GATEWAY_IPV4 = "169.254.1.1";
/** Not fe80::1234:5678:9abc, which Azure's load balancers probe from. */
export const POD_GATEWAY_IPV6 = "fe80::c:1";

export const NFT_TABLE = "causeway";

/** The loopback's, in every namespace; the kernel keeps it as the link of IPv6 routes that refuse. */
export const LOOPBACK_INDEX = 1;
