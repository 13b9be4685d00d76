import { describe, expect, it } from "vitest";
import { type Comparison, ratios } from "./comparison.ts";
import { parseOptions } from "./options.ts";
import { plotSvg } from "./plot.ts";
import { losses, meets } from "./report.ts";

const figures = (waitP99Ms: number, callsPerPod: number, wastePerNode: number) => ({
  waitP50Ms: 0,
  waitP99Ms,
  callsPerPod,
  wastePerNode,
  throttled: 0,
});

function comparison(ours: ReturnType<typeof figures>, eni: ReturnType<typeof figures>): Comparison {
  const each = ratios(ours, eni);
  return {
    scenario: "mass-scale-out",
    nodes: 1,
    instanceType: "m5.large",
    ours,
    baselines: { "warm-eni": eni, "warm-ip": eni },
    ratios: { "warm-eni": each, "warm-ip": each },
  };
}

describe("ratios()", () => {
  it("divides ours by theirs, and by the least figure where theirs is nothing", () => {
    expect(ratios(figures(100, 1, 2), figures(1_000, 4, 2))).toEqual({ wait: 0.1, calls: 0.25, waste: 1 });
    expect(ratios(figures(100, 0, 2), figures(0, 0, 2))).toEqual({ wait: 100, calls: 0, waste: 1 });
  });
});

describe("meets()", () => {
  it("compares with the target, and nothing with nothing is met", () => {
    const one = comparison(figures(200, 0, 2), figures(1_000, 0, 2));
    expect(meets(one, "warm-eni", "wait")).toBe(true);
    expect(meets(one, "warm-eni", "calls")).toBe(true);
    expect(meets(one, "warm-eni", "waste")).toBe(false);
    expect(meets(one, "warm-ip", "waste")).toBe(true);
    expect(meets(comparison(figures(1, 0, 0), figures(0, 0, 0)), "warm-eni", "wait")).toBe(false);
  });
});

describe("losses()", () => {
  it("names what is worse than theirs, with both figures", () => {
    expect(losses(comparison(figures(1, 3, 2), figures(1, 2, 2)))).toEqual([
      "calls: 3 against 2 of warm-eni",
      "calls: 3 against 2 of warm-ip",
    ]);
  });
});

describe("parseOptions()", () => {
  it("refuses what it does not know, by name", () => {
    for (const args of [
      ["--nodes", "0"],
      ["--nodes", "x"],
      ["--scenario", "rain"],
      ["--instance-type", "x9"],
      ["--sed", "1"],
    ])
      expect(() => parseOptions(args)).toThrow(new RegExp(args.join("|")));
    expect(parseOptions(["--nodes", "5000", "--json"])).toMatchObject({ nodes: 5_000, json: true });
  });
});

describe("plotSvg()", () => {
  it("draws every curve inside its frame, from nothing to a round number", () => {
    const points = [
      [0, 0],
      [10, 37],
    ] as const;
    const svg = plotSvg({
      title: "t",
      xLabel: "x",
      yLabel: "y",
      curves: [{ name: "ours", colour: "#000", points }],
    });
    expect(svg).toContain('<path d="M70 230L700 ');
    expect(svg).toContain(">40<");
  });
});
