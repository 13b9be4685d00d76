/**
 * What others have on this host that is at odds with our packet path. Pure. Ours are the rules 402 to 405 (plan.ts): whatever comes before them
 * and takes pods' packets hides ours, whatever comes after them does not see packets for pods.
 */
import {
  LOCAL_TABLE,
  MAIN_TABLE,
  MARK_FIELD,
  PODS_TABLE,
  PROTOCOL,
  RULE_PRIORITY,
  SLOT_MAX,
} from "../../common/constants.ts";
import type { Cidr, Family } from "../../common/ip.ts";
import type { Route } from "../../common/kernel/routes.ts";
import type { Rule } from "../../common/kernel/rules.ts";
import type { XtablesBackend } from "../../common/kernel/xtables.ts";
import type { Problem } from "../problems.ts";
import { markOf } from "./uplinks.ts";

export type HostFacts = {
  /** Of the families that pods get, in the kernel's order. */
  readonly rules: readonly Rule[];
  /** Of the local table, and of every table that isForeign() rules look up. */
  readonly routes: readonly Route[];
  /** What this node holds for pods. */
  readonly units: readonly Cidr[];
  readonly uplinks: readonly { readonly slot: number; readonly linkName: string }[];
  /** Names of uplinks whose `disable_ipv6` is 1, when pods get IPv6. */
  readonly ipv6DisabledOn: readonly string[];
  /** Back-ends with rules of others that forwarded packets pass. */
  readonly xtables: readonly { readonly family: Family; readonly backends: readonly XtablesBackend[] }[];
};

export function findProblems(facts: HostFacts): Problem[] {
  return [
    ...facts.rules.filter(isForeign).flatMap((rule) => ruleProblem(rule, facts) ?? []),
    ...facts.routes.filter((route) => isLocalForPods(route, facts.units)).map(localForPods),
    ...facts.ipv6DisabledOn.map(ipv6Disabled),
    ...facts.xtables.filter(({ backends }) => backends.length > 1).map(({ family }) => twoXtables(family)),
  ];
}

const FIRST = RULE_PRIORITY.pods;
const LAST = RULE_PRIORITY.uplinkAddress;
const OURS = `ours (${FIRST} to ${LAST})`;
const PROTOCOL_KERNEL = 2;
/** The kernel's rule for main: what is not before it is never reached. */
const MAIN_PRIORITY = 32_766;

/** True for rules that may be at odds with ours: neither ours nor the kernel's own, and looking up a table that is neither. */
export function isForeign({ priority, table, protocol }: Rule): boolean {
  const isOursOrNone = table === 0 || table === LOCAL_TABLE || isOurTable(table);
  return protocol !== PROTOCOL && priority < MAIN_PRIORITY && !isOursOrNone;
}

function isOurTable(table: number): boolean {
  return table >= PODS_TABLE && table <= PODS_TABLE + SLOT_MAX;
}

/** The worst that is wrong with a foreign rule. */
function ruleProblem(rule: Rule, facts: HostFacts): Problem | undefined {
  const routes = facts.routes.filter(
    ({ table, destination }) => table === rule.table && destination.family === rule.family,
  );
  const taken = takenByIt(rule, routes, facts.units);
  if (taken !== undefined) return hidesOurs(rule, taken);
  if (rule.mark === undefined || rule.inverted) return undefined;
  const shared = facts.uplinks.find(({ slot }) => matchesOurMark(rule.mark, slot));
  if (shared !== undefined) return takesOurMark(rule, shared);
  // a table that delivers to this node is what transparent proxies use
  if (!routes.some(({ type }) => type === "local")) return undefined;
  if (rule.priority > FIRST) return hiddenByOurs(rule);
  return (rule.mark.mask & MARK_FIELD) === 0 ? undefined : comparesOurBits(rule);
}

/** A destination of pods' packets that the rule takes before ours can: a default route, or one that reaches into a unit. */
function takenByIt(rule: Rule, routes: readonly Route[], units: readonly Cidr[]): Cidr | undefined {
  if (rule.priority > LAST || !matchesAnyPod(rule, units)) return undefined;
  const { suppressPrefixLength = -1, to } = rule;
  const destinations = routes
    .map(({ destination }) => destination)
    .filter(({ prefixLength }) => prefixLength > suppressPrefixLength);
  const everything = destinations.find(({ prefixLength }) => prefixLength === 0);
  if (everything !== undefined && (to === undefined || rule.priority < FIRST)) return to ?? everything;
  if (rule.priority >= FIRST) return undefined;
  return destinations.find((destination) => units.some((unit) => unit.overlaps(destination)));
}

/** Whatever the packet's source, link and mark. Not what only some packets meet: that is somebody's purpose. */
function matchesAnyPod(
  { from, to, inLink, mark, inverted, narrowed }: Rule,
  units: readonly Cidr[],
): boolean {
  if (from !== undefined || inLink !== undefined || narrowed) return false;
  // all but marked packets: how VPNs take everything
  if (inverted) return to === undefined && mark !== undefined;
  return mark === undefined && (to === undefined || units.some((unit) => unit.overlaps(to)));
}

function matchesOurMark(mark: Rule["mark"], slot: number): boolean {
  if (mark === undefined) return false;
  const shared = mark.mask & MARK_FIELD;
  const value = mark.value & shared;
  return value !== 0 && value === (markOf(slot) & shared);
}

/** The kernel's own go with an address of a link, which is taken off (apply.ts). */
function isLocalForPods({ table, type, protocol, destination }: Route, units: readonly Cidr[]): boolean {
  const isOthers = table === LOCAL_TABLE && type === "local" && protocol !== PROTOCOL_KERNEL;
  return isOthers && units.some((unit) => unit.overlaps(destination));
}

function localForPods({ destination, protocol }: Route): Problem {
  return {
    code: "local-route",
    severity: "refused",
    sentence: `the local table has ${destination} (protocol ${protocol}), where pods are: the node takes their packets for its own. Remove that route, and keep the agent that made it from doing so again`,
  };
}

function hidesOurs(rule: Rule, taken: Cidr): Problem {
  const what = taken.prefixLength === 0 ? "everything" : `${taken}, where pods are`;
  return {
    code: "rule-hides-ours",
    severity: "refused",
    sentence: `${describe(rule)} comes before ${OURS} and takes ${what}: pods are not reached. Give it a priority above ${LAST}`,
  };
}

function hiddenByOurs(rule: Rule): Problem {
  return {
    code: "rule-hidden",
    severity: "warning",
    sentence: `${describe(rule)} comes after ${OURS}: a transparent proxy that uses it does not see packets for pods. Give it a priority below ${RULE_PRIORITY.arrived}`,
  };
}

function takesOurMark(rule: Rule, { slot, linkName }: HostFacts["uplinks"][number]): Problem {
  return {
    code: "mark-shared",
    severity: "warning",
    sentence: `${describe(rule)} is also for packets that we mark ${hex(markOf(slot))}/${hex(MARK_FIELD)} for uplink ${linkName}, and ours for those of its owner. Use a mark outside ${hex(MARK_FIELD)} for it`,
  };
}

function comparesOurBits(rule: Rule): Problem {
  const mask = (rule.mark?.mask ?? 0) & ~MARK_FIELD;
  return {
    code: "mark-shared",
    severity: "warning",
    sentence: `${describe(rule)} compares bits of the mark that are ours (${hex(MARK_FIELD)}): it misses pods' packets that we have marked. Give it the mask ${hex(mask)}`,
  };
}

function ipv6Disabled(linkName: string): Problem {
  return {
    code: "ipv6-disabled",
    severity: "refused",
    sentence: `IPv6 is disabled on uplink ${linkName} and ip-families wants it: set net.ipv6.conf.${linkName}.disable_ipv6 to 0, or ip-families to ipv4`,
  };
}

function twoXtables(family: Family): Problem {
  const program = family === 4 ? "iptables" : "ip6tables";
  return {
    code: "two-xtables",
    severity: "handled",
    sentence: `IPv${family} has rules of others in both xtables back-ends, nft and legacy, and every packet passes both: our accepts are in both. Look with ${program}-nft-save and ${program}-legacy-save, and flush the one that nobody uses`,
  };
}

/** `IPv4 rule 32765 (from all fwmark 0x1/0x1 lookup 100)` */
function describe({ family, priority, table, from, to, mark, inverted, suppressPrefixLength }: Rule): string {
  const words = [
    ...(inverted ? ["not"] : []),
    `from ${from ?? "all"}`,
    ...(to === undefined ? [] : [`to ${to}`]),
    ...(mark === undefined ? [] : [`fwmark ${hex(mark.value)}/${hex(mark.mask)}`]),
    `lookup ${table === MAIN_TABLE ? "main" : table}`,
    ...(suppressPrefixLength === undefined ? [] : [`suppress_prefixlength ${suppressPrefixLength}`]),
  ];
  return `IPv${family} rule ${priority} (${words.join(" ")})`;
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
