import { describe, expect, it } from "vitest";
import { CodedError } from "./errors.ts";
import { backoffMs, retry } from "./retry.ts";
import { SteppedClock } from "./stepped-clock.ts";

const soon = () => new CodedError("throttled", "too many", { retry: "soon" });
const never = new AbortController().signal;

function failing(times: number, error: () => Error) {
  let calls = 0;
  const work = async () => {
    calls += 1;
    if (calls <= times) throw error();
    return calls;
  };
  return { work, calls: () => calls };
}

describe("retry()", () => {
  it("tries again after errors whose advice allows it, with doubling pauses", async () => {
    const clock = new SteppedClock();
    const { work } = failing(3, soon);
    const result = retry(work, { clock, delayMs: 100, random: () => 1 }, never);
    await clock.run();
    await expect(result).resolves.toBe(4);
    expect(clock.now()).toBe(100 + 200 + 400);
  });

  it.each([
    ["never", 1],
    ["later", 1],
    ["elsewhere", 1],
    ["now", 5],
  ] as const)("makes the calls that advice %s allows: %d", async (advice, calls) => {
    const clock = new SteppedClock();
    const probe = failing(99, () => new CodedError("x", "boom", { retry: advice }));
    const result = retry(probe.work, { clock }, never).catch((error: Error) => error.message);
    await clock.run();
    expect(await result).toBe("boom");
    expect(probe.calls()).toBe(calls);
  });

  it("ends promptly when the signal aborts in a pause", async () => {
    const clock = new SteppedClock();
    const stop = new AbortController();
    const probe = failing(99, soon);
    const result = retry(probe.work, { clock, random: () => 1 }, stop.signal).catch((error: Error) => error);
    await clock.settle();
    stop.abort(new Error("stopping"));
    expect(await result).toHaveProperty("message", "stopping");
    expect(probe.calls()).toBe(1);
  });
});

describe("backoffMs()", () => {
  it("never passes its bound, however many tries", () => {
    expect(backoffMs(60, { delayMs: 100, delayMaxMs: 5_000, random: () => 0.999 })).toBeLessThan(5_000);
  });
});
