/**
 * A pod's network as it must be, against what the kernel has and what the runtime was told. Pure. Plugins that ran after us may have added to the pod's
 * side, changed its MAC or lowered its MTU: that is theirs.
 */
import type { IpAddress } from "../common/ip.ts";
import { isSameAddress, isSameNeighbour } from "../common/kernel/addresses.ts";
import type { Link } from "../common/kernel/links.ts";
import type { NftElement } from "../common/kernel/nft.ts";
import { isSameRoute, type Route } from "../common/kernel/routes.ts";
import { isSameRule, type Rule } from "../common/kernel/rules.ts";
import type { Lease } from "./ipam.ts";
import { formatLeaseAlias } from "./lease-alias.ts";
import type { EndFacts, PodFacts } from "./pod-facts.ts";
import { claimOf, type EndOfPair, hostEndTowards, type PodNetwork } from "./pod-network.ts";
import { type PrevResult, parseAddress } from "./prev-result.ts";
import { genuineName } from "./repair.ts";

export type WantedPod = {
  readonly lease: Lease;
  readonly network: PodNetwork;
  /** Rules of the node without which the pod's packets go astray. */
  readonly rules: readonly Rule[];
  /** What the runtime was told by the whole chain. */
  readonly prevResult: PrevResult;
};

/** One thing that is not as it must be, in words for people. */
export type Difference = { readonly object: string; readonly expected: string; readonly actual: string };

/** The first in the order in which somebody would look for the fault: what was promised, links, the host's side, the pod's side, rules, nft. */
export function firstDifference(wanted: WantedPod, facts: PodFacts): Difference | undefined {
  const found = differences(wanted, facts).next();
  return found.done ? undefined : found.value;
}

type Differences = Generator<Difference, void>;

function* differences(wanted: WantedPod, facts: PodFacts): Differences {
  const { network, lease } = wanted;
  yield* promiseDifferences(wanted);
  yield* hostLinkDifferences(wanted, facts.host.link);
  yield* podLinkDifferences(wanted, facts);
  yield* endDifferences("the host", hostEndTowards(network, facts.pod.link?.mac), facts.host);
  yield* lacking(addressesOf(lease).map(claimOf), facts.host.routes, isSameRoute, describeRoute, likeRoute);
  yield* endDifferences("the pod", podEnd(network, facts.pod.link), facts.pod);
  yield* promisedAddressDifferences(wanted, facts.pod);
  yield* lacking(wanted.rules, facts.rules, isSameRule, describeRule, likeRule);
  yield* elementDifferences(wanted, facts.elements);
}

/** prevResult against the lease. */
function* promiseDifferences({ lease, network, prevResult }: WantedPod): Differences {
  const promised = prevResult.ips.map(({ address }) => parseAddress(address));
  for (const address of addressesOf(lease)) {
    if (promised.some((one) => one?.equals(address))) continue;
    yield { object: "address in prevResult", expected: String(address), actual: listOf(promised) };
  }
  const inPod = prevResult.interfaces.filter(({ sandbox }) => sandbox).map(({ name }) => name);
  if (!inPod.includes(network.ifname))
    yield { object: "pod's interface in prevResult", expected: network.ifname, actual: listOf(inPod) };
}

function* hostLinkDifferences({ lease, network }: WantedPod, link: Link | undefined): Differences {
  const object = `link ${network.link.hostName}`;
  if (link === undefined) return yield { object, expected: "there", actual: "none" };
  const alias = formatLeaseAlias({ ...lease, state: "ready" });
  yield* different(`alias of ${object}`, alias, link.alias ?? "none");
  yield* different(object, "up", link.up ? "up" : "down");
  yield* different(`MAC of ${object}`, network.link.hostMac, link.mac ?? "none");
  yield* different(`MTU of ${object}`, network.mtuBytes, link.mtuBytes);
}

function* podLinkDifferences({ network, prevResult }: WantedPod, { host, pod }: PodFacts): Differences {
  const object = `link ${network.ifname} in CNI_NETNS`;
  if (pod.link === undefined) return yield { object, expected: "there", actual: "none" };
  const peer = `the peer of ${network.link.hostName}`;
  if (pod.link.peerIndex !== host.link?.index)
    yield { object, expected: peer, actual: `the peer of link ${pod.link.peerIndex ?? "none"}` };
  yield* different(object, "up", pod.link.up ? "up" : "down");
  const told = prevResult.interfaces.find(({ name, sandbox }) => sandbox && name === network.ifname)?.mtu;
  if (told) yield* different(`MTU of ${object}`, told, pod.link.mtuBytes);
  else if (pod.link.mtuBytes > network.mtuBytes)
    yield* different(`MTU of ${object}`, `at most ${network.mtuBytes}`, pod.link.mtuBytes);
}

function* endDifferences(side: string, end: EndOfPair, facts: EndFacts): Differences {
  const linkIndex = facts.link?.index ?? 0;
  const onLink = <T>(objects: readonly T[]) => objects.map((one) => ({ ...one, linkIndex }));
  for (const [path, value] of end.sysctls) {
    const actual = facts.sysctls.get(path);
    if (actual !== undefined) yield* different(`sysctl ${path} of ${side}`, value, actual);
  }
  yield* lacking(
    onLink(end.addresses),
    facts.addresses.filter(({ tentative }) => !tentative),
    isSameAddress,
    ({ address, prefixLength }) => `address ${address}/${prefixLength} of ${side}`,
    (a, b) => a.address.equals(b.address),
  );
  yield* lacking(
    onLink(end.neighbours),
    facts.neighbours,
    isSameNeighbour,
    ({ address, mac }) => `neighbour ${address} ${mac} of ${side}`,
    (a, b) => a.address.equals(b.address),
  );
  const describe = (route: Route) => `${describeRoute(route)} of ${side}`;
  yield* lacking(onLink(end.routes), facts.routes, isSameRoute, describe, likeRoute);
}

/** With another MAC than ours the kernel has dropped the pod's entries for its gateways: the host answers for them. */
function podEnd({ link, pod }: PodNetwork, found: Link | undefined): EndOfPair {
  return found?.mac === link.podMac ? pod : { ...pod, neighbours: [] };
}

/** What later plugins promised on our link must be there too. */
function* promisedAddressDifferences({ network, prevResult }: WantedPod, pod: EndFacts): Differences {
  for (const { address, interface: index } of prevResult.ips) {
    const link = prevResult.interfaces[index ?? -1];
    if (link?.name !== network.ifname || !link.sandbox) continue;
    const promised = parseAddress(address);
    if (pod.addresses.some((one) => promised?.equals(one.address))) continue;
    yield { object: `address ${address} of the pod, from prevResult`, expected: "there", actual: "none" };
  }
}

function* elementDifferences({ lease, network }: WantedPod, elements: readonly NftElement[]): Differences {
  const genuine = new Set(elements.map(genuineName));
  for (const element of network.genuine) {
    const name = genuineName(element);
    if (!genuine.has(name)) yield { object: `nft genuine ${name}`, expected: "there", actual: "none" };
  }
  for (const address of addressesOf(lease)) {
    const unit = elements.find((one) => one.set === "uplink" && one.unit.contains(address));
    const slot = unit?.set === "uplink" ? unit.slot : "none";
    yield* different(`nft uplink slot of ${address}`, lease.slot ?? "one that is known", slot);
  }
}

function* different(object: string, expected: string | number, actual: string | number): Differences {
  if (expected !== actual) yield { object, expected: String(expected), actual: String(actual) };
}

/** Each wanted one that is not there; in its place the one that is like it is named, when there is one. */
function* lacking<T>(
  wanted: readonly T[],
  actual: readonly T[],
  isSame: (a: T, b: T) => boolean,
  describe: (one: T) => string,
  isLike: (a: T, b: T) => boolean,
): Differences {
  for (const one of wanted) {
    if (actual.some((other) => isSame(one, other))) continue;
    const like = actual.find((other) => isLike(one, other));
    yield { object: describe(one), expected: "there", actual: like === undefined ? "none" : describe(like) };
  }
}

function addressesOf({ ipv4, ipv6 }: Lease): IpAddress[] {
  return [ipv4, ipv6].filter((address) => address !== undefined);
}

function listOf(values: readonly unknown[]): string {
  return values.length === 0 ? "none" : values.map(String).join(", ");
}

function likeRoute(a: Route, b: Route): boolean {
  return a.table === b.table && a.type === b.type && a.destination.equals(b.destination);
}

function describeRoute(route: Route): string {
  const { type, destination, table, gateway, linkIndex, preferredSource, metric } = route;
  return [
    `route ${type} ${destination}`,
    gateway && `via ${gateway}`,
    linkIndex && `link ${linkIndex}`,
    preferredSource && `src ${preferredSource}`,
    `metric ${metric} table ${table}`,
  ]
    .filter(Boolean)
    .join(" ");
}

function likeRule(a: Rule, b: Rule): boolean {
  return a.family === b.family && a.priority === b.priority;
}

function describeRule({ family, priority, table, mark }: Rule): string {
  const match = mark === undefined ? "" : ` fwmark 0x${mark.value.toString(16)}/0x${mark.mask.toString(16)}`;
  return `IPv${family} rule ${priority}${match} lookup ${table}`;
}
