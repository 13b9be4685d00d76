import { describe, expect, it } from "vitest";
import { median, quantile, ratioOf } from "./statistics.ts";

describe("ratioOf()", () => {
  it("is the median of the ratios of pairs, not the ratio of medians", () => {
    expect(ratioOf([1, 20, 300], [2, 40, 100])).toEqual({ ratio: 0.5, ratioLow: 0.5, ratioHigh: 3 });
  });

  it("has an interval between order statistics, as the binomial distribution gives them", () => {
    const ours = Array.from({ length: 100 }, (_, index) => index + 1);
    const { ratio, ratioLow, ratioHigh } = ratioOf(
      ours,
      ours.map(() => 1),
    );
    expect([ratio, ratioLow, ratioHigh]).toEqual([50.5, 40, 61]);
  });
});

describe("quantile()", () => {
  it("lies between neighbours in proportion, and is NaN of nothing", () => {
    expect(median([3, 1, 2, 4])).toBe(2.5);
    expect(quantile([1, 2, 3, 4, 5], 0.99)).toBeCloseTo(4.96);
    expect(median([])).toBeNaN();
  });
});
