import { expect, it } from "vitest";
import { SteppedClock } from "../common/stepped-clock.ts";
import { RecentLimit } from "./recent-limit.ts";

it("RecentLimit: what stood in the way a moment ago is still the reason while it is tried again, for a minute", async () => {
  const clock = new SteppedClock();
  let now: string | undefined = "subnet-a is full";
  const limit = new RecentLimit(clock, () => now);
  limit.note();
  now = undefined;
  await clock.advance(50_000);
  expect(limit.text).toBe("subnet-a is full");
  await clock.advance(20_000);
  expect(limit.text).toBeUndefined();
});
