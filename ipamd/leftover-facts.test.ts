import { expect, it } from "vitest";
import { SteppedClock } from "../common/stepped-clock.ts";
import { reportLeftovers } from "./leftover-facts.ts";
import type { Problem } from "./problems.ts";

it("reportLeftovers() no longer tells of what an operator has removed, within five minutes", async () => {
  const [clock, stopping] = [new SteppedClock(), new AbortController()];
  const problem: Problem = { code: "other-cni", severity: "warning", sentence: "rules of another" };
  let left = [problem];
  const told: (readonly Problem[])[] = [];
  const board = { report: (_source: string, problems: readonly Problem[]) => told.push(problems) };
  const running = reportLeftovers(async () => left, board, clock, stopping.signal);
  await clock.settle();
  expect(told).toEqual([[problem]]);
  left = [];
  await clock.advance(300_000);
  expect(told).toEqual([[problem], []]);
  stopping.abort();
  await running;
});
