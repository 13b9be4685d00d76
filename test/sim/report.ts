/** What people read. */
import type { Comparison, Ratios, Runs } from "./comparison.ts";
import { BASELINE_NAMES, type BaselineName } from "./strategies.ts";
import type { Figures } from "./tally.ts";

/** What we aim at in mass-scale-out and deployment-roll: ours divided by theirs, at most. */
export const TARGETS: Readonly<Record<BaselineName, Readonly<Record<keyof Ratios, number>>>> = {
  "warm-eni": { wait: 0.2, calls: 0.5, waste: 0.3 },
  "warm-ip": { wait: 0.2, calls: 0.5, waste: 1.1 },
};

type Measure = { readonly key: keyof Ratios; readonly figure: keyof Figures; readonly name: string };

const MEASURES: readonly Measure[] = [
  { key: "wait", figure: "waitP99Ms", name: "wait p99" },
  { key: "calls", figure: "callsPerPod", name: "calls" },
  { key: "waste", figure: "wastePerNode", name: "waste" },
];

/** Nothing of theirs to divide by counts as met when ours is nothing too. */
export function meets(comparison: Comparison, baseline: BaselineName, key: keyof Ratios): boolean {
  const figure = MEASURES.find((measure) => measure.key === key)?.figure ?? "waitP99Ms";
  return comparison.ours[figure] <= TARGETS[baseline][key] * comparison.baselines[baseline][figure];
}

/** Where ours is worse than theirs, as sentences. */
export function losses(comparison: Comparison): string[] {
  return BASELINE_NAMES.flatMap((name) =>
    MEASURES.filter(({ figure }) => comparison.ours[figure] > comparison.baselines[name][figure]).map(
      ({ name: what, figure }) =>
        `${what}: ${comparison.ours[figure]} against ${comparison.baselines[name][figure]} of ${name}`,
    ),
  );
}

export function comparisonText(comparison: Comparison, runs: Runs): string {
  const rows = [
    ["", "wait p50", "wait p99", "calls/pod", "waste/node", "throttled", "pods", "node Ready p99"],
    ...(["ours", ...BASELINE_NAMES] as const).map((name) => [name, ...figureCells(runs, name)]),
    ...BASELINE_NAMES.map((name) => ratioCells(comparison, name)),
  ];
  const title = `${comparison.scenario}, ${comparison.nodes} nodes, ${comparison.instanceType}`;
  const lost = losses(comparison);
  const end = lost.length === 0 ? "" : `We lose:\n${lost.map((line) => `  ${line}\n`).join("")}`;
  return `${title}\n${table(rows)}${end}`;
}

type Varied = { readonly name: string; readonly comparison: Comparison };

export function sensitivityText(rows: readonly Varied[]): string {
  return table(sensitivityRows(rows));
}

/** With a head. */
export function sensitivityRows(rows: readonly Varied[]): string[][] {
  const columns = BASELINE_NAMES.flatMap((baseline) => MEASURES.map((measure) => ({ baseline, measure })));
  return [
    ["", ...columns.map(({ baseline, measure }) => `${measure.name} / ${baseline}`), "we lose"],
    ...rows.map(({ name, comparison }) => [
      name,
      ...columns.map(({ baseline, measure }) => ratioText(comparison, baseline, measure)),
      losingMeasures(comparison),
    ]),
  ];
}

export const RESULTS_HEAD: readonly string[] = [
  "scenario",
  "instance",
  "strategy",
  "wait p50",
  "wait p99",
  "calls per pod",
  "waste per node",
  "throttled",
  "ours / theirs: wait",
  "calls",
  "waste",
];

/** A row for each strategy, under RESULTS_HEAD. */
export function resultRows(comparison: Comparison): string[][] {
  const { scenario, instanceType, ours, baselines } = comparison;
  const cells = (figures: Figures) => [
    seconds(figures.waitP50Ms),
    seconds(figures.waitP99Ms),
    figures.callsPerPod.toFixed(2),
    figures.wastePerNode.toFixed(1),
    String(figures.throttled),
  ];
  return [
    [scenario, instanceType, "ours", ...cells(ours), "", "", ""],
    ...BASELINE_NAMES.map((name) => ["", "", name, ...cells(baselines[name]), ...starred(comparison, name)]),
  ];
}

export function markdownTable(rows: readonly (readonly string[])[]): string {
  const [head = [], ...rest] = rows;
  return [head, head.map(() => "---"), ...rest].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

function losingMeasures(comparison: Comparison): string {
  const lost = BASELINE_NAMES.flatMap((name) =>
    MEASURES.filter(({ figure }) => comparison.ours[figure] > comparison.baselines[name][figure]).map(
      (one) => `${one.name} to ${name}`,
    ),
  );
  return lost.length === 0 ? "nowhere" : lost.join(", ");
}

function figureCells(runs: Runs, name: keyof Runs): string[] {
  const { figures, pods, readyP99Ms } = runs[name];
  return [
    seconds(figures.waitP50Ms),
    seconds(figures.waitP99Ms),
    figures.callsPerPod.toFixed(2),
    figures.wastePerNode.toFixed(2),
    String(figures.throttled),
    String(pods),
    readyP99Ms === 0 ? "" : seconds(readyP99Ms),
  ];
}

function ratioCells(comparison: Comparison, name: BaselineName): string[] {
  return [`ours / ${name}`, "", ...starred(comparison, name)];
}

/** A star marks what the target asks for and is not met. */
function starred(comparison: Comparison, name: BaselineName): string[] {
  return MEASURES.map((measure) => {
    const star = meets(comparison, name, measure.key) ? "" : "*";
    return `${ratioText(comparison, name, measure)}${star}`;
  });
}

function ratioText(comparison: Comparison, baseline: BaselineName, { key, figure }: Measure): string {
  const nothing = comparison.baselines[baseline][figure] === 0 && comparison.ours[figure] > 0;
  return nothing ? "theirs is 0" : comparison.ratios[baseline][key].toFixed(2);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 100_000 ? 2 : 0)} s`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}
