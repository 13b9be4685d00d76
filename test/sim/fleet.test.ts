import { beforeAll, describe, expect, it } from "vitest";
import { type Comparison, compare, type Ratios, type Runs } from "./comparison.ts";
import { instanceType } from "./instance-types.ts";
import { mostAtOnce } from "./planned-pods.ts";
import { meets } from "./report.ts";
import { ASSUMED, buildWorld, SCENARIOS, type ScenarioName } from "./scenarios.ts";
import { variations } from "./sensitivity.ts";
import type { BaselineName } from "./strategies.ts";

const NODES = 20;

function run(scenario: ScenarioName, typeName = "m5.large", seed = 1, nodes = NODES) {
  return compare({ scenario, nodes, type: instanceType(typeName), seed });
}

describe("a fleet", () => {
  // no address on two nodes, none that its node has not, none used twice: each is thrown by the simulator itself
  it.each(SCENARIOS)("%s runs to its end, the same for the same seed", async (scenario) => {
    const [one, other] = [await run(scenario), await run(scenario)];
    expect(JSON.stringify(one.comparison)).toBe(JSON.stringify(other.comparison));
    expect([...one.runs.ours.byAction]).toEqual([...other.runs.ours.byAction]);
    expect(one.runs.ours.samples).toEqual(other.runs.ours.samples);
  });

  it("is another one for another seed", async () => {
    const [one, other] = [await run("mass-scale-out"), await run("mass-scale-out", "m5.large", 2)];
    expect(JSON.stringify(one.comparison)).not.toBe(JSON.stringify(other.comparison));
  });

  it("brings every strategy the same pods", async () => {
    const { runs } = await run("mass-scale-out");
    expect(new Set(Object.values(runs).map(({ pods }) => pods)).size).toBe(1);
  });

  it("gives every pod an address in the end where there is room", async () => {
    const { runs } = await run("mass-scale-out");
    expect(Object.values(runs).map(({ samples }) => samples.at(-1)?.waiting)).toEqual([0, 0, 0]);
  });
});

describe("a world", () => {
  const world = (scenario: ScenarioName) =>
    buildWorld(scenario, { nodes: 50, type: instanceType("m5.large"), seed: 3, assumed: ASSUMED });

  it("has twenty pods a node on average in a scale-out", () => {
    const { nodes, pods } = world("mass-scale-out");
    const early = pods.flat().filter(({ bindAt, node }) => bindAt < (nodes[node] ?? 0) + 10_000).length;
    expect(early / nodes.length).toBeGreaterThan(18.5);
    expect(early / nodes.length).toBeLessThan(21.5);
  });

  it.each(["deployment-roll", "throttled-hour"] as const)(
    "never has more pods on a node than kubelet takes: %s",
    (scenario) => {
      expect(Math.max(...world(scenario).pods.map(mostAtOnce))).toBeLessThanOrEqual(27);
    },
  );

  it("varies each assumption in both directions", () => {
    expect(variations()).toHaveLength(11);
    expect(new Set(variations().map((one) => JSON.stringify(one))).size).toBe(11);
  });
});

/** Targets that are met with fifty nodes. Those that are not: docs/simulator.md says which, and why. */
const MET: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  "mass-scale-out": {
    "m5.large": ["wait warm-eni", "wait warm-ip"],
    "m5.4xlarge": ["waste warm-eni", "wait warm-ip"],
  },
  "deployment-roll": {
    "m5.large": ["wait warm-ip"],
    "m5.4xlarge": ["waste warm-eni", "wait warm-ip"],
  },
};

describe.each(["mass-scale-out", "deployment-roll"] as const)("%s", (scenario) => {
  describe.each(["m5.large", "m5.4xlarge"])("on %s", (typeName) => {
    let comparison: Comparison;
    let runs: Runs;
    beforeAll(async () => {
      ({ comparison, runs } = await run(scenario, typeName, 1, 50));
    });

    it("has the shape that its readers expect", () => {
      const figures = { waitP50Ms: 0, waitP99Ms: 0, callsPerPod: 0, wastePerNode: 0, throttled: 0 };
      const names = (value: object) => Object.keys(value);
      expect(names(comparison)).toEqual(["scenario", "nodes", "instanceType", "ours", "baselines", "ratios"]);
      expect(names(comparison.ours)).toEqual(names(figures));
      expect(names(comparison.baselines)).toEqual(["warm-eni", "warm-ip"]);
      expect(names(comparison.ratios["warm-eni"])).toEqual(["wait", "calls", "waste"]);
    });

    it.each(MET[scenario]?.[typeName] ?? [])("meets its target: %s", (target) => {
      const [key, baseline] = target.split(" ") as [keyof Ratios, BaselineName];
      expect(meets(comparison, baseline, key)).toBe(true);
    });

    it("counts every call by its action", () => {
      for (const { figures, byAction, pods } of Object.values(runs)) {
        const calls = [...byAction.values()].reduce((sum, count) => sum + count, 0);
        expect(figures.callsPerPod).toBeCloseTo(calls / pods, 2);
      }
    });
  });
});
