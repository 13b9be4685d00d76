/**
 * What the host's network must look like so that pods' packets leave by the interface that owns their address. Pure:
 * the same input gives the same values, which apply.ts makes true and keeps true. The order of the parts is the order in
 * which they are laid down. Why each part is there, and what breaks without it, is a table in ARCHITECTURE.md.
 */
import {
  MAIN_TABLE,
  MARK_FIELD,
  METRIC,
  PODS_TABLE,
  PROTOCOL,
  RULE_PRIORITY,
  UPLINK_GROUP,
} from "../../common/constants.ts";
import { Cidr, type Family, type IpAddress } from "../../common/ip.ts";
import type { LinkAddress } from "../../common/kernel/addresses.ts";
import type { Route } from "../../common/kernel/routes.ts";
import type { Rule } from "../../common/kernel/rules.ts";
import type { HostNetworkInput } from "./input.ts";
import { type NftTable, planNftTable } from "./nft-table.ts";
import { gatewayOf, type LoadedUplink, markOf, tableOf } from "./uplinks.ts";

/** One kernel parameter, by path under /proc/sys. */
export type WantedSysctl = { readonly path: string; readonly value: string };

/** What a link must be; addresses and routes come after it. */
export type WantedLink = {
  readonly name: string;
  readonly index: number;
  readonly group: number;
  readonly up: true;
  readonly alias?: string;
};

export type HostNetworkPlan = {
  /** In this order: uplinks' before forwarding, all before the links are up. */
  readonly sysctls: readonly WantedSysctl[];
  readonly links: readonly WantedLink[];
  /** Own addresses of secondary uplinks. Those of the primary belong to the machine. */
  readonly addresses: readonly LinkAddress[];
  /** Secondary uplinks, by index: ours whole, so that addresses and main's routes that are not planned are removed. */
  readonly ownedLinks: readonly number[];
  /** Pods' units: an address of them on a link of the host would take a pod's packets, and is removed. */
  readonly podUnits: readonly Cidr[];
  readonly routes: readonly Route[];
  readonly rules: readonly Rule[];
  readonly nft: NftTable;
  /** Families whose xtables FORWARD chain begins with our accepts. */
  readonly forwardAccepts: readonly Family[];
};

/** Throws RangeError when there is not exactly one primary uplink. */
export function planHostNetwork(input: HostNetworkInput): HostNetworkPlan {
  const primaries = input.uplinks.filter((uplink) => uplink.isPrimary);
  if (primaries.length !== 1) throw new RangeError(`${primaries.length} primary uplinks, wanted 1`);
  const families = input.settings.families;
  return {
    sysctls: [
      ...input.uplinks.flatMap((uplink) => uplinkSysctls(uplink, families)),
      ...forwardingSysctls(families),
    ],
    links: input.uplinks.map(wantedLink),
    addresses: input.uplinks.flatMap((uplink) => ownAddresses(uplink, families)),
    ownedLinks: input.uplinks.filter(({ isPrimary }) => !isPrimary).map(({ linkIndex }) => linkIndex),
    podUnits: podUnits(input.uplinks),
    routes: input.uplinks.flatMap((uplink) => families.flatMap((family) => uplinkRoutes(uplink, family))),
    rules: families.flatMap((family) => wantedRules(input.uplinks, family)),
    nft: planNftTable(input),
    forwardAccepts: families,
  };
}

function uplinkSysctls(uplink: LoadedUplink, families: readonly Family[]): WantedSysctl[] {
  const name = uplink.linkName;
  const wanted: WantedSysctl[] = [];
  // 2 is loose; the effective value is the larger of this and `all`, so 1 there does no harm
  if (families.includes(4)) wanted.push({ path: `net/ipv4/conf/${name}/rp_filter`, value: "2" });
  if (families.includes(6)) {
    // 2: also once we forward, which 1 does not survive
    wanted.push({ path: `net/ipv6/conf/${name}/accept_ra`, value: "2" });
    if (!uplink.isPrimary) wanted.push({ path: `net/ipv6/conf/${name}/accept_dad`, value: "0" });
  }
  return wanted;
}

function forwardingSysctls(families: readonly Family[]): WantedSysctl[] {
  const path = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;
  return families.map((family) => ({ path: path[family], value: "1" }));
}

function wantedLink(uplink: LoadedUplink): WantedLink {
  return {
    name: uplink.linkName,
    index: uplink.linkIndex,
    group: UPLINK_GROUP,
    up: true,
    ...(uplink.alias === undefined ? {} : { alias: uplink.alias }),
  };
}

function ownAddresses(uplink: LoadedUplink, families: readonly Family[]): LinkAddress[] {
  if (uplink.isPrimary) return [];
  return uplink.addresses
    .filter((own) => families.includes(own.address.family))
    .map((own) => ({
      linkIndex: uplink.linkIndex,
      address: own.address,
      prefixLength: own.prefixLength,
      // main must not reach the subnet by this uplink: the node's own packets would leave here with the primary's address
      noPrefixRoute: true,
      ...(own.address.family === 6 ? { noDad: true } : {}),
    }));
}

/** Without a block that holds an uplink's own address, should a cloud give one. */
function podUnits(uplinks: readonly LoadedUplink[]): Cidr[] {
  const own = uplinks.flatMap((uplink) => uplink.addresses.map(({ address }) => address));
  return uplinks
    .flatMap((uplink) => uplink.units)
    .filter((unit) => !own.some((address) => unit.contains(address)));
}

function uplinkRoutes(uplink: LoadedUplink, family: Family): Route[] {
  const gateway = gatewayOf(uplink, family);
  if (gateway === undefined) return [];
  const common = {
    table: tableOf(uplink.slot),
    type: "unicast",
    protocol: PROTOCOL,
    metric: family === 4 ? METRIC.podIpv4 : METRIC.podIpv6,
    linkIndex: uplink.linkIndex,
  } as const;
  const fallback: Route = { ...common, destination: anywhere(family), gateway };
  if (isLinkLocal(gateway)) return [fallback];
  const onLink: Route = {
    ...common,
    destination: gateway.toCidr(),
    ...(family === 4 ? { scope: SCOPE_LINK } : {}),
  };
  return [onLink, fallback];
}

/** The rules without which packets of a pod of that uplink go astray, in one family. */
export function podRules(slot: number, family: Family): Rule[] {
  return [podsRule(family), uplinkMarkRule(slot, family)];
}

function wantedRules(uplinks: readonly LoadedUplink[], family: Family): Rule[] {
  return [
    podsRule(family),
    rule(family, RULE_PRIORITY.mainSpecific, MAIN_TABLE, {
      suppressPrefixLength: 0,
      suppressLinkGroup: UPLINK_GROUP,
    }),
    ...uplinks.map(({ slot }) => uplinkMarkRule(slot, family)),
    ...uplinks
      .filter((uplink) => !uplink.isPrimary)
      .flatMap((uplink) =>
        uplink.addresses
          .filter((own) => own.address.family === family)
          .map((own) =>
            rule(family, RULE_PRIORITY.uplinkAddress, tableOf(uplink.slot), { from: own.address.toCidr() }),
          ),
      ),
  ];
}

function podsRule(family: Family): Rule {
  return rule(family, RULE_PRIORITY.pods, PODS_TABLE);
}

function uplinkMarkRule(slot: number, family: Family): Rule {
  const mark = { value: markOf(slot), mask: MARK_FIELD };
  return rule(family, RULE_PRIORITY.uplinkMark, tableOf(slot), { mark });
}

function rule(family: Family, priority: number, table: number, match: Partial<Rule> = {}): Rule {
  return { family, priority, table, protocol: PROTOCOL, ...match };
}

const SCOPE_LINK = 253;
const LINK_LOCAL = Cidr.parse("fe80::/10");

function isLinkLocal(address: IpAddress): boolean {
  return LINK_LOCAL.contains(address);
}

function anywhere(family: Family): Cidr {
  return Cidr.parse(family === 4 ? "0.0.0.0/0" : "::/0");
}
