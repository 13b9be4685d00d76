import type { MacAddress } from "../ids.ts";

/** A network link as the kernel has it. */
export type Link = {
  readonly index: number;
  readonly name: string;
  /** Absent for links without a hardware address. */
  readonly mac?: MacAddress;
  readonly mtuBytes: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /**
   * It has a queue for packets (IFLA_OPERSTATE is up). A link whose far end came up later gets it behind that, and drops packets until then. Since Linux
   * 6.7 asking for the link gives it one (net/core/rtnetlink.c, rtnl_getlink).
   */
  readonly carries?: boolean;
  /** IFLA_GROUP; 0 is the kernel's default. */
  readonly group: number;
  /** `ifalias`; absent when empty. */
  readonly alias?: string;
  /** IFLA_INFO_KIND, for example `veth`; absent for hardware. */
  readonly kind?: string;
  /** IFLA_LINK: for a veth, the index of its peer in the peer's own namespace. */
  readonly peerIndex?: number;
};

/** A veth pair, its peer made directly inside another namespace. Both ends get one queue and stay down. */
export type VethPair = {
  readonly hostName: string;
  readonly hostMac: MacAddress;
  readonly podName: string;
  readonly podMac: MacAddress;
  readonly mtuBytes: number;
  /** An open namespace file; the peer is born there. */
  readonly podNetnsFd: number;
};

/** What to change on a link; absent means leave. Applied in one message, but for addrGenModeNone (its own, first). */
export type LinkChange = {
  readonly up?: boolean;
  /** At most 254 bytes of UTF-8; an empty string clears it. Longer throws RangeError before the kernel is asked. */
  readonly alias?: string;
  readonly group?: number;
  readonly mtuBytes?: number;
  readonly mac?: MacAddress;
  readonly name?: string;
  /** No IPv6 link-local address is made by the kernel when the link comes up. Must precede `up`. */
  readonly addrGenModeNone?: true;
};

/**
 * Links of one namespace (rtnetlink, linux/if_link.h). Every call is synchronous: when it returns, the kernel has done
 * it. All throw KernelError. None but list() is a dump, so no other can be disturbed by other programs' changes.
 */
export interface Links {
  /** Throws EEXIST when either name is taken; then nothing is left of the pair. */
  createPair(pair: VethPair): { readonly hostIndex: number; readonly podIndex: number };
  /** By index or by name; undefined when there is none. */
  find(ref: number | string): Link | undefined;
  /**
   * The other end of a pair, whichever namespace it is in, without entering that. Undefined when the link has none, or one of both is
   * going. `ref` is the index of the end that is here.
   */
  findPeer(ref: number): Link | undefined;
  /** A dump, repeated while the kernel says it was interrupted. With `kind`, filtered in the kernel. */
  list(kind?: "veth"): Link[];
  /** Throws ENODEV when the link is gone. Repeatable. */
  change(ref: number | string, change: LinkChange): void;
  /** Removes one link. Blocks 10 to 40 ms for an RCU grace period: never on the path of an ADD or DEL. ENODEV when gone. */
  remove(ref: number | string): void;
}

/** `ifalias` holds 255 bytes and we send a NUL with it. */
const ALIAS_BYTES_MAX = 254;

/** Throws RangeError for an alias that the kernel would refuse. */
export function checkAlias(alias: string | undefined): void {
  const bytes = Buffer.byteLength(alias ?? "");
  if (bytes > ALIAS_BYTES_MAX)
    throw new RangeError(`a link's alias holds ${ALIAS_BYTES_MAX} bytes, not ${bytes}`);
}
