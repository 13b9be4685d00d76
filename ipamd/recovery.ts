/**
 * What the journal says at start: one link dump, one dump of the pods table per family, one of the nft elements. Pure but for
 * readKernel(); needs neither the cloud nor the API server.
 */

import { type LeaseRecord, parseLeaseAlias } from "../cni/lease-alias.ts";
import { isPodLinkName } from "../cni/pod-link.ts";
import { readPodsTable } from "../cni/repair.ts";
import { DYING_GROUP } from "../common/constants.ts";
import type { Cidr, IpAddress } from "../common/ip.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Link } from "../common/kernel/links.ts";
import type { NftElement } from "../common/kernel/nft.ts";
import type { Route } from "../common/kernel/routes.ts";
import { parseUplinkAlias, type UplinkRecord } from "./uplink.ts";

/** The kernel's objects that hold our state. */
export type KernelState = {
  readonly links: readonly Link[];
  /** Of the pods table, with our protocol. */
  readonly routes: readonly Route[];
  readonly units: readonly Extract<NftElement, { set: "uplink" }>[];
  readonly genuine: readonly Extract<NftElement, { set: "genuine" }>[];
};

/** A unit whose routes are there while the map that named its uplink, or the uplink's link, is gone. */
export type OrphanUnit = { readonly unit: Cidr; readonly releasing: boolean };

export type RecoveredLease = { readonly record: LeaseRecord; readonly link: Link };

export type Recovered = {
  /** Links that carry an uplink's record. */
  readonly uplinks: readonly { readonly record: UplinkRecord; readonly link: Link }[];
  readonly units: readonly { readonly slot: number; readonly unit: Cidr; readonly releasing: boolean }[];
  /** Units whose uplink is not known: nothing is given of them until the cloud says whose they are, or that they are gone. */
  readonly orphans: readonly OrphanUnit[];
  /** Pods that run: their link is there and says ready. */
  readonly leases: readonly RecoveredLease[];
  /** Reserved addresses without a running pod: each starts its full cooling period again, as routes carry no time. */
  readonly cooling: readonly IpAddress[];
  /** Links of ours whose ADD did not finish or whose DEL had begun: to be removed. */
  readonly dyingLinks: readonly Link[];
  /** Unicast routes of pods that no lease accounts for: to be removed. */
  readonly strayRoutes: readonly Route[];
  /** Pairs of links that no lease accounts for: to be removed. */
  readonly strayGenuine: readonly NftElement[];
};

export function readKernel(kernel: Kernel): KernelState {
  const elements = [...kernel.nft.list("uplink"), ...kernel.nft.list("genuine")];
  return {
    links: kernel.host.links.list(),
    routes: readPodsTable(kernel),
    units: elements.filter((element) => element.set === "uplink"),
    genuine: elements.filter((element) => element.set === "genuine"),
  };
}

export function recover(state: KernelState): Recovered {
  const podLinks = state.links.filter(({ name, kind }) => kind === "veth" && isPodLinkName(name));
  const leases: RecoveredLease[] = [];
  const dyingLinks: Link[] = [];
  for (const link of podLinks) {
    const record = link.alias === undefined ? undefined : parseLeaseAlias(link.alias);
    if (record?.state === "ready" && link.group !== DYING_GROUP) leases.push({ record, link });
    // an alias that we cannot read is somebody's note on a link of our name: not ours to remove
    else if (link.alias === undefined || record !== undefined) dyingLinks.push(link);
  }
  const leased = new Map<string, number>();
  for (const { record, link } of leases) {
    for (const address of addressesOf(record)) leased.set(address.toString(), link.index);
  }
  const leaseLinks = new Set(leases.map(({ link }) => link.name));
  const uplinks = state.links.flatMap((link) => {
    const record = link.alias === undefined ? undefined : parseUplinkAlias(link.alias);
    return record === undefined ? [] : [{ record, link }];
  });
  const slots = new Set(uplinks.map(({ record }) => record.slot));
  return {
    uplinks,
    units: recoverUnits(state, slots),
    orphans: recoverOrphans(state, slots),
    leases,
    cooling: state.routes
      .filter(({ type, destination }) => type === "unreachable" && !leased.has(destination.first.toString()))
      .map(({ destination }) => destination.first),
    dyingLinks,
    strayRoutes: state.routes.filter(
      ({ type, destination, linkIndex }) =>
        type === "unicast" && leased.get(destination.first.toString()) !== linkIndex,
    ),
    strayGenuine: state.genuine.filter(({ link }) => !leaseLinks.has(link)),
  };
}

function recoverUnits(state: KernelState, slots: ReadonlySet<number>): Recovered["units"] {
  const releasing = new Set(
    state.routes.filter(({ type }) => type === "prohibit").map(({ destination }) => destination.toString()),
  );
  return state.units
    .filter(({ slot }) => slots.has(slot))
    .map(({ slot, unit }) => ({ slot, unit, releasing: releasing.has(unit.toString()) }));
}

/** Units whose map, or whose uplink's link, went while nobody looked. */
function recoverOrphans({ routes, units }: KernelState, slots: ReadonlySet<number>): OrphanUnit[] {
  const known = new Set(units.filter(({ slot }) => slots.has(slot)).map(({ unit }) => unit.toString()));
  const orphans = new Map<string, OrphanUnit>();
  for (const { type, destination } of routes) {
    const key = destination.toString();
    if ((type !== "blackhole" && type !== "prohibit") || known.has(key)) continue;
    const releasing = type === "prohibit" || orphans.get(key)?.releasing === true;
    orphans.set(key, { unit: destination, releasing });
  }
  return [...orphans.values()];
}

export function addressesOf(record: { readonly ipv4?: IpAddress; readonly ipv6?: IpAddress }): IpAddress[] {
  return [record.ipv4, record.ipv6].filter((address) => address !== undefined);
}
