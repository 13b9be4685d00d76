/**
 * The table `inet causeway` as data, and as the text that nft loads: which uplink a packet is marked for, whose source
 * is genuine, what is translated. Constants and masks only, one small chain per uplink and verdict maps between them: no
 * statement joins two registers, which older kernels cannot. Bits of a mark that are not ours keep their value.
 */
import { MARK_FIELD, NFT_TABLE, POD_LINK_PREFIX } from "../../common/constants.ts";
import { type Cidr, type Family, mergeCidrs } from "../../common/ip.ts";
import type { NftElement } from "../../common/kernel/nft.ts";
import type { HostNetworkInput } from "./input.ts";
import { type LoadedUplink, markOf } from "./uplinks.ts";

export type NftSet = {
  readonly kind: "set" | "map";
  readonly name: string;
  /** As after the word `type`. */
  readonly type: string;
  readonly interval: boolean;
  readonly elements: readonly string[];
};

export type NftChain = {
  readonly name: string;
  /** What makes it a base chain: type, hook, priority. */
  readonly hook?: string;
  readonly rules: readonly string[];
};

export type NftTable = {
  readonly counters: readonly string[];
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
};

/** The table without genuine pairs, which belong to pods: see withGenuine(). */
export function planNftTable(input: HostNetworkInput): NftTable {
  const { uplinks, settings } = input;
  return {
    counters: ["spoofed", "router_advert"],
    sets: [
      genuineSet(4),
      genuineSet(6),
      unitSet(uplinks, 4),
      unitSet(uplinks, 6),
      unitMap(uplinks, 4),
      unitMap(uplinks, 6),
      intervals("inside4", "ipv4_addr", mergeCidrs(input.inside.filter((cidr) => cidr.family === 4))),
    ],
    chains: [
      ...uplinks.flatMap((uplink) => [
        // the connection keeps the decision: it outlives a change of CIDRs or settings
        { name: `use-${uplink.slot}`, rules: [setField("meta", uplink), setField("ct", uplink)] },
        { name: `from-${uplink.slot}`, rules: [setField("ct", uplink)] },
      ]),
      ...genuineChains(),
      ...markChains(uplinks, settings.externalSnat),
      { ...SNAT_CHAIN, rules: settings.externalSnat ? [] : snatRules(uplinks) },
    ],
  };
}

/** The table with these (pod link, source) pairs let through. */
export function withGenuine(table: NftTable, genuine: readonly NftElement[]): NftTable {
  const pairs = genuine.filter((element) => element.set === "genuine");
  return {
    ...table,
    sets: table.sets.map((set) => {
      const family = set.name === "genuine4" ? 4 : set.name === "genuine6" ? 6 : undefined;
      if (family === undefined) return set;
      const elements = pairs
        .filter((pair) => pair.address.family === family)
        .map((pair) => `"${pair.link}" . ${pair.address}`)
        .sort();
      return { ...set, elements };
    }),
  };
}

/** One transaction that puts the table in place of whatever is there; counters go on from the values given. */
export function renderTable(table: NftTable, counted: ReadonlyMap<string, number> = new Map()): string {
  return [
    `add table inet ${NFT_TABLE}`,
    `delete table inet ${NFT_TABLE}`,
    `table inet ${NFT_TABLE} {`,
    ...table.counters.map((name) => `  counter ${name} { packets ${counted.get(name) ?? 0} bytes 0 }`),
    ...table.sets.map((set) => `  ${renderSet(set)}`),
    ...table.chains.flatMap(renderChain),
    "}",
    "",
  ].join("\n");
}

/** One transaction that gives sets and maps of a table that is there these elements, and no others. */
export function renderElements(sets: readonly NftSet[]): string {
  return sets
    .flatMap((set) => {
      const flush = `flush ${set.kind} inet ${NFT_TABLE} ${set.name}`;
      if (set.elements.length === 0) return [flush];
      return [flush, `add element inet ${NFT_TABLE} ${set.name} { ${set.elements.join(", ")} }`];
    })
    .join("\n");
}

function renderSet(set: NftSet): string {
  const flags = set.interval ? " flags interval;" : "";
  const elements = set.elements.length === 0 ? "" : ` elements = { ${set.elements.join(", ")} };`;
  return `${set.kind} ${set.name} { type ${set.type};${flags}${elements} }`;
}

function renderChain(chain: NftChain): string[] {
  const hook = chain.hook === undefined ? [] : [`    ${chain.hook}; policy accept;`];
  return [`  chain ${chain.name} {`, ...hook, ...chain.rules.map((rule) => `    ${rule}`), "  }"];
}

const ADDRESS_TYPE = { 4: "ipv4_addr", 6: "ipv6_addr" } as const;

function genuineSet(family: Family): NftSet {
  const type = `ifname . ${ADDRESS_TYPE[family]}`;
  return { kind: "set", name: `genuine${family}`, type, interval: false, elements: [] };
}

function unitSet(uplinks: readonly LoadedUplink[], family: Family): NftSet {
  const units = uplinks.flatMap((uplink) => uplink.units).filter((unit) => unit.family === family);
  return intervals(
    `units${family}`,
    ADDRESS_TYPE[family],
    units.toSorted((a, b) => a.compare(b)),
  );
}

function unitMap(uplinks: readonly LoadedUplink[], family: Family): NftSet {
  const elements = uplinks
    .flatMap((uplink) => uplink.units.map((unit) => ({ unit, slot: uplink.slot })))
    .filter(({ unit }) => unit.family === family)
    .sort((a, b) => a.unit.compare(b.unit))
    .map(({ unit, slot }) => `${element(unit)} : goto use-${slot}`);
  return {
    kind: "map",
    name: `uplink${family}`,
    type: `${ADDRESS_TYPE[family]} : verdict`,
    interval: true,
    elements,
  };
}

function intervals(name: string, type: string, cidrs: readonly Cidr[]): NftSet {
  return { kind: "set", name, type, interval: true, elements: cidrs.map(element) };
}

function element(cidr: Cidr): string {
  return cidr.isSingle ? cidr.address.toString() : cidr.toString();
}

/**
 * Raw hook, before connection tracking: what leaves a pod must come from an address that is the pod's. What every packet meets comes first, in as few
 * steps as can be (docs/decisions/0018).
 */
function genuineChains(): NftChain[] {
  return [
    {
      name: "from-pod",
      rules: [
        "icmpv6 type nd-router-advert counter name router_advert drop",
        "iifname . ip6 saddr @genuine6 return",
        // every pod sends these from :: when it starts; every entry we need is permanent
        "icmpv6 type { mld-listener-report, mld2-listener-report, mld-listener-done, nd-router-solicit, nd-neighbor-solicit } drop",
        "counter name spoofed drop",
      ],
    },
    {
      name: "genuine",
      hook: "type filter hook prerouting priority raw",
      rules: [
        `iifname != "${POD_LINK_PREFIX}*" accept`,
        // kube-proxy in iptables mode lets 127/8 be routed
        "iifname . ip saddr @genuine4 ip daddr != 127.0.0.0/8 accept",
        // router advertisements come from genuine addresses too
        "iifname . ip6 saddr @genuine6 meta l4proto != ipv6-icmp accept",
        "goto from-pod",
      ],
    },
  ];
}

/** After destination NAT (-100): before it a packet to a Service is judged by the Service's address. */
const AFTER_DNAT = "-90";

function markChains(uplinks: readonly LoadedUplink[], externalSnat: boolean): NftChain[] {
  const arrivals = uplinks.map((uplink) => `"${uplink.linkName}" : goto from-${uplink.slot}`).join(", ");
  const restore = uplinks.map((uplink) => `${hex(markOf(uplink.slot))} : goto use-${uplink.slot}`).join(", ");
  const bySource = [
    `${externalSnat ? "" : "ip daddr @inside4 "}ip saddr vmap @uplink4`,
    "ip6 saddr vmap @uplink6",
  ];
  return [
    { name: "restore", rules: [`ct mark & ${hex(MARK_FIELD)} vmap { ${restore} }`] },
    {
      name: "mark-in",
      hook: `type filter hook prerouting priority ${AFTER_DNAT}`,
      rules: [
        // what nearly every packet of a pod needs, in one step; a mark of others on it must be kept, which takes more
        `iifname "${POD_LINK_PREFIX}*" meta mark 0 ct mark & ${hex(MARK_FIELD)} != 0 meta mark set ct mark & ${hex(MARK_FIELD)} accept`,
        "ct direction reply goto restore",
        // what a pod began goes on by the uplink, and with the source, that it began with
        `ct direction original iifname "${POD_LINK_PREFIX}*" ct mark & ${hex(MARK_FIELD)} != 0 goto restore`,
        // not only of the first packet: a connection begun while this table was missing heals with its next one
        `ct direction original ct mark & ${hex(MARK_FIELD)} == 0 iifname vmap { ${arrivals} }`,
        ...bySource,
      ],
    },
    {
      name: "mark-out",
      hook: `type route hook output priority ${AFTER_DNAT}`,
      rules: ["ct direction reply goto restore", ...bySource],
    },
  ];
}

/**
 * There with external SNAT too: the kernel goes on translating the connections that it began to translate while any nat chain is there, and stops in
 * their midst when the last one goes (net/netfilter/nf_nat_core.c nf_nat_unregister_fn).
 */
const SNAT_CHAIN = { name: "snat-out", hook: "type nat hook postrouting priority srcnat" } as const;

function snatRules(uplinks: readonly LoadedUplink[]): string[] {
  const primary = uplinks.find((uplink) => uplink.isPrimary);
  const source = primary?.addresses.find((own) => own.address.family === 4)?.address;
  if (primary === undefined || source === undefined) return [];
  return [
    `oifname "${primary.linkName}" ip saddr @units4 ip daddr != @inside4 ${setField("ct", primary)} snat ip to ${source} fully-random`,
  ];
}

/** Sets our field of the packet's or the connection's mark to the uplink's slot. */
function setField(mark: "meta" | "ct", uplink: LoadedUplink): string {
  return `${mark} mark set ${mark} mark & ${hex(~MARK_FIELD >>> 0)} | ${hex(markOf(uplink.slot))}`;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
