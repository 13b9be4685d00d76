/**
 * Sabotages: each takes away one mechanism of the packet path, to show that a check which passes with it fails without.
 * Most change the plan before it is laid down, so that a daemon which keeps its host network in order keeps this one; the
 * others act on a running cloud.
 */
import { POD_GATEWAY_IPV4, RULE_PRIORITY } from "../../common/constants.ts";
import type { NftChain } from "../../ipamd/host-network/nft-table.ts";
import type { HostNetworkPlan } from "../../ipamd/host-network/plan.ts";
import { ipBatch } from "./vpc/commands.ts";
import type { Place } from "./vpc/index.ts";

/** What a sabotage of a running cloud acts on. */
export type SabotageTarget = {
  /** A pod on a secondary uplink. */
  readonly pod: Place;
  /** Takes that pod's IPv4 unit from its interface in the cloud's data plane. */
  readonly withdraw: () => void;
};

export type Sabotage = {
  readonly name: string;
  /** What is missing then, for people. */
  readonly removes: string;
  /** The counter that rises (see Vpc.counters()), as far as something counts: a packet that is refused nowhere raises none. */
  readonly counter?: RegExp;
} & (
  | { readonly alter: (plan: HostNetworkPlan) => HostNetworkPlan; readonly act?: never }
  | { readonly act: (target: SabotageTarget) => void; readonly alter?: never }
);

/** Throws RangeError naming those that exist. */
export function findSabotage(name: string): Sabotage {
  const found = SABOTAGES.find((sabotage) => sabotage.name === name);
  if (found !== undefined) return found;
  const names = SABOTAGES.map((sabotage) => sabotage.name).join(", ");
  throw new RangeError(`no sabotage ${JSON.stringify(name)}; there are ${names}`);
}

const SOURCE_CHECK = /^source-check eth0 node-a/;

export const SABOTAGES: readonly Sabotage[] = [
  {
    name: "rule-pods",
    removes: "rule p+2, which finds pods by their own table",
    alter: withoutRules(RULE_PRIORITY.pods),
  },
  {
    name: "rule-main-specific",
    removes: "rule p+3, which lets main's routes to bridges and tunnels win",
    alter: withoutRules(RULE_PRIORITY.mainSpecific),
  },
  {
    name: "rule-uplink-mark",
    removes: "rules p+4, which send marked packets by their uplink",
    counter: SOURCE_CHECK,
    alter: withoutRules(RULE_PRIORITY.uplinkMark),
  },
  {
    name: "rule-uplink-address",
    removes: "rules p+5, which send the node's own sockets on secondary addresses by their uplink",
    counter: SOURCE_CHECK,
    alter: withoutRules(RULE_PRIORITY.uplinkAddress),
  },
  {
    name: "unit-map-element",
    removes: "one element of the unit map: the first IPv4 unit of the second uplink",
    counter: SOURCE_CHECK,
    alter: (plan) => ({
      ...plan,
      nft: {
        ...plan.nft,
        sets: changeOne(plan.nft.sets, isNamed("uplink4"), (map) => ({
          ...map,
          elements: without(map.elements, (element) => element.endsWith("goto use-2"), 1),
        })),
      },
    }),
  },
  {
    name: "ct-mark-save",
    removes: "the connection's mark of the uplink that it came in by",
    counter: SOURCE_CHECK,
    alter: changeRules("mark-in", (rules) => without(rules, (rule) => rule.includes("goto from-"))),
  },
  {
    name: "ct-mark-restore",
    removes: "the restoring of a connection's mark for what pods answer",
    counter: SOURCE_CHECK,
    alter: changeRules("mark-in", (rules) =>
      without(rules, (rule) => rule.startsWith("ct direction reply") || isShortcut(rule)),
    ),
  },
  {
    name: "reply-limit",
    removes: "the limit of that restoring to the reply direction",
    alter: changeRules("mark-in", (rules) => [
      ...without(rules, startsWith("ct direction reply")),
      "jump restore",
    ]),
  },
  {
    name: "output-chain",
    removes: "the marks of what the node itself sends",
    counter: SOURCE_CHECK,
    alter: withoutChain("mark-out"),
  },
  {
    name: "priority-after-dnat",
    removes: "the place of the marks after destination NAT: they come at -150",
    counter: SOURCE_CHECK,
    alter: changeChains((chains) =>
      changeOne(chains, isNamed("mark-in"), (chain) => ({
        ...chain,
        hook: "type filter hook prerouting priority -150",
      })),
    ),
  },
  {
    name: "mark-mask",
    removes: "the masks: a mark replaces all bits, other programs' too",
    alter: changeChains((chains) => chains.map((chain) => ({ ...chain, rules: chain.rules.map(unmasked) }))),
  },
  {
    name: "snat",
    removes: "the translation of pods' IPv4 towards the internet",
    counter: /^(internet-private-source ipv4|source-check eth0 node-a ipv4)/,
    alter: withoutChain("snat-out"),
  },
  {
    name: "anti-spoofing",
    removes: "the check that a pod's packets have the pod's source",
    alter: withoutChain("genuine"),
  },
  {
    name: "rp-filter",
    removes: "loose reverse path filtering of uplinks",
    counter: /^IPReversePathFilter node-a/,
    alter: withoutSysctls(/\/rp_filter$/),
  },
  {
    name: "noprefixroute",
    removes: "the flag that keeps secondary uplinks' subnets out of main",
    alter: (plan) => ({
      ...plan,
      addresses: plan.addresses.map((address) => ({ ...address, noPrefixRoute: false })),
      // else the routes that come of it would be removed at the next look
      ownedLinks: [],
    }),
  },
  {
    name: "ip-forward",
    removes: "IPv4 forwarding",
    alter: withoutSysctls(/\/ip_forward$/),
  },
  {
    name: "forward-accepts",
    removes: "the accepts in a FORWARD chain whose policy is DROP",
    alter: (plan) => ({ ...plan, forwardAccepts: [] }),
  },
  {
    name: "pod-neighbour",
    removes: "a pod's permanent entry for its IPv4 gateway",
    act: ({ pod }) => ipBatch(pod.netnsPath, [`neighbour delete ${POD_GATEWAY_IPV4} dev eth0`]),
  },
  {
    name: "cloud-address",
    removes: "a pod's IPv4 address from its interface in the cloud",
    counter: /^(unassigned ipv4|source-check eth1 node-a ipv4)/,
    act: ({ withdraw }) => withdraw(),
  },
];

function withoutRules(priority: number): (plan: HostNetworkPlan) => HostNetworkPlan {
  return (plan) => ({ ...plan, rules: without(plan.rules, (rule) => rule.priority === priority) });
}

function withoutSysctls(path: RegExp): (plan: HostNetworkPlan) => HostNetworkPlan {
  return (plan) => ({ ...plan, sysctls: without(plan.sysctls, (sysctl) => path.test(sysctl.path)) });
}

function changeChains(
  change: (chains: readonly NftChain[]) => readonly NftChain[],
): (plan: HostNetworkPlan) => HostNetworkPlan {
  return (plan) => ({ ...plan, nft: { ...plan.nft, chains: change(plan.nft.chains) } });
}

function withoutChain(name: string): (plan: HostNetworkPlan) => HostNetworkPlan {
  return changeChains((chains) => without(chains, isNamed(name)));
}

function changeRules(
  chainName: string,
  change: (rules: readonly string[]) => readonly string[],
): (plan: HostNetworkPlan) => HostNetworkPlan {
  return changeChains((chains) =>
    changeOne(chains, isNamed(chainName), (chain) => ({ ...chain, rules: change(chain.rules) })),
  );
}

/** `mark & mask | value` becomes `value`. */
/** The restoring for pods' packets that carry no mark yet. */
function isShortcut(rule: string): boolean {
  return rule.includes("meta mark set ct mark");
}

function unmasked(rule: string): string {
  return rule.replace(/mark set (?:meta|ct) mark & 0x[0-9a-f]+ \| (0x[0-9a-f]+)/, "mark set $1");
}

function isNamed(name: string): (thing: { readonly name: string }) => boolean {
  return (thing) => thing.name === name;
}

function startsWith(text: string): (rule: string) => boolean {
  return (rule) => rule.startsWith(text);
}

/** A sabotage that finds nothing to take away is a mistake: throws RangeError. */
function without<T>(list: readonly T[], test: (item: T) => boolean, most = Number.POSITIVE_INFINITY): T[] {
  let taken = 0;
  const left = list.filter((item) => {
    if (taken >= most || !test(item)) return true;
    taken += 1;
    return false;
  });
  if (taken === 0) throw new RangeError("nothing to take away: the plan has changed");
  return left;
}

function changeOne<T>(list: readonly T[], test: (item: T) => boolean, change: (item: T) => T): T[] {
  if (!list.some(test)) throw new RangeError("nothing to change: the plan has changed");
  return list.map((item) => (test(item) ? change(item) : item));
}
