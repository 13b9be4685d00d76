/** A plan as the text that `ip`, `sysctl` and `nft` take: laid down without any of the product's own doors. */
import { writeFileSync } from "node:fs";
import type { Family } from "../../common/ip.ts";
import type { NftElement } from "../../common/kernel/nft.ts";
import type { Route } from "../../common/kernel/routes.ts";
import type { Rule } from "../../common/kernel/rules.ts";
import { ProgramXtables } from "../../common/kernel/xtables.ts";
import { ensureForwardAccepts } from "../../ipamd/host-network/forward-accepts.ts";
import { renderTable, withGenuine } from "../../ipamd/host-network/nft-table.ts";
import type { HostNetworkPlan, WantedSysctl } from "../../ipamd/host-network/plan.ts";
import { inNetns } from "../cloudsim/probe/netns-window.ts";
import { ipBatch, nftLoad } from "../cloudsim/vpc/commands.ts";

/** Makes a fresh namespace what the plan says, in the plan's order. */
export async function layDown(
  netnsPath: string,
  plan: HostNetworkPlan,
  genuine: readonly NftElement[] = [],
): Promise<void> {
  writeSysctls(netnsPath, plan.sysctls);
  const names = new Map(plan.links.map((link) => [link.index, link.name]));
  ipBatch(netnsPath, [
    ...plan.links.map((link) => `link set ${link.name} group ${link.group} up`),
    ...plan.addresses.map((address) => {
      const flags = `${address.noPrefixRoute === true ? " noprefixroute" : ""}${address.noDad === true ? " nodad" : ""}`;
      return `address add ${address.address}/${address.prefixLength} dev ${names.get(address.linkIndex)}${flags}`;
    }),
    ...plan.routes.map((route) => `route add ${formatRoute(route, names)}`),
  ]);
  for (const family of [4, 6] as const) addRules(netnsPath, family, plan.rules);
  nftLoad(netnsPath, renderTable(withGenuine(plan.nft, genuine)));
  await ensureForwardAccepts(new ProgramXtables({ netnsPath }), plan.forwardAccepts);
}

/** In order; a later one may depend on an earlier one. */
export function writeSysctls(netnsPath: string, sysctls: readonly WantedSysctl[]): void {
  inNetns(netnsPath, () => {
    for (const { path, value } of sysctls) writeFileSync(`/proc/sys/${path}`, value);
  });
}

/** As after `ip rule add`. */
export function formatRule(rule: Rule): string {
  const parts = [`pref ${rule.priority}`];
  if (rule.from !== undefined) parts.push(`from ${rule.from}`);
  if (rule.mark !== undefined) parts.push(`fwmark ${rule.mark.value}/${rule.mark.mask}`);
  parts.push(`lookup ${rule.table}`, `protocol ${rule.protocol}`);
  if (rule.suppressPrefixLength !== undefined)
    parts.push(`suppress_prefixlength ${rule.suppressPrefixLength}`);
  if (rule.suppressLinkGroup !== undefined) parts.push(`suppress_ifgroup ${rule.suppressLinkGroup}`);
  return parts.join(" ");
}

function addRules(netnsPath: string, family: Family, rules: readonly Rule[]): void {
  const ofFamily = rules.filter((rule) => rule.family === family);
  ipBatch(
    netnsPath,
    ofFamily.map((rule) => `rule add ${formatRule(rule)}`),
    family,
  );
}

function formatRoute(route: Route, names: ReadonlyMap<number, string>): string {
  const parts = [`${route.destination}`];
  if (route.gateway !== undefined) parts.push(`via ${route.gateway}`);
  if (route.linkIndex !== undefined) parts.push(`dev ${names.get(route.linkIndex)}`);
  if (route.scope === 253) parts.push("scope link");
  parts.push(`table ${route.table} proto ${route.protocol} metric ${route.metric}`);
  return parts.join(" ");
}
