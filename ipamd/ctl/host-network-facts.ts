/** What is ours on the host now, as values; for people to read. */
import { type LeaseRecord, parseLeaseAlias } from "../../cni/lease-alias.ts";
import { isPodLinkName } from "../../cni/pod-link.ts";
import { PODS_TABLE, PROTOCOL, SLOT_MAX } from "../../common/constants.ts";
import type { LinkAddress } from "../../common/kernel/addresses.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import type { Link } from "../../common/kernel/links.ts";
import type { NftElement } from "../../common/kernel/nft.ts";
import type { Route } from "../../common/kernel/routes.ts";
import type { Rule } from "../../common/kernel/rules.ts";
import type { Xtables, XtablesChain } from "../../common/kernel/xtables.ts";
import { type HostBefore, readHostBefore } from "../host-network/before.ts";
import { findForwardAccepts } from "../host-network/forward-accepts.ts";
import { parseUplinkAlias, type UplinkRecord } from "../uplink.ts";
import { PRIMARY_SLOT } from "../uplinks.ts";

export type HostNetworkFacts = {
  readonly uplinks: readonly {
    readonly link: Link;
    readonly record: UplinkRecord;
    /** Ours on it: none on the primary. */
    readonly addresses: readonly LinkAddress[];
  }[];
  /** Host ends of pods; without a record, half made. */
  readonly pods: readonly { readonly link: Link; readonly record: LeaseRecord | undefined }[];
  readonly rules: readonly Rule[];
  readonly podsTable: readonly Route[];
  readonly uplinkTables: readonly Route[];
  /** Undefined when our nft table is not there. */
  readonly nft:
    | { readonly elements: readonly NftElement[]; readonly counters: ReadonlyMap<string, number> }
    | undefined;
  readonly forwardAccepts: readonly { readonly chain: XtablesChain; readonly rules: readonly string[] }[];
  /** Undefined when there are no notes of what the host was. */
  readonly before: HostBefore | undefined;
  readonly sysctlNow: (path: string) => string | undefined;
};

/** Changes nothing. Throws KernelError. */
export async function readHostNetwork(
  kernel: Kernel,
  xtables: Xtables,
  beforeFile: string,
): Promise<HostNetworkFacts> {
  const { host, nft } = kernel;
  const links = host.links.list();
  const families = [4, 6] as const;
  const routesOf = (table: number) =>
    families.flatMap((family) => host.routes.list({ family, table, protocol: PROTOCOL }));
  const before = readHostBefore(beforeFile);
  return {
    uplinks: links.flatMap((link) => {
      const record = parseUplinkAlias(link.alias ?? "");
      if (record === undefined) return [];
      const own = record.slot === PRIMARY_SLOT ? [] : host.addresses.list(link.index);
      return [{ link, record, addresses: own.filter(({ scope }) => (scope ?? 0) === 0) }];
    }),
    pods: links
      .filter(({ name, kind }) => kind === "veth" && isPodLinkName(name))
      .map((link) => ({ link, record: parseLeaseAlias(link.alias ?? "") })),
    rules: families
      .flatMap((family) => host.rules.list(family))
      .filter(({ protocol }) => protocol === PROTOCOL),
    podsTable: routesOf(PODS_TABLE),
    uplinkTables: Array.from({ length: SLOT_MAX }, (_, index) => PODS_TABLE + 1 + index).flatMap(routesOf),
    nft:
      (await nft.read()) === undefined
        ? undefined
        : { elements: [...nft.list("uplink"), ...nft.list("genuine")], counters: nft.counters() },
    forwardAccepts: await findForwardAccepts(xtables, families),
    before: before?.bootId === kernel.bootId ? before : undefined,
    sysctlNow: (path) => host.sysctl.get(path),
  };
}

/** Nothing of ours is there. */
export function isBare(facts: HostNetworkFacts): boolean {
  const { uplinks, pods, rules, podsTable, uplinkTables, nft, forwardAccepts } = facts;
  const lists = [uplinks, pods, rules, podsTable, uplinkTables, forwardAccepts];
  return nft === undefined && lists.every((list) => list.length === 0);
}
