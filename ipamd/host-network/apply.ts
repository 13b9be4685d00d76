/**
 * Makes the host's network what the plan says, in the plan's order, and writes nothing where it is so already. Wanted and
 * actual are compared in the kernel's own form. Only routes and rules of our protocol are ever removed.
 */
import { MAIN_TABLE, PODS_TABLE, PROTOCOL, SLOT_MAX, UPLINK_GROUP } from "../../common/constants.ts";
import { Cidr } from "../../common/ip.ts";
import type { LinkAddress } from "../../common/kernel/addresses.ts";
import type { Link } from "../../common/kernel/links.ts";
import type { NetworkStack } from "../../common/kernel/netns.ts";
import { isSameRoute, type Route } from "../../common/kernel/routes.ts";
import { isSameRule, type Rule } from "../../common/kernel/rules.ts";
import type { Xtables } from "../../common/kernel/xtables.ts";
import { applyNft, type NftDoors } from "./apply-nft.ts";
import type { BeforeBook } from "./before.ts";
import { applyForwardAccepts } from "./forward-accepts.ts";
import type { HostNetworkPlan, WantedLink } from "./plan.ts";
import { tableOf } from "./uplinks.ts";

export type HostNetworkDoors = NftDoors & {
  readonly host: NetworkStack;
  readonly xtables: Xtables;
  /** What was there, before it is changed. */
  readonly before: BeforeBook;
};

/**
 * Repeatable; calls must not overlap. Gives what it wrote, one line each: an empty list means that all was well. Throws
 * KernelError at the first refusal; what was done until then stays, and a repetition goes on.
 */
export async function applyHostNetwork(
  doors: HostNetworkDoors,
  wanted: HostNetworkPlan,
): Promise<readonly string[]> {
  return [
    ...applySysctls(doors, wanted),
    ...wanted.links.flatMap((link) => applyLink(doors, link)),
    ...wanted.ownedLinks.flatMap((linkIndex) => clearOwned(doors.host, linkIndex, wanted)),
    ...wanted.addresses.flatMap((address) => applyAddress(doors.host, address)),
    ...removePodAddresses(doors.host, wanted),
    ...applyRoutes(doors.host, wanted),
    ...applyRules(doors.host, wanted),
    ...(await applyNft(doors, wanted.nft)),
    ...(await applyForwardAccepts(doors.xtables, wanted.forwardAccepts)),
  ];
}

function applySysctls({ host, before }: HostNetworkDoors, wanted: HostNetworkPlan): string[] {
  const written: string[] = [];
  for (const { path, value } of wanted.sysctls) {
    const actual = host.sysctl.get(path);
    // a kernel without IPv6 has none of its files
    if (actual === value || actual === undefined) continue;
    before.sysctl(host, path);
    host.sysctl.set(path, value);
    written.push(`sysctl: ${path} = ${value}`);
  }
  return written;
}

function applyLink({ host, before }: HostNetworkDoors, wanted: WantedLink): string[] {
  const link = host.links.find(wanted.index);
  // it went meanwhile: its event starts another look
  if (link === undefined) return [];
  if (isUplinkLink(link, wanted.alias)) return [];
  const { group, up, alias } = wanted;
  before.link(link);
  host.links.change(wanted.index, { group, up, ...(alias === undefined ? {} : { alias }) });
  return [`link: ${wanted.name}`];
}

/** True for a link that is up and marked as an uplink's. */
export function isUplinkLink(link: Link, alias: string | undefined): boolean {
  return link.up && link.group === UPLINK_GROUP && (alias === undefined || link.alias === alias);
}

function applyAddress(host: NetworkStack, wanted: LinkAddress): string[] {
  const actual = host.addresses
    .list(wanted.linkIndex)
    .find((other) => other.address.equals(wanted.address) && other.prefixLength === wanted.prefixLength);
  if (actual !== undefined && (actual.noPrefixRoute ?? false) === (wanted.noPrefixRoute ?? false)) return [];
  // the flag of an address that is there does not change, and its connected route would stay
  if (actual !== undefined) host.addresses.remove(actual);
  host.addresses.add(wanted);
  return [`address: ${wanted.address}/${wanted.prefixLength}`];
}

/**
 * A secondary uplink is ours whole: other addresses (a DHCP client's), and main's routes through it, are removed, because the node's own packets go by the
 * primary.
 */
function clearOwned(host: NetworkStack, linkIndex: number, wanted: HostNetworkPlan): string[] {
  const planned = new Set(wanted.addresses.map(({ address }) => address.toString()));
  const addresses = host.addresses
    .list(linkIndex)
    .filter(({ address, scope }) => (scope ?? 0) === 0 && !planned.has(address.toString()));
  for (const address of addresses) host.addresses.remove(address);
  const routes = ([4, 6] as const)
    .flatMap((family) => host.routes.list({ family, table: MAIN_TABLE }))
    .filter((route) => route.linkIndex === linkIndex && !isKernelsOwn(route.destination));
  for (const route of routes) host.routes.remove(route);
  return [
    ...addresses.map(({ address }) => `address: no ${address}`),
    ...routes.map(({ destination }) => `route: no ${destination} in main`),
  ];
}

/** True for what the kernel routes by every IPv6 link, and discovery needs. */
export function isKernelsOwn(destination: Cidr): boolean {
  return LINK_LOCAL.contains(destination) || MULTICAST.contains(destination);
}

const LINK_LOCAL = Cidr.parse("fe80::/10");
const MULTICAST = Cidr.parse("ff00::/8");

/** Guest agents and people put every address of an interface on its link; the node would then answer for pods. */
function removePodAddresses(host: NetworkStack, wanted: HostNetworkPlan): string[] {
  const taken = host.addresses
    .list()
    .filter(({ address }) => wanted.podUnits.some((unit) => unit.contains(address)));
  for (const address of taken) host.addresses.remove(address);
  return taken.map(({ address, prefixLength }) => `address: no ${address}/${prefixLength}`);
}

/** Also of slots that have no uplink now. */
function applyRoutes(host: NetworkStack, wanted: HostNetworkPlan): string[] {
  const written: string[] = [];
  for (let slot = 1; slot <= SLOT_MAX; slot += 1) {
    for (const family of [4, 6] as const) {
      const mine = wanted.routes.filter(
        (route) => route.table === tableOf(slot) && route.destination.family === family,
      );
      written.push(...applyTable(host, mine, host.routes.list({ family, table: PODS_TABLE + slot })));
    }
  }
  return written;
}

function applyTable(host: NetworkStack, wanted: readonly Route[], actual: readonly Route[]): string[] {
  const written: string[] = [];
  const ours = actual.filter((route) => route.protocol === PROTOCOL);
  for (const route of ours.filter((other) => !wanted.some((mine) => isSameRoute(mine, other)))) {
    host.routes.remove(route);
    written.push(`route: no ${route.destination} in ${route.table}`);
  }
  // a default route's gateway must be reachable before it: the plan has them in that order
  for (const route of wanted.filter((mine) => !ours.some((other) => isSameRoute(mine, other)))) {
    host.routes.replace(route);
    written.push(`route: ${route.destination} in ${route.table}`);
  }
  return written;
}

function applyRules(host: NetworkStack, wanted: HostNetworkPlan): string[] {
  const written: string[] = [];
  for (const family of [4, 6] as const) {
    const mine = wanted.rules.filter((rule) => rule.family === family);
    const ours = host.rules.list(family).filter((rule) => rule.protocol === PROTOCOL);
    for (const rule of mine.filter((one) => !ours.some((other) => isSameRule(one, other)))) {
      host.rules.add(rule);
      written.push(`rule: ${describeRule(rule)}`);
    }
    for (const rule of ours.filter((other) => !mine.some((one) => isSameRule(one, other)))) {
      host.rules.remove(rule);
      written.push(`rule: no ${describeRule(rule)}`);
    }
  }
  return written;
}

function describeRule(rule: Rule): string {
  return `IPv${rule.family} ${rule.priority} to ${rule.table}`;
}
