/**
 * What the kernel and the host must have for the packet path, found out by trying: distributions carry features back, so a version says little.
 * Rulesets are tried in an empty namespace of their own, the rule as one that no packet meets.
 */
import { MAIN_TABLE, NFT_TABLE, PROTOCOL, RULE_PRIORITY, UPLINK_GROUP } from "../../common/constants.ts";
import { parseMac } from "../../common/ids.ts";
import { Cidr, type Family, IpAddress } from "../../common/ip.ts";
import { KernelError } from "../../common/kernel/errors.ts";
import type { NetworkStack } from "../../common/kernel/netns.ts";
import type { Rule } from "../../common/kernel/rules.ts";
import type { Xtables } from "../../common/kernel/xtables.ts";
import { planNftTable, renderTable } from "./nft-table.ts";
import type { LoadedUplink } from "./uplinks.ts";

export type FeatureDoors = {
  readonly host: NetworkStack;
  readonly xtables: Pick<Xtables, "backends">;
  /** Common/kernel/nft-preview.ts. */
  readonly preview: (script: string) => Promise<unknown>;
  /** Those of the programs that are not there. */
  readonly missingPrograms: (names: readonly string[]) => Promise<readonly string[]>;
};

/** Below it nothing is promised, whatever the features. */
const KERNEL_MIN = "5.14";

/**
 * One sentence for each thing that is missing; empty when all is there. Leaves nothing behind. Throws KernelError for what says nothing about
 * features.
 */
export async function findMissing(doors: FeatureDoors, families: readonly Family[]): Promise<string[]> {
  const programs = await doors.missingPrograms(await neededPrograms(doors.xtables, families));
  if (programs.length > 0) {
    return programs.map(
      (name) => `the program ${name} is not there: install ${PACKAGES[name] ?? "iptables"}`,
    );
  }
  if (families.includes(6) && doors.host.sysctl.get("net/ipv6/conf/all/disable_ipv6") === undefined) {
    return [
      "ip-families wants IPv6 and this kernel has none: boot it without ipv6.disable=1, or set ip-families to ipv4",
    ];
  }
  const inRules = families.flatMap((family) => missingInRules(doors.host, family));
  return [...new Set([...inRules, ...(await missingInNft(doors.preview))])];
}

const PACKAGES: Readonly<Record<string, string>> = {
  nft: "nftables",
  unshare: "util-linux",
};

/** Those for the legacy back-end only where somebody has used it: not every distribution has them. */
async function neededPrograms(
  xtables: Pick<Xtables, "backends">,
  families: readonly Family[],
): Promise<string[]> {
  const programs = ["nft", "unshare"];
  for (const family of families) {
    const name = family === 4 ? "iptables" : "ip6tables";
    for (const backend of await xtables.backends(family)) programs.push(`${name}-${backend}`);
  }
  return programs;
}

/** Old kernels take attributes that they do not know, and forget them: so it is read back. */
function missingInRules(host: NetworkStack, family: Family): string[] {
  const tried: Rule = {
    family,
    priority: RULE_PRIORITY.mainSpecific,
    table: MAIN_TABLE,
    protocol: PROTOCOL,
    // no link has that name: ours begin with cw, and have more letters
    inLink: "cw-try",
    suppressPrefixLength: 0,
    suppressLinkGroup: UPLINK_GROUP,
  };
  try {
    host.rules.add(tried);
    const found = host.rules.list(family).find(({ inLink }) => inLink === tried.inLink);
    return RULE_FEATURES.filter(({ field }) => found?.[field] !== tried[field]).map((feature) =>
      tooOld(feature, "it forgets them"),
    );
  } catch (error) {
    if (!(error instanceof KernelError) || !REFUSALS.includes(error.code)) throw error;
    return [tooOld({ name: "rules as ours", since: "4.17" }, error.message)];
  } finally {
    for (const rule of host.rules.list(family)) if (rule.inLink === tried.inLink) host.rules.remove(rule);
  }
}

/** EPERM is no feature. */
const REFUSALS: readonly string[] = ["EINVAL", "EOPNOTSUPP", "EAFNOSUPPORT", "ERANGE"];

type Feature = { readonly name: string; readonly since: string };

const RULE_FEATURES: readonly (Feature & { readonly field: keyof Rule })[] = [
  { field: "suppressPrefixLength", name: "rules with suppress_prefixlength", since: "3.12" },
  { field: "suppressLinkGroup", name: "rules with suppress_ifgroup", since: "3.12" },
  { field: "protocol", name: "rules with a protocol", since: "4.17" },
];

/** Everything at once, as that is the rule; one by one only to name what is missing. */
async function missingInNft(preview: FeatureDoors["preview"]): Promise<string[]> {
  const whole = await refusal(preview, renderTable(planNftTable(sampleInput())));
  if (whole === undefined) return [];
  for (const feature of NFT_FEATURES) {
    const words = await refusal(preview, `table inet ${NFT_TABLE} {\n${feature.body}\n}\n`);
    if (words !== undefined) return [tooOld(feature, words)];
  }
  return [tooOld({ name: "nftables as we use it", since: KERNEL_MIN }, whole)];
}

async function refusal(preview: FeatureDoors["preview"], script: string): Promise<string | undefined> {
  try {
    await preview(script);
    return undefined;
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== "nft-rejected") throw error;
    // one line: nft shows the place by carets below
    return error.message.split("\n")[0] ?? "";
  }
}

/** From what the others stand on upwards. Since: wiki.nftables.org, "List of updates since Linux kernel 3.13", read 2026-11-25. */
const NFT_FEATURES: readonly (Feature & { readonly body: string })[] = [
  { name: "nf_tables with tables of family inet", since: "3.14", body: "" },
  {
    name: "nf_tables maps from intervals to verdicts",
    since: "3.14",
    body: "map m { type ipv4_addr : verdict; flags interval; }\nchain c { ip saddr vmap @m; }",
  },
  {
    name: "nf_tables statements on connection marks",
    since: "3.14",
    body: "chain c { ct direction reply ct mark set ct mark & 0xffffe0ff | 0x00000100; }",
  },
  {
    name: "nf_tables sets of pairs",
    since: "4.1",
    body: "set s { type ifname . ipv4_addr; }\nchain c { iifname . ip saddr @s return; }",
  },
  {
    name: "named counters of nf_tables",
    since: "4.10",
    body: "counter n { }\nchain c { counter name n; }",
  },
  {
    name: "nf_tables chains of type route in family inet",
    since: "5.2",
    body: "chain c { type route hook output priority -90; policy accept; }",
  },
  {
    name: "nf_tables chains of type nat in family inet",
    since: "5.2",
    body: "chain c { type nat hook postrouting priority srcnat; policy accept;\nsnat ip to 10.0.0.1 fully-random; }",
  },
];

function tooOld({ name, since }: Feature, words: string): string {
  return `this kernel has no ${name}, which Linux has since ${since} (Causeway needs ${KERNEL_MIN}): ${words}`;
}

/** Two uplinks and a unit each: every kind of statement that a real table has. */
function sampleInput() {
  const sample = (slot: number): LoadedUplink => ({
    slot,
    linkName: `try${slot}`,
    linkIndex: slot,
    mac: parseMac(`02:00:00:00:00:0${slot}`),
    addresses: [{ address: IpAddress.parse(`10.0.0.${slot}`), prefixLength: 24 }],
    gateways: [],
    isPrimary: slot === 1,
    units: [Cidr.parse(`10.0.${slot}.0/28`), Cidr.parse(`fd00:${slot}::/80`)],
  });
  const families: readonly Family[] = [4, 6];
  return {
    uplinks: [sample(1), sample(2)],
    inside: [Cidr.parse("10.0.0.0/16")],
    settings: { externalSnat: false, families },
  };
}
