/** A namespace in memory as `ip` would print it: what tests of the data plane compare. */
import type { LinkAddress, Neighbour } from "../addresses.ts";
import type { Route } from "../routes.ts";
import { routeScope } from "../routes.ts";
import type { Rule } from "../rules.ts";
import type { MemoryLink, MemoryNamespace } from "./namespace.ts";

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([[2, "kernel"]]);
const TABLE_NAMES: ReadonlyMap<number, string> = new Map([
  [253, "default"],
  [254, "main"],
  [255, "local"],
]);

/** Lines of `ip -o link`, without lo. */
export function printLinks(namespace: MemoryNamespace): string[] {
  return [...namespace.links.values()].filter(({ name }) => name !== "lo").map(printLink);
}

/** Lines of `ip -o addr`. */
export function printAddresses(namespace: MemoryNamespace): string[] {
  return namespace.addresses.map((address) => printAddress(namespace, address)).sort();
}

/** Lines of `ip neigh`. */
export function printNeighbours(namespace: MemoryNamespace): string[] {
  return namespace.neighbours.map((neighbour) => printNeighbour(namespace, neighbour)).sort();
}

/** Lines of `ip route show table all` and `ip -6 route show table all`, by table, destination and metric. */
export function printRoutes(namespace: MemoryNamespace): string[] {
  const inOrder = [...namespace.routes].sort(
    (a, b) => a.table - b.table || a.destination.compare(b.destination) || a.metric - b.metric,
  );
  return inOrder.map((route) => printRoute(namespace, route));
}

/** Lines of `ip rule` and `ip -6 rule`, each with its family before it, without the kernel's own. */
export function printRules(namespace: MemoryNamespace): string[] {
  return namespace.rules
    .filter(({ protocol }) => protocol !== 2)
    .sort((a, b) => a.family - b.family)
    .map(printRule);
}

/** Everything of the above, links first. */
export function printNamespace(namespace: MemoryNamespace): string[] {
  return [printLinks, printAddresses, printNeighbours, printRoutes, printRules].flatMap((print) =>
    print(namespace),
  );
}

function printLink({ index, name, up, mtuBytes, group, mac, alias, peer }: MemoryLink): string {
  return [
    `${index}: ${name}${peer === undefined ? "" : `@if${peer.index}`}:`,
    up ? "<UP>" : "<>",
    `mtu ${mtuBytes} group ${group === 0 ? "default" : group}`,
    ...(mac === undefined ? [] : [`link/ether ${mac}`]),
    ...(alias === undefined ? [] : [`alias ${alias}`]),
  ].join(" ");
}

function printAddress(namespace: MemoryNamespace, address: LinkAddress): string {
  const { linkIndex, prefixLength, scope, noDad, noPrefixRoute } = address;
  return [
    `${linkName(namespace, linkIndex)} ${address.address.family === 4 ? "inet" : "inet6"}`,
    `${address.address}/${prefixLength} scope ${scope === 253 ? "link" : "global"}`,
    ...(noDad ? ["nodad"] : []),
    ...(noPrefixRoute ? ["noprefixroute"] : []),
  ].join(" ");
}

function printNeighbour(namespace: MemoryNamespace, { address, linkIndex, mac }: Neighbour): string {
  return `${address} dev ${linkName(namespace, linkIndex)} lladdr ${mac} PERMANENT`;
}

function printRoute(namespace: MemoryNamespace, route: Route): string {
  const { destination, type, linkIndex, gateway, table, protocol, metric, preferredSource, onLink } = route;
  const target =
    destination.prefixLength === 0 ? "default" : destination.isSingle ? destination.address : destination;
  return [
    ...(type === "unicast" ? [] : [type]),
    target,
    ...(gateway === undefined ? [] : [`via ${gateway}`]),
    ...(linkIndex === undefined ? [] : [`dev ${linkName(namespace, linkIndex)}`]),
    ...(table === 254 ? [] : [`table ${tableName(table)}`]),
    `proto ${PROTOCOL_NAMES.get(protocol) ?? protocol}`,
    ...(routeScope(route) === 253 ? ["scope link"] : []),
    ...(preferredSource === undefined ? [] : [`src ${preferredSource}`]),
    ...(metric === 0 ? [] : [`metric ${metric}`]),
    ...(onLink ? ["onlink"] : []),
  ].join(" ");
}

function printRule(rule: Rule): string {
  const {
    family,
    priority,
    from,
    to,
    mark,
    inLink,
    table,
    suppressPrefixLength,
    suppressLinkGroup,
    protocol,
  } = rule;
  const hex = (value: number) => `0x${value.toString(16)}`;
  return [
    `${family === 4 ? "" : "-6 "}${priority}: from ${from === undefined ? "all" : from.isSingle ? from.address : from}`,
    ...(to === undefined ? [] : [`to ${to.isSingle ? to.address : to}`]),
    ...(mark === undefined ? [] : [`fwmark ${hex(mark.value)}/${hex(mark.mask)}`]),
    ...(inLink === undefined ? [] : [`iif ${inLink}`]),
    `lookup ${tableName(table)}`,
    ...(suppressPrefixLength === undefined ? [] : [`suppress_prefixlength ${suppressPrefixLength}`]),
    ...(suppressLinkGroup === undefined ? [] : [`suppress_ifgroup ${suppressLinkGroup}`]),
    `proto ${PROTOCOL_NAMES.get(protocol) ?? protocol}`,
  ].join(" ");
}

function linkName(namespace: MemoryNamespace, index: number): string {
  return namespace.findLink(index)?.name ?? `if${index}`;
}

function tableName(table: number): string {
  return TABLE_NAMES.get(table) ?? String(table);
}
