/**
 * What other CNIs leave on a node when they are taken away, recognised by the names and numbers that are theirs: a pure function of what is
 * there. Nothing is removed: an operator does that, by the commands of docs/operations.md.
 */
import type { FirewallListing } from "../common/kernel/firewall-listing.ts";
import type { Rule } from "../common/kernel/rules.ts";
import { CONFLIST_NAME } from "./conflist.ts";

export type LeftoverFacts = FirewallListing & {
  readonly rules: readonly Rule[];
  readonly linkNames: readonly string[];
  /** Names of the files in the runtime's folder of network configurations. */
  readonly networkFiles: readonly string[];
};

/** One kind of thing that one CNI left. */
export type Leftover = {
  readonly owner: string;
  /** What is there, for people. */
  readonly found: readonly string[];
  /** What it does to pods. */
  readonly effect: string;
};

const FOUND_MAX = 8;

type Trace = Omit<Leftover, "found"> & { readonly find: (facts: LeftoverFacts) => readonly string[] };

const AMAZON = "amazon-vpc-cni";
const TERWAY = "Terway";
/** Terway has a rule of this priority per pod beside its 512, amazon-vpc-cni one of 1536. */
const TERWAY_FROM_POD = 2048;

const TRACES: readonly Trace[] = [
  {
    owner: AMAZON,
    find: (facts) => rulesOf(facts, (rule) => isAmazonRule(rule, facts)),
    effect:
      "a pod that gets an address of a rule 1536 sends what ours do not route, such as IPv4 to the internet, by an old interface's table, and loses it",
  },
  {
    owner: AMAZON,
    find: (facts) => [...chains(facts, /^AWS-SNAT-CHAIN-\d+$/), ...nftTables(facts, "aws-cni")],
    effect:
      "pods' packets to what it took for outside get an old address of the node, whatever external-snat and exclude-snat-cidrs say",
  },
  {
    owner: AMAZON,
    find: (facts) => [...chains(facts, /^AWS-CONNMARK-CHAIN-\d+$/), ...xtablesRules(facts, /"AWS, /)],
    effect: "sets bit 0x80 in marks, which its rule 1024 sends by main and ours do not look at",
  },
  {
    owner: AMAZON,
    find: ({ linkNames }) => linkNames.filter((name) => /^eni[0-9a-f]{11}$/.test(name)),
    effect: "pods that it made run on; no DEL of theirs comes to Causeway",
  },
  {
    owner: "Cilium",
    find: (facts) => chains(facts, /^(OLD_)?CILIUM_/),
    effect: "may mark, translate or drop pods' packets",
  },
  {
    owner: "Cilium",
    find: ({ linkNames }) =>
      linkNames.filter((name) => /^(cilium_(host|net|vxlan|geneve)|lxc.+)$/.test(name)),
    effect: "its programs on links may take packets before any rule sees them",
  },
  {
    owner: "Cilium",
    find: (facts) =>
      rulesOf(facts, ({ mark, table }) => mark?.mask === 0xf00 && [2004, 2005].includes(table)),
    effect: "takes packets with our mark of uplink 2 or 10 to the node itself: their pods have no network",
  },
  {
    owner: "Calico",
    find: (facts) => [...chains(facts, /^cali-/), ...nftTables(facts, "calico")],
    effect: "its policies of before may drop pods' packets",
  },
  {
    owner: "Calico or Terway",
    find: ({ linkNames }) => linkNames.filter((name) => /^(cali[0-9a-f]{11}|vxlan\.calico)$/.test(name)),
    effect: "pods that it made run on, or its tunnel's routes take what they name",
  },
  {
    owner: "Azure CNI",
    find: ({ linkNames }) => linkNames.filter((name) => /^(azure\d+|azv[0-9a-f]{11})$/.test(name)),
    effect: "pods that it made run on, or its bridge has the node's address",
  },
  {
    owner: "Azure CNI",
    find: (facts) => chains(facts, /^(SWIFT|SWIFT-POSTROUTING|AZURECNI.*)$/),
    effect: "pods' packets to the platform's servers get the node's address",
  },
  {
    owner: TERWAY,
    find: (facts) => rulesOf(facts, (rule) => isTerwayRule(rule, facts)),
    effect:
      "a pod that gets an address of a rule 2048 sends what ours do not route, such as IPv4 to the internet, by an old interface's table, and loses it",
  },
];

/** In the order of owners; a conflist that the runtime loads instead of ours first. Pure. */
export function findLeftovers(facts: LeftoverFacts): Leftover[] {
  const traces = TRACES.map(({ find, ...trace }) => ({ ...trace, found: abridged(find(facts)) }));
  return [...otherConflists(facts.networkFiles), ...traces.filter(({ found }) => found.length > 0)];
}

/** Some have a link per pod, and a chain per policy. */
function abridged(found: readonly string[]): readonly string[] {
  const more = found.length - FOUND_MAX;
  return more > 0 ? [...found.slice(0, FOUND_MAX), `and ${more} more`] : found;
}

/** Runtimes take the first file of the folder in byte order (libcni, ConfFiles: these three endings). */
function otherConflists(files: readonly string[]): Leftover[] {
  const others = files
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && name !== CONFLIST_NAME)
    .sort();
  const [before, after] = [true, false].map((is) => others.filter((name) => name < CONFLIST_NAME === is));
  return [
    {
      found: before ?? [],
      effect: `the runtime loads ${before?.[0]} and not ${CONFLIST_NAME}: new pods do not come to Causeway`,
    },
    { found: after ?? [], effect: `not loaded while ${CONFLIST_NAME} is there` },
  ]
    .filter(({ found }) => found.length > 0)
    .map((leftover) => ({ owner: "another network configuration", ...leftover }));
}

/** 512 may be either's: it is Terway's where Terway's other rule is. */
function isAmazonRule({ priority, mark, to, from }: Rule, facts: LeftoverFacts): boolean {
  if (priority === 1024) return mark?.value === 0x80 && mark.mask === 0x80;
  if (priority === 512) return to?.isSingle === true && !facts.rules.some(isTerwayFromPod);
  return (priority === 1535 && to !== undefined) || (priority === 1536 && from?.isSingle === true);
}

function isTerwayRule(rule: Rule, facts: LeftoverFacts): boolean {
  const isToPod = rule.priority === 512 && rule.to?.isSingle === true;
  return isTerwayFromPod(rule) || (isToPod && facts.rules.some(isTerwayFromPod));
}

function isTerwayFromPod({ priority, from, table }: Rule): boolean {
  return priority === TERWAY_FROM_POD && from?.isSingle === true && table > 1000;
}

/** `IPv4 rules 512 (3), 1536 (2) to tables 2 3`: a node has two for each pod. */
function rulesOf({ rules }: LeftoverFacts, isMeant: (rule: Rule) => boolean): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const meant = rules.filter((rule) => rule.family === family && isMeant(rule));
    const byPriority = Map.groupBy(meant, ({ priority }) => priority);
    return [...byPriority].map(([priority, some]) => {
      const tables = [...new Set(some.map(({ table }) => table))].sort((a, b) => a - b);
      return `${some.length} IPv${family} rules ${priority}, to tables ${tables.join(" ")}`;
    });
  });
}

function chains({ xtables }: LeftoverFacts, name: RegExp): string[] {
  return xtables.flatMap(({ backend, family, table, line }) => {
    const chain = /^:(\S+)/.exec(line)?.[1];
    return chain !== undefined && name.test(chain)
      ? [`${programOf(family, backend)} -t ${table}: chain ${chain}`]
      : [];
  });
}

function xtablesRules({ xtables }: LeftoverFacts, text: RegExp): string[] {
  return xtables
    .filter(({ line }) => line.startsWith("-A ") && text.test(line))
    .map(({ backend, family, table, line }) => `${programOf(family, backend)} -t ${table}: ${line}`);
}

function programOf(family: 4 | 6, backend: string): string {
  return `${family === 4 ? "iptables" : "ip6tables"}-${backend}`;
}

function nftTables({ nftTables: tables }: LeftoverFacts, name: string): string[] {
  return tables.filter((table) => table.split(" ")[1] === name).map((table) => `nft table ${table}`);
}
