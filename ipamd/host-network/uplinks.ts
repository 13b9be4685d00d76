import { MARK_SLOT_SHIFT, PODS_TABLE } from "../../common/constants.ts";
import type { MacAddress } from "../../common/ids.ts";
import type { Cidr, Family, IpAddress } from "../../common/ip.ts";

/** An address that an interface has of its own, with the length of its subnet. */
export type OwnAddress = { readonly address: IpAddress; readonly prefixLength: number };

/** A host link that carries pods: what rules, tables and marks are made of. */
export type HostUplink = {
  /** 1 to SLOT_MAX; decides table and mark. The primary is slot 1. */
  readonly slot: number;
  readonly linkName: string;
  readonly linkIndex: number;
  readonly mac: MacAddress;
  /** Its own addresses: never a pod's. The first of a family is the one that SNAT and sockets use. */
  readonly addresses: readonly OwnAddress[];
  /** The cloud's router, at most one per family; link-local for IPv6. A family without one has no routes here. */
  readonly gateways: readonly IpAddress[];
  readonly isPrimary: boolean;
};

/** A host link with what it carries now. */
export type LoadedUplink = HostUplink & {
  /** Addresses and blocks that the cloud routes to it for pods. Disjoint. */
  readonly units: readonly Cidr[];
  /** What the link's `ifalias` is to be; absent: left alone. */
  readonly alias?: string;
};

/** The uplink's own routing table. */
export function tableOf(slot: number): number {
  return PODS_TABLE + slot;
}

/** The slot as bits of packet and connection marks. */
export function markOf(slot: number): number {
  return slot << MARK_SLOT_SHIFT;
}

export function gatewayOf(uplink: HostUplink, family: Family): IpAddress | undefined {
  return uplink.gateways.find((gateway) => gateway.family === family);
}
