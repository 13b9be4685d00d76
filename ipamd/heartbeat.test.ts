import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../common/clock.ts";
import { memoryLog, temporaryFolder } from "../test/shim/daemon.ts";
import { until } from "../test/shim/waiting.ts";
import { keepHeartbeat } from "./heartbeat.ts";

function ageMs(path: string): number {
  return Math.abs(Date.now() - statSync(path).mtimeMs);
}

describe("keepHeartbeat()", () => {
  it("makes the file at once, refreshes it, and leaves it when it ends", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "alive");
    const stop = new AbortController();
    const ended = keepHeartbeat(
      { path, clock: systemClock, log: memoryLog().log, intervalMs: 10 },
      stop.signal,
    );
    expect(statSync(path).mode & 0o777).toBe(0o600);
    utimesSync(path, 1, 1);
    await until("it is refreshed", () => ageMs(path) < 5000);
    stop.abort();
    await ended;
    expect(ageMs(path)).toBeLessThan(5000);
  });

  it("aws-92: a new file takes the place of one that an earlier daemon left, which is not written to", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "alive");
    writeFileSync(path, "");
    utimesSync(path, 1, 1);
    const before = openSync(path, "r");
    const stop = new AbortController();
    const ended = keepHeartbeat({ path, clock: systemClock, log: memoryLog().log }, stop.signal);
    expect(statSync(path).ino).not.toBe(fstatSync(before).ino);
    expect(fstatSync(before).mtimeMs).toBe(1000);
    expect(readdirSync(folder.path)).toEqual(["alive"]);
    closeSync(before);
    stop.abort();
    await ended;
  });

  it("refreshes a file that an earlier daemon left", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "alive");
    writeFileSync(path, "");
    utimesSync(path, 1, 1);
    const stop = new AbortController();
    const ended = keepHeartbeat({ path, clock: systemClock, log: memoryLog().log }, stop.signal);
    expect(ageMs(path)).toBeLessThan(5000);
    stop.abort();
    await ended;
  });

  it("says once that it cannot write, and goes on when it can", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "alive");
    mkdirSync(path);
    const { log, lines } = memoryLog();
    let sleeps = 0;
    const clock = {
      ...systemClock,
      sleep: async (_ms: number, signal?: AbortSignal) => {
        sleeps += 1;
        await systemClock.sleep(1, signal);
      },
    };
    const stop = new AbortController();
    const ended = keepHeartbeat({ path, clock, log }, stop.signal);
    await until("it has tried three times", () => sleeps >= 3);
    rmdirSync(path);
    await until("the file is there", () => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
    stop.abort();
    await ended;
    expect(lines).toHaveLength(1);
  });
});
