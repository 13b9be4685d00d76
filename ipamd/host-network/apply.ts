/**
 * Makes the host match a plan, but for nft and xtables: sysctls, links, addresses, routes, rules, in the plan's order. What is as it should be is not
 * written, so a second call writes nothing; of routes and rules only those with our protocol are ever removed.
 */
import { MAIN_TABLE, PROTOCOL } from "../../common/constants.ts";
import type { Family } from "../../common/ip.ts";
import type { LinkAddress } from "../../common/kernel/addresses.ts";
import type { NetworkStack } from "../../common/kernel/netns.ts";
import type { Route } from "../../common/kernel/routes.ts";
import type { Rule } from "../../common/kernel/rules.ts";
import type { HostNetworkPlan, WantedLink, WantedSysctl } from "./plan.ts";

const FAMILIES: readonly Family[] = [4, 6];

/** Synchronous, a few milliseconds. Gives what it wrote, for people; throws KernelError. Repeatable. */
export function applyHostPlan(host: NetworkStack, plan: HostNetworkPlan): string[] {
  return [
    ...plan.sysctls.flatMap((wanted) => applySysctl(host, wanted)),
    ...plan.links.flatMap((wanted) => applyLink(host, wanted)),
    ...applyAddresses(host, plan),
    ...applyRoutes(host, plan),
    ...FAMILIES.flatMap((family) => applyRules(host, plan, family)),
  ];
}

function applySysctl(host: NetworkStack, { path, value }: WantedSysctl): string[] {
  const actual = host.sysctl.get(path);
  // a kernel without IPv6 has none of its files
  if (actual === undefined || actual === value) return [];
  host.sysctl.set(path, value);
  return [`sysctl ${path} ${actual} -> ${value}`];
}

function applyLink(host: NetworkStack, wanted: WantedLink): string[] {
  const link = host.links.find(wanted.index);
  // it went meanwhile: its event starts another look
  if (link === undefined) return [];
  const change = {
    ...(link.up ? {} : { up: true }),
    ...(link.group === wanted.group ? {} : { group: wanted.group }),
    ...(wanted.alias === undefined || link.alias === wanted.alias ? {} : { alias: wanted.alias }),
  };
  if (Object.keys(change).length === 0) return [];
  host.links.change(link.index, change);
  return [`link ${wanted.name} ${JSON.stringify(change)}`];
}

/** Secondary uplinks are ours whole: they have their planned addresses and no others. The primary's belong to the machine. */
function applyAddresses(host: NetworkStack, plan: HostNetworkPlan): string[] {
  return plan.ownedLinks.flatMap((linkIndex) => {
    const wanted = plan.addresses.filter((address) => address.linkIndex === linkIndex);
    const actual = host.addresses.list(linkIndex).filter(({ scope }) => (scope ?? 0) === 0);
    const strange = actual.filter((address) => !wanted.some((other) => isSameAddress(address, other)));
    for (const address of strange) host.addresses.remove(address);
    const missing = wanted.filter((address) => !actual.some((other) => isSameAddress(address, other)));
    for (const address of missing) host.addresses.add(address);
    return [
      ...strange.map((address) => `address -${address.address}`),
      ...missing.map((address) => `address +${address.address}`),
    ];
  });
}

/** One without noprefixroute is another: the kernel does not change the flag of an address that is there. */
function isSameAddress(a: LinkAddress, b: LinkAddress): boolean {
  return (
    a.address.equals(b.address) &&
    a.prefixLength === b.prefixLength &&
    (a.noPrefixRoute ?? false) === (b.noPrefixRoute ?? false)
  );
}

function applyRoutes(host: NetworkStack, plan: HostNetworkPlan): string[] {
  const done: string[] = [];
  for (const family of FAMILIES) {
    for (const table of plan.uplinkTables) {
      const actual = host.routes.list({ family, table, protocol: PROTOCOL });
      const wanted = plan.routes.filter(
        (route) => route.table === table && route.destination.family === family,
      );
      for (const route of actual.filter((one) => !wanted.some((other) => isSameRoute(one, other)))) {
        host.routes.remove(route);
        done.push(`route -${route.destination} table ${table}`);
      }
      for (const route of wanted.filter((one) => !actual.some((other) => isSameRoute(one, other)))) {
        host.routes.replace(route);
        done.push(`route +${route.destination} table ${table}`);
      }
    }
    done.push(...clearMain(host, plan, family));
  }
  return done;
}

/** The node's own packets go by the primary: main has no route through a secondary uplink, whoever put it there. */
function clearMain(host: NetworkStack, plan: HostNetworkPlan, family: Family): string[] {
  const strange = host.routes
    .list({ family, table: MAIN_TABLE })
    .filter(
      ({ linkIndex, destination }) =>
        plan.ownedLinks.includes(linkIndex ?? 0) && !isLinkLocal(destination.toString()),
    );
  for (const route of strange) host.routes.remove(route);
  return strange.map((route) => `route -${route.destination} table ${MAIN_TABLE}`);
}

/** The kernel's own, which discovery on that link needs. */
function isLinkLocal(destination: string): boolean {
  return destination.startsWith("fe80:") || destination.startsWith("ff");
}

function isSameRoute(a: Route, b: Route): boolean {
  return routeKey(a) === routeKey(b);
}

function routeKey({ destination, type, metric, linkIndex, gateway }: Route): string {
  return `${type} ${destination} via ${gateway ?? "-"} dev ${linkIndex ?? "-"} metric ${metric}`;
}

function applyRules(host: NetworkStack, plan: HostNetworkPlan, family: Family): string[] {
  const ours = host.rules.list(family).filter(({ protocol }) => protocol === PROTOCOL);
  const wanted = plan.rules.filter((rule) => rule.family === family);
  const keys = new Set(wanted.map(ruleKey));
  const missing = wanted.filter((rule) => !ours.some((other) => ruleKey(other) === ruleKey(rule)));
  const strange = ours.filter((rule) => !keys.has(ruleKey(rule)));
  // first the new, then the old: no packet meets a gap
  for (const rule of missing) host.rules.add(rule);
  for (const rule of strange) host.rules.remove(rule);
  return [
    ...missing.map((rule) => `rule + ${ruleKey(rule)}`),
    ...strange.map((rule) => `rule - ${ruleKey(rule)}`),
  ];
}

function ruleKey({
  family,
  priority,
  table,
  from,
  to,
  inLink,
  mark,
  suppressPrefixLength,
  suppressLinkGroup,
}: Rule): string {
  return JSON.stringify([
    family,
    priority,
    table,
    from?.toString(),
    to?.toString(),
    inLink,
    mark?.value,
    mark?.mask,
    suppressPrefixLength,
    suppressLinkGroup,
  ]);
}
