import { readFileSync } from "node:fs";
import { inNetns } from "../probe/netns-window.ts";
import { runIn } from "./commands.ts";

/** Packets by the name of the counter. */
export type Counters = ReadonlyMap<string, number>;

/** Every named counter of an nft table; empty when there is no such table. Slashes in names read as spaces. */
export function nftCounters(netnsPath: string, table: string): Counters {
  const found = new Map<string, number>();
  const listing = JSON.parse(runIn(netnsPath, ["nft", "-j", "list", "counters"])) as NftListing;
  for (const { counter } of listing.nftables) {
    if (counter?.table === table) found.set(counter.name.replaceAll("/", " "), counter.packets);
  }
  return found;
}

type NftListing = {
  readonly nftables: readonly {
    readonly counter?: { readonly table: string; readonly name: string; readonly packets: number };
  }[];
};

/** The kernel's own counters of packets it refused to route in a namespace (/proc/net/netstat and snmp6). */
export function routingDrops(netnsPath: string): Counters {
  const [netstat, snmp6] = inNetns(netnsPath, () => [
    readFileSync("/proc/thread-self/net/netstat", "utf8"),
    readFileSync("/proc/thread-self/net/snmp6", "utf8"),
  ]) as [string, string];
  const found = new Map<string, number>();
  for (const [name, value] of pairedLines(netstat)) if (DROPS.has(name)) found.set(name, value);
  for (const line of snmp6.split("\n")) {
    const [name = "", value] = line.split(/\s+/);
    if (DROPS.has(name)) found.set(name, Number(value));
  }
  return found;
}

const DROPS: ReadonlySet<string> = new Set([
  "IPReversePathFilter",
  "InNoRoutes",
  "Ip6InNoRoutes",
  "Ip6InAddrErrors",
]);

/** netstat holds pairs of lines: names, then values. */
function* pairedLines(text: string): Generator<[string, number]> {
  const lines = text.trim().split("\n");
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const names = lines[index]?.split(" ") ?? [];
    const values = lines[index + 1]?.split(" ") ?? [];
    for (const [column, name] of names.entries()) if (column > 0) yield [name, Number(values[column])];
  }
}

/** What rose between two readings, by how much. */
export function risen(before: Counters, after: Counters): Counters {
  const rose = new Map<string, number>();
  for (const [name, value] of after) {
    const difference = value - (before.get(name) ?? 0);
    if (difference > 0) rose.set(name, difference);
  }
  return rose;
}

/** `name +n, name +n`, or `nothing`. */
export function formatRisen(counters: Counters): string {
  return [...counters].map(([name, value]) => `${name} +${value}`).join(", ") || "nothing";
}
