import { describe, expect, it } from "vitest";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../settings.ts";
import { type Need, targetOf } from "./target.ts";

const SIZES = { block: 16, interface: 9 };

function totalOf(need: Partial<Need>, settings: Partial<PoolSettings> = {}): number {
  const whole = { leased: 0, cooling: 0, pending: 0, maxPods: undefined, isAnnounced: false, ...need };
  return targetOf(whole, { ...DEFAULT_POOL_SETTINGS, ...settings }, SIZES).total;
}

describe("targetOf()", () => {
  it("is what pods have, need, or had a moment ago, and the spare", () => {
    expect(totalOf({})).toBe(2);
    expect(totalOf({ leased: 5, cooling: 3, pending: 4 })).toBe(14);
  });

  it.each([
    ["warm-ip-target", { warmIpTarget: 5 }, { leased: 3 }, 8],
    [
      "warm-ip-target, of which a cooling address is none",
      { warmIpTarget: 5 },
      { leased: 3, cooling: 2 },
      10,
    ],
    ["minimum-ip-target", { minimumIpTarget: 10 }, { leased: 3 }, 10],
    ["minimum-ip-target below use", { minimumIpTarget: 10 }, { leased: 12 }, 12],
    ["both", { minimumIpTarget: 10, warmIpTarget: 2 }, { leased: 9 }, 11],
    ["warm-ip-target 0", { warmIpTarget: 0 }, { leased: 3 }, 3],
    ["warm-eni-target", { warmEniTarget: 1 }, { leased: 3 }, 12],
    ["warm-prefix-target", { unit: "block", warmPrefixTarget: 1 }, { leased: 3 }, 19],
    ["warm-prefix-target without blocks", { unit: "single", warmPrefixTarget: 1 }, { leased: 3 }, 5],
    [
      "IP targets before prefix and interface targets",
      { unit: "block", warmPrefixTarget: 1, warmEniTarget: 1, warmIpTarget: 1 },
      { leased: 3 },
      4,
    ],
  ] as const)("honours %s", (_, settings, need, total) => {
    expect(totalOf(need, settings)).toBe(total);
  });

  it("has what cools down as its spare where pods are announced, but never for a pod that comes", () => {
    expect(totalOf({ leased: 5, cooling: 1, isAnnounced: true })).toBe(7);
    expect(totalOf({ leased: 5, cooling: 3, pending: 1, isAnnounced: true })).toBe(9);
    expect(totalOf({ leased: 5, cooling: 3, isAnnounced: true }, { warmIpTarget: 2 })).toBe(10);
  });

  it("holds no more than the pods that kubelet accepts and what cools down, but never less than is used", () => {
    expect(totalOf({ leased: 28, maxPods: 29 })).toBe(29);
    expect(totalOf({ leased: 28, cooling: 4, maxPods: 29 })).toBe(33);
    expect(totalOf({ leased: 30, pending: 2, maxPods: 29 })).toBe(32);
    expect(totalOf({ maxPods: 29 }, { minimumIpTarget: 50 })).toBe(29);
  });
});
