import { type Family, IpAddress } from "../ip.ts";
import { runProgram } from "./processes.ts";
import type { XtablesBackend } from "./xtables.ts";

/** A line of iptables-save: `:CHAIN policy [0:0]`, or `-A CHAIN …`. */
export type XtablesLine = {
  readonly backend: XtablesBackend;
  readonly family: Family;
  /** `nat`, `mangle`, `filter`, `raw`. */
  readonly table: string;
  readonly line: string;
};

export type FirewallListing = {
  readonly xtables: readonly XtablesLine[];
  /** Family and name, as nft prints them: `ip aws-cni`. */
  readonly nftTables: readonly string[];
};

/** A rule of an nft table. */
export type NftRule = {
  readonly family: Family;
  readonly chain: string;
  readonly comment?: string;
  /** Where it sends what it matches, by destination NAT; undefined when it does not, or not to one address. */
  readonly dnatTo?: IpAddress;
};

const FAMILIES = [4, 6] as const;

/**
 * Every program's firewall rules in this namespace, or in the one at `netnsPath`, by the iptables and nft programs; of one that is not
 * installed, nothing. For people and reports: takes up to a second where there are thousands of rules. Makes no table. Throws the system's
 * error.
 */
export async function listFirewall(options: { readonly netnsPath?: string } = {}): Promise<FirewallListing> {
  const enter = options.netnsPath === undefined ? [] : ["nsenter", `--net=${options.netnsPath}`];
  const print = (line: string) => linesOf([...enter, "sh", "-c", `${line} 2>/dev/null || true`]);
  const saved = async (backend: XtablesBackend, family: Family, table?: string) => {
    const program = `${family === 4 ? "iptables" : "ip6tables"}-${backend}-save`;
    const lines = await print(table === undefined ? program : `${program} -t ${table}`);
    return readTables(lines).map((line) => ({ backend, family, ...line }));
  };
  const legacyTables = (family: Family) =>
    // thread-self: /proc/net is the main thread's
    print(`cat /proc/thread-self/net/${family === 4 ? "ip" : "ip6"}_tables_names`);
  const xtables: XtablesLine[] = [];
  for (const family of FAMILIES) {
    xtables.push(...(await saved("nft", family)));
    // to look at a table that is not there would make it
    for (const table of await legacyTables(family)) xtables.push(...(await saved("legacy", family, table)));
  }
  const nftTables = (await print("nft list tables")).map((line) => line.replace(/^table /, ""));
  return { xtables, nftTables };
}

/**
 * The rules of the tables `ip NAME` and `ip6 NAME` in this namespace, or in the one at `netnsPath`, by the nft program; none of one that is not
 * there. As listFirewall().
 */
export async function listNftRules(
  tableName: string,
  { netnsPath }: { readonly netnsPath?: string } = {},
): Promise<readonly NftRule[]> {
  const enter = netnsPath === undefined ? [] : ["nsenter", `--net=${netnsPath}`];
  const rules: NftRule[] = [];
  for (const family of FAMILIES) {
    const list = ["nft", "-j", "list", "table", family === 4 ? "ip" : "ip6", tableName];
    rules.push(...readNftRules(family, await linesOf([...enter, ...list])));
  }
  return rules;
}

/** Of `nft -j list table`, libnftables-json(5): each object is a table, a chain or a rule. */
type NftObject = {
  readonly rule?: {
    readonly chain: string;
    readonly comment?: string;
    readonly expr: readonly { readonly dnat?: { readonly addr?: unknown } | null }[];
  };
};

function readNftRules(family: Family, lines: readonly string[]): NftRule[] {
  if (lines.length === 0) return [];
  const { nftables } = JSON.parse(lines.join("\n")) as { readonly nftables: readonly NftObject[] };
  return nftables.flatMap(({ rule }) => {
    if (rule === undefined) return [];
    const { chain, comment, expr } = rule;
    const to = expr.find(({ dnat }) => typeof dnat?.addr === "string")?.dnat?.addr;
    return [
      {
        family,
        chain,
        ...(comment !== undefined && { comment }),
        ...(typeof to === "string" && { dnatTo: IpAddress.parse(to) }),
      },
    ];
  });
}

/** Each line with the table that it stands under. */
function readTables(lines: readonly string[]): { readonly table: string; readonly line: string }[] {
  let table = "";
  return lines.flatMap((line) => {
    if (line.startsWith("*")) table = line.slice(1);
    return /^(:|-A )/.test(line) ? [{ table, line }] : [];
  });
}

async function linesOf(command: readonly string[]): Promise<string[]> {
  const [file = "", ...args] = command;
  const { stdout } = await runProgram([file, ...args]);
  return stdout.split("\n").filter((line) => line !== "");
}
