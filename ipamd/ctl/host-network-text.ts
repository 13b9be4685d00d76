/** What is ours on the host and why it is there, section by section. Pure. */
import type { PodRef } from "../../cni/ipam.ts";
import { MAIN_TABLE, RULE_PRIORITY } from "../../common/constants.ts";
import type { Route } from "../../common/kernel/routes.ts";
import { addressesOf } from "../recovery.ts";
import type { HostNetworkFacts } from "./host-network-facts.ts";

export type Section = { readonly title: string; readonly why: string; readonly lines: readonly string[] };

const WHY_RULE: Readonly<Record<number, string>> = {
  [RULE_PRIORITY.pods]: "addresses of pods first: delivered, or refused at once when no pod has them",
  [RULE_PRIORITY.mainSpecific]: "then main's routes to other devices, like docker0 and tunnels",
  [RULE_PRIORITY.uplinkMark]: "what is marked for an uplink leaves by it: packets from its pods, and replies",
  [RULE_PRIORITY.uplinkAddress]: "the node's own packets from a secondary interface's address leave by it",
};

export function describeHostNetwork(facts: HostNetworkFacts): Section[] {
  return [
    uplinks(facts),
    pods(facts),
    rules(facts),
    podsTable(facts),
    uplinkTables(facts),
    nftTable(facts),
    forwardAccepts(facts),
    parameters(facts),
  ].filter(({ lines }) => lines.length > 0);
}

function uplinks(facts: HostNetworkFacts): Section {
  return {
    title: "uplinks",
    why: "links of interfaces that carry pods; the alias, the group and a secondary's addresses are ours",
    lines: facts.uplinks.map(({ link, record, addresses }) =>
      [
        link.name,
        `slot ${record.slot}`,
        record.interfaceId,
        `pool ${record.poolKey}`,
        ...addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
      ].join("  "),
    ),
  };
}

function pods(facts: HostNetworkFacts): Section {
  return {
    title: "pods",
    why: "the host's end of each pod's pair; its alias is the pod's lease",
    lines: facts.pods.map(({ link, record }) => {
      if (record === undefined) return `${link.name}  half made: its ADD did not finish`;
      const { attachment, pod, state } = record;
      return [
        link.name,
        nameOf(pod) ?? `container ${attachment.containerId}`,
        ...addressesOf(record).map(String),
        ...(state === "ready" ? [] : [state]),
      ].join("  ");
    }),
  };
}

function rules(facts: HostNetworkFacts): Section {
  return {
    title: "rules",
    why: "as many however many pods there are",
    lines: facts.rules.map(({ family, priority, table }) => {
      const why = WHY_RULE[priority] ?? "of another version of causeway";
      return `IPv${family} ${priority} lookup ${tableName(table)}  ${why}`;
    }),
  };
}

const WHY_ROUTE: Readonly<Record<Route["type"], string>> = {
  unicast: "a pod's address",
  local: "somebody else's: it delivers to this node",
  unreachable: "an address that a pod has or had a moment ago",
  blackhole: "a unit that is held and free to give",
  prohibit: "a unit on its way back to the cloud",
};

function podsTable(facts: HostNetworkFacts): Section {
  return {
    title: "routes of the pods table",
    why: "the type of a route is the state of its address",
    lines: facts.podsTable.map(({ type, destination }) => `${type} ${destination}  ${WHY_ROUTE[type]}`),
  };
}

function uplinkTables(facts: HostNetworkFacts): Section {
  return {
    title: "routes of the uplinks' tables",
    why: "the way out by each interface",
    lines: facts.uplinkTables.map(({ table, destination, gateway }) =>
      gateway === undefined
        ? `table ${table}  ${destination}`
        : `table ${table}  ${destination} via ${gateway}`,
    ),
  };
}

function nftTable({ nft }: HostNetworkFacts): Section {
  const count = (set: string) => nft?.elements.filter((element) => element.set === set).length ?? 0;
  const lines = [
    `${count("uplink")} units: packets from them are marked for their uplink`,
    `${count("genuine")} pairs of pod link and address: what else comes from a pod link is dropped`,
    ...[...(nft?.counters ?? [])].map(([name, packets]) => `${name}: ${packets} packets`),
  ];
  return {
    title: "nft table inet causeway",
    why: "marks, SNAT, and no pod with another's address",
    lines: nft === undefined ? [] : lines,
  };
}

function forwardAccepts(facts: HostNetworkFacts): Section {
  return {
    title: "FORWARD accepts",
    why: "docker, ufw and firewalld drop forwarded packets by policy",
    lines: facts.forwardAccepts.flatMap(({ chain: { family, backend }, rules }) =>
      rules.map((rule) => `IPv${family} iptables-${backend}  ${rule}`),
    ),
  };
}

function parameters({ before, sysctlNow }: HostNetworkFacts): Section {
  const changed = (before?.sysctls ?? []).filter(([path, was]) => sysctlNow(path) !== was);
  return {
    title: "kernel parameters",
    why: "changed since this boot; the first value is what remove puts back",
    lines: changed.map(([path, was]) => `${path}  ${was} -> ${sysctlNow(path)}`),
  };
}

function nameOf({ namespace, name }: PodRef): string | undefined {
  return name === undefined ? undefined : `${namespace ?? ""}/${name}`;
}

function tableName(table: number): string {
  return table === MAIN_TABLE ? "main" : String(table);
}
