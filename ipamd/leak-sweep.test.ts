import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { InterfaceId } from "../common/ids.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { CloudError } from "../providers/errors.ts";
import { memoryLog } from "../test/shim/daemon.ts";
import { sweepLeaks } from "./leak-sweep.ts";

const MINUTE_MS = 60_000;
const LEFT = "eni-left" as InterfaceId;

let clock: SteppedClock;
let lines: Record<string, unknown>[];
let stop: AbortController;
let ended: Promise<void>;
/** Of each look, in minutes since the start. */
let looks: number[];
let answer: () => readonly InterfaceId[];
let mayRemove: boolean;

function start(random: number): void {
  const { log, lines: written } = memoryLog();
  lines = written;
  const network = {
    removeLeaks: async () => {
      looks.push(clock.now() / MINUTE_MS);
      return answer();
    },
  };
  ended = sweepLeaks({ network, mayRemove: () => mayRemove, clock, log, random: () => random }, stop.signal);
}

const broken = () => {
  throw new CloudError("unavailable", "the cloud is away", { operation: "removeLeaks" });
};

beforeEach(() => {
  [clock, stop, looks, answer, mayRemove] = [new SteppedClock(), new AbortController(), [], () => [], true];
});
afterEach(async () => {
  stop.abort();
  await ended;
});

describe("sweepLeaks()", () => {
  it.each([
    [0, [0, 45, 90, 135, 180]],
    [0.5, [2.5, 62.5, 122.5, 182.5]],
    [0.8, [4, 73, 142]],
  ])("looks within five minutes, and then every hour or so, as chance has it (%d)", async (random, times) => {
    start(random);
    await clock.advance(185 * MINUTE_MS);
    expect(looks.map((at) => Math.round(at * 10) / 10)).toEqual(times);
  });

  it("tells what was deleted, and nothing when there was nothing", async () => {
    start(0.5);
    await clock.advance(30 * MINUTE_MS);
    expect(lines).toEqual([]);
    answer = () => [LEFT];
    await clock.advance(60 * MINUTE_MS);
    expect(lines).toMatchObject([{ interfaceIds: [LEFT] }]);
  });

  it("tells a fault once until it works again", async () => {
    start(0.5);
    answer = broken;
    await clock.advance(300 * MINUTE_MS);
    expect([looks.length, lines.length]).toEqual([5, 1]);
    answer = () => [];
    await clock.advance(60 * MINUTE_MS);
    answer = broken;
    await clock.advance(60 * MINUTE_MS);
    expect(lines).toHaveLength(2);
  });

  it("deletes nothing while the brake is on", async () => {
    mayRemove = false;
    start(0.5);
    await clock.advance(300 * MINUTE_MS);
    expect(looks).toEqual([]);
    mayRemove = true;
    await clock.advance(60 * MINUTE_MS);
    expect(looks).toHaveLength(1);
  });

  it("ends with its signal", async () => {
    start(0.5);
    await clock.advance(MINUTE_MS);
    stop.abort();
    await ended;
    await clock.advance(300 * MINUTE_MS);
    expect(looks).toEqual([]);
  });
});
