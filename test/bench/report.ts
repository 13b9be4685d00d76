/** The result as a table for people. */
import { release } from "node:os";
import type { Forwarding } from "./forwarding.ts";
import type { MemoryResults } from "./memory.ts";
import type { Burst, Compared, ComparedToFloor } from "./operations.ts";
import type { Restart } from "./restart.ts";
import type { Ratio } from "./statistics.ts";
import { COLD_NODES, type ColdNode, type Writes } from "./writes.ts";

/** By number of pods that were there, and once more with IPv4 alone. The first stands in the result's own fields. */
export type WithVariants<T> = T & { readonly pods: Readonly<Record<string, T>>; readonly ipv4?: T };
/** And once more where pods' namespaces look for duplicate addresses. */
export type Adds = WithVariants<ComparedToFloor> & { readonly withDad?: Compared };

export type Results = {
  add?: Adds;
  del?: WithVariants<ComparedToFloor>;
  delNetns?: WithVariants<ComparedToFloor>;
  burst?: WithVariants<Burst>;
  forwarding?: Forwarding;
  memory?: MemoryResults;
  restart?: Restart;
  writes?: Writes;
};

type Row = readonly [what: string, ours: string, peer: string, ratio: string];

export function printTable(results: Results, processors: number): string {
  const rows: Row[] = [
    ["", "causeway", "peer", "ratio (95 %)"],
    ...operationRows("ADD", results.add),
    ...dadRows(results.add),
    ...operationRows("DEL", results.del),
    ...operationRows("DEL and namespace", results.delNetns),
    ...burstRows(results.burst),
    ...forwardingRows(results.forwarding),
    ...memoryRows(results.memory),
    ...restartRows(results.restart),
    ...writesRows(results.writes),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const peer =
    "peer: ptp + host-local, without duplicate address detection unless said otherwise; floor: the same kernel work by C";
  return `${lines.join("\n")}\n${processors} processors, Linux ${release()}; medians; ${peer}\n`;
}

function operationRows(what: string, results: WithVariants<ComparedToFloor> | undefined): Row[] {
  if (results === undefined) return [];
  const row = (
    name: string,
    { p50Ms, peerP50Ms, floorP50Ms, floorRatio, ...ratio }: ComparedToFloor,
  ): Row[] => [
    [`${what}, ${name}`, ms(p50Ms), ms(peerP50Ms), ratioText(ratio)],
    [`  the floor`, "", ms(floorP50Ms), floorRatio.toFixed(2)],
  ];
  return [
    ...Object.entries(results.pods).flatMap(([pods, one]) => row(`dual stack, ${pods} pods`, one)),
    ...(results.ipv4 === undefined ? [] : row("IPv4", results.ipv4)),
  ];
}

function dadRows(results: Adds | undefined): Row[] {
  if (results?.withDad === undefined) return [];
  const { p50Ms, peerP50Ms, ...ratio } = results.withDad;
  return [["ADD, with duplicate address detection", ms(p50Ms), ms(peerP50Ms), ratioText(ratio)]];
}

function burstRows(results: WithVariants<Burst> | undefined): Row[] {
  return Object.entries(results?.pods ?? {}).map(([pods, { p99Ms, peerP99Ms, ...ratio }]) => [
    `burst of ADDs, p99, ${pods} pods`,
    ms(p99Ms),
    ms(peerP99Ms),
    ratioText(ratio),
  ]);
}

function forwardingRows(results: Forwarding | undefined): Row[] {
  return Object.entries(results?.packetsPerSecond ?? {}).map(([name, rate]) => {
    const ratio = results?.againstConntrack[name];
    return [
      `packets/s: ${name}`,
      `${Math.round(rate / 1000)} k`,
      "",
      ratio === undefined ? "" : `${ratioText(ratio)} of conntrack`,
    ];
  });
}

function memoryRows(results: MemoryResults | undefined): Row[] {
  if (results === undefined) return [];
  const { idle, withPods, afterChurn } = results;
  return [
    ["memory, resident (anonymous), idle", `${idle.residentMb} (${idle.anonymousMb}) MB`, "", ""],
    [`  ${withPods.pods} pods`, `${withPods.residentMb} (${withPods.anonymousMb}) MB`, "", ""],
    [
      `  after ${afterChurn.addsAndDels} ADDs and DELs`,
      `${afterChurn.residentMb} (${afterChurn.anonymousMb}) MB`,
      "",
      "",
    ],
  ];
}

function restartRows(results: Restart | undefined): Row[] {
  if (results === undefined) return [];
  const { leases, firstAddMs, servingMs, packetsSent, packetsLost } = results;
  return [
    [`restart with ${leases} leases, serving after`, ms(servingMs), "", ""],
    ["  first ADD done after", ms(firstAddMs), "", ""],
    ["  packets lost between pods", `${packetsLost} of ${packetsSent}`, "", ""],
  ];
}

function writesRows(results: Writes | undefined): Row[] {
  if (results === undefined) return [];
  const { pods } = results;
  const row = (type: ColdNode): Row => {
    const { unit, writesMax } = COLD_NODES[type];
    const units = unit === "block" ? "blocks" : "single addresses";
    const verdict = `at most ${writesMax}: ${results[type] <= writesMax ? "met" : "missed"}`;
    return [`cloud writes for ${pods} pods, ${type}, ${units}`, String(results[type]), "", verdict];
  };
  return [row("m5.large"), row("m5.4xlarge")];
}

function ms(value: number): string {
  return `${value < 100 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

function ratioText({ ratio, ratioLow, ratioHigh }: Ratio): string {
  return `${ratio.toFixed(2)} (${ratioLow.toFixed(2)} to ${ratioHigh.toFixed(2)})`;
}
