import { type RunResult, runStrategy, type Strategy } from "./fleet.ts";
import type { InstanceType } from "./instance-types.ts";
import { ours } from "./ours/node.ts";
import { ASSUMED, type Assumptions, buildWorld, type ScenarioName } from "./scenarios.ts";
import { BASELINE_NAMES, BASELINES, type BaselineName } from "./strategies.ts";
import { FIGURE_STEP, type Figures } from "./tally.ts";

/** Ours divided by theirs; below one is better. Where theirs is nothing, divided by the least that the figure can show: a large number, unless ours is nothing too. */
export type Ratios = {
  /** Of the 99th percentile. */
  readonly wait: number;
  readonly calls: number;
  readonly waste: number;
};

/** The JSON output. */
export type Comparison = {
  readonly scenario: ScenarioName;
  readonly nodes: number;
  readonly instanceType: string;
  readonly ours: Figures;
  readonly baselines: Readonly<Record<BaselineName, Figures>>;
  readonly ratios: Readonly<Record<BaselineName, Ratios>>;
};

export type CompareOptions = {
  readonly scenario: ScenarioName;
  readonly nodes: number;
  readonly type: InstanceType;
  readonly seed: number;
  readonly assumed?: Assumptions;
  /** Our spare, as a multiple of its default. */
  readonly spareScale?: number;
  readonly progress?: (strategy: string, atMs: number, endMs: number) => void;
};

export type Runs = Readonly<Record<"ours" | BaselineName, RunResult>>;

/** The same world for each strategy, one after the other. */
export async function compare(options: CompareOptions): Promise<{ comparison: Comparison; runs: Runs }> {
  const { scenario, nodes, type, seed, assumed = ASSUMED, progress } = options;
  const world = buildWorld(scenario, { nodes, type, seed, assumed });
  const run = (strategy: Strategy) =>
    runStrategy(strategy, {
      world,
      type,
      seed,
      assumed,
      ...(progress && { progress: (atMs, endMs) => progress(strategy.name, atMs, endMs) }),
    });
  const runs: Runs = {
    ours: await run(ours(options.spareScale ?? 1)),
    "warm-eni": await run(BASELINES["warm-eni"]),
    "warm-ip": await run(BASELINES["warm-ip"]),
  };
  return { comparison: summary(options, runs), runs };
}

function summary({ scenario, nodes, type }: CompareOptions, runs: Runs): Comparison {
  const figures = runs.ours.figures;
  return {
    scenario,
    nodes,
    instanceType: type.name,
    ours: figures,
    baselines: byBaseline((name) => runs[name].figures),
    ratios: byBaseline((name) => ratios(figures, runs[name].figures)),
  };
}

export function ratios(ours: Figures, theirs: Figures): Ratios {
  return {
    wait: ratio(ours.waitP99Ms, theirs.waitP99Ms, 1),
    calls: ratio(ours.callsPerPod, theirs.callsPerPod, FIGURE_STEP),
    waste: ratio(ours.wastePerNode, theirs.wastePerNode, FIGURE_STEP),
  };
}

function ratio(ours: number, theirs: number, least: number): number {
  return Math.round((ours / Math.max(theirs, least)) * 1000) / 1000;
}

function byBaseline<T>(of: (name: BaselineName) => T): Readonly<Record<BaselineName, T>> {
  return Object.fromEntries(BASELINE_NAMES.map((name) => [name, of(name)])) as Record<BaselineName, T>;
}
