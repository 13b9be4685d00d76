import { describe, expect, it } from "vitest";
import { SteppedClock } from "../common/stepped-clock.ts";
import { TokenBucket } from "./token-bucket.ts";

const never = new AbortController().signal;

/** When a taker's turn comes, in milliseconds from now. */
async function turn(bucket: TokenBucket, clock: SteppedClock): Promise<number> {
  const from = clock.now();
  let at: number | undefined;
  void bucket.take(never).then(() => {
    at = clock.now() - from;
  });
  await clock.settle();
  for (let step = 0; at === undefined && step < 400; step += 1) await clock.advance(100);
  return at ?? Number.NaN;
}

describe("TokenBucket", () => {
  it("makes callers wait longer after each refusal in a row, and no longer than a bound", async () => {
    const clock = new SteppedClock();
    const bucket = new TokenBucket({ burst: 10, perSecond: 1 }, clock);
    const waits: number[] = [];
    for (let count = 0; count < 7; count += 1) {
      bucket.refused();
      waits.push(await turn(bucket, clock));
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
  });

  it("begins anew with the shortest wait after one was let through", async () => {
    const clock = new SteppedClock();
    const bucket = new TokenBucket({ burst: 10, perSecond: 1 }, clock);
    for (let count = 0; count < 4; count += 1) bucket.refused();
    await turn(bucket, clock);
    bucket.admitted();
    bucket.refused();
    expect(await turn(bucket, clock)).toBe(1_000);
  });

  it("spreads waits by its jitter, never below the rate", async () => {
    const clock = new SteppedClock();
    const waits: number[] = [];
    for (let count = 0; count < 20; count += 1) {
      const bucket = new TokenBucket({ burst: 1, perSecond: 1 }, clock, 0.5);
      await bucket.take(never);
      waits.push(await turn(bucket, clock));
    }
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(1_000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1_500);
    expect(new Set(waits).size).toBeGreaterThan(1);
  });
});
