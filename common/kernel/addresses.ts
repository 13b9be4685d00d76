import type { IpAddress } from "../ip.ts";

/** An address on a link. */
export type LinkAddress = {
  readonly linkIndex: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** RT_SCOPE_*: 0 global, 253 link. Default 0. */
  readonly scope?: number;
  /** IFA_F_NODAD: usable at once, never tentative. IPv6 only. */
  readonly noDad?: boolean;
  /** IFA_F_NOPREFIXROUTE: the kernel makes no connected route of it. */
  readonly noPrefixRoute?: boolean;
  /** Only in what list() gives: IFA_F_TENTATIVE. */
  readonly tentative?: boolean;
  /** Only in what list() gives: IFA_F_PERMANENT (not from router advertisements). */
  readonly permanent?: boolean;
};

/** Addresses of one namespace. Synchronous; throws KernelError. */
export interface Addresses {
  /** Idempotent: an equal address that is there already is success (NLM_F_REPLACE). EACCES: IPv6 disabled on the link. */
  add(address: LinkAddress): void;
  /** Idempotent: one that is not there is success. */
  remove(address: LinkAddress): void;
  /** A dump, of one link when given. */
  list(linkIndex?: number): LinkAddress[];
}

/** True when the two are one address with one prefix length. */
export function isSameAddress(a: LinkAddress, b: LinkAddress): boolean {
  return a.address.equals(b.address) && a.prefixLength === b.prefixLength;
}

/** A permanent neighbour entry (NUD_PERMANENT). */
export type Neighbour = { readonly linkIndex: number; readonly address: IpAddress; readonly mac: string };

/** True when the two give one address one MAC. */
export function isSameNeighbour(a: Neighbour, b: Neighbour): boolean {
  return a.address.equals(b.address) && a.mac === b.mac;
}

/** Neighbour entries of one namespace, both families. Synchronous; throws KernelError. */
export interface Neighbours {
  /** Creates or replaces. Repeatable. */
  set(neighbour: Neighbour): void;
  /** Idempotent. */
  remove(neighbour: Pick<Neighbour, "linkIndex" | "address">): void;
  /** The permanent ones only, of one link. */
  list(linkIndex: number): Neighbour[];
}
