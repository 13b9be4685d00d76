import { expect, it } from "vitest";
import { SteppedClock } from "../common/stepped-clock.ts";
import { CloudError } from "../providers/errors.ts";
import { ToldOnce } from "./told-once.ts";

const throttled = new CloudError("throttled", "slow down", { operation: "A" });

it("ToldOnce: a failure is new once, with each other kind of error, after a success and after an hour", async () => {
  const clock = new SteppedClock();
  const told = new ToldOnce(clock);
  const levels = () => [told.level("assign", throttled), told.level("assign", throttled)];
  expect(levels()).toEqual(["warn", "debug"]);
  expect(told.level("create", throttled)).toBe("warn");
  expect(told.level("assign", new Error("odd"))).toBe("warn");
  expect(levels()).toEqual(["warn", "debug"]);
  told.works("assign");
  expect(levels()).toEqual(["warn", "debug"]);
  await clock.advance(3_600_000);
  expect(levels()).toEqual(["warn", "debug"]);
});
