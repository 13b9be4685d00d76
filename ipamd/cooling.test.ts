import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IpAddress } from "../common/ip.ts";
import { memoryLogger } from "../common/log.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { Cooling } from "./cooling.ts";

const [A, B] = [IpAddress.parse("10.0.0.1"), IpAddress.parse("10.0.0.2")];

let clock: SteppedClock;
let lines: ReturnType<typeof memoryLogger>["lines"];
let cooldownMs: number;
let isBroken: boolean;
let tries: number;
let free: string[];
let cooling: Cooling;
let stopping: AbortController;
let running: Promise<void>;

beforeEach(() => {
  clock = new SteppedClock();
  const logger = memoryLogger();
  lines = logger.lines;
  [cooldownMs, isBroken, tries, free] = [3_600_000, false, 0, []];
  stopping = new AbortController();
  cooling = new Cooling({
    clock,
    log: logger.log,
    cooldownMs: () => cooldownMs,
    forgetConnections: async () => {
      tries += 1;
      // so that a loop without a pause ends the test, not the machine
      if (tries > 1_000) await clock.sleep(3_600_000, stopping.signal);
      if (isBroken) throw new Error("worker gone");
    },
    setFree: (address) => void free.push(address.toString()),
    freed: () => undefined,
  });
  running = cooling.run(stopping.signal);
});

afterEach(async () => {
  stopping.abort();
  await clock.settle();
  await running;
});

describe("Cooling", () => {
  it("a shorter period counts within two seconds, also for what cools already", async () => {
    cooling.begin(A);
    await clock.advance(60_000);
    cooldownMs = 30_000;
    await clock.advance(2_000);
    expect(free).toEqual(["10.0.0.1"]);
  });

  it("an address that cools anew keeps none waiting that began before it", async () => {
    cooldownMs = 30_000;
    cooling.begin(A);
    await clock.advance(10_000);
    cooling.begin(B);
    await clock.advance(10_000);
    cooling.begin(A);
    await clock.advance(20_000);
    expect([free, cooling.list().map(String)]).toEqual([["10.0.0.2"], ["10.0.0.1"]]);
  });

  it("without a period, what fails is tried again with growing pauses, and told once until it works", async () => {
    [cooldownMs, isBroken] = [0, true];
    cooling.begin(A);
    await clock.advance(999);
    expect(tries).toBe(1);
    await clock.advance(600_000);
    expect([tries > 10, tries < 20, free]).toEqual([true, true, []]);
    expect(lines.filter(({ level }) => level === "warn")).toHaveLength(1);
    isBroken = false;
    await clock.advance(60_000);
    expect(free).toEqual(["10.0.0.1"]);
  });
});
