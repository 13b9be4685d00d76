/** What the demo prints: for people by default, one JSON object as the last line for machines. */
import { readFileSync } from "node:fs";
import type { Check, CheckResult } from "./check.ts";
import type { World } from "./world.ts";

const isTerminal = process.stdout.isTTY === true;
const paint = (code: number, text: string) => (isTerminal ? `\u001b[${code}m${text}\u001b[0m` : text);

/** One line per check as it ends. */
export function printResult(result: CheckResult, check: Check): void {
  const mark = result.ok ? paint(32, "ok  ") : paint(31, "FAIL");
  console.log(`  ${mark} ${result.name.padEnd(26)} ${check.shows}`);
  for (const failure of result.failures.slice(0, 4)) console.log(`         ${failure}`);
  if (result.failures.length > 4) console.log(`         and ${result.failures.length - 4} more`);
  if (!result.ok) console.log(`         counters that rose: ${result.refused}`);
}

export type Figures = {
  readonly addMedianMs: number;
  readonly delMedianMs: number;
  readonly daemons: readonly {
    readonly node: string;
    readonly rssMb: number;
    readonly anonymousMb: number;
  }[];
};

export function printFigures(figures: Figures): void {
  console.log(
    `\n  ADD ${figures.addMedianMs.toFixed(1)} ms, DEL ${figures.delMedianMs.toFixed(1)} ms (median, whole plugin)`,
  );
  for (const { node, rssMb, anonymousMb } of figures.daemons) {
    console.log(
      `  daemon of ${node}: ${rssMb.toFixed(0)} MB resident, ${anonymousMb.toFixed(0)} MB of it anonymous`,
    );
  }
}

/** Of each daemon, from /proc. */
export function daemonMemory(world: World): Figures["daemons"] {
  return world.nodes.map(({ node }) => {
    const status = readFileSync(`/proc/${node.daemon?.pid}/status`, "utf8");
    const megabytes = (field: string) =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) / 1024;
    return { node: node.name, rssMb: megabytes("VmRSS"), anonymousMb: megabytes("RssAnon") };
  });
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Where to look in a world that is kept. */
export function printTour(world: World): void {
  const name = (netnsPath: string | undefined) => netnsPath?.split("/").at(-1);
  const node = name(world.nodes[0]?.host.netnsPath);
  const pod = name(world.nodes[0]?.pods[0]?.netnsPath);
  console.log(`
  Everything is up. For a shell inside, from another terminal, as root:

    nsenter --all --target "$(pgrep --newest --full test/demo/main.ts)" sh

  and there, for example:

    ip netns                                                      every place
    ip -n ${node} rule                                     a node's rules
    ip -n ${node} route show table 4100                    its journal
    ip netns exec ${node} nft list table inet causeway     marks, SNAT, genuine sources
    ip netns exec ${pod} ping ${world.peer.ipv4}                   a pod

  Ctrl-C here ends it; nothing stays behind.`);
}
