import { describe, expect, it } from "vitest";
import { VirtualClock } from "./virtual-clock.ts";

/** A chain of so many promises, each made when the one before is done. */
async function chain(length: number): Promise<void> {
  for (let step = 0; step < length; step += 1) await Promise.resolve();
}

describe("VirtualClock", () => {
  it("wakes in the order of times, and at one time in the order of asking", async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    for (const [at, name] of [
      [30, "c"],
      [10, "a"],
      [30, "d"],
      [20, "b"],
    ] as const)
      clock.at(at, () => seen.push(`${name}@${clock.now()}`));
    await clock.run(1_000);
    expect(seen).toEqual(["a@10", "b@20", "c@30", "d@30"]);
    expect(clock.now()).toBe(1_000);
  });

  it("lets what a wake started go on until it waits for time, before the next wake", async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.at(1, () => void chain(500).then(() => seen.push("long chain")));
    clock.at(1, () => seen.push("next"));
    await clock.run(1);
    expect(seen).toEqual(["long chain", "next"]);
  });

  it("stops at the time it was told, and goes on from there", async () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    const again = () => {
      seen.push(clock.now());
      clock.after(10, again);
    };
    clock.after(10, again);
    await clock.run(25);
    expect(seen).toEqual([10, 20]);
    await clock.run(45);
    expect(seen).toEqual([10, 20, 30, 40]);
  });

  it("sleep() ends with the signal's reason, and its wake is gone", async () => {
    const clock = new VirtualClock();
    const gone = new AbortController();
    const slept = clock.sleep(1_000, gone.signal).catch((error: unknown) => error);
    clock.at(5, () => gone.abort(new Error("enough")));
    await clock.run(10);
    expect(await slept).toMatchObject({ message: "enough" });
    await expect(clock.sleep(1, gone.signal)).rejects.toThrow("enough");
  });

  it("run() rejects with what a callback throws, and with what fail() is given", async () => {
    const clock = new VirtualClock();
    clock.at(1, () => {
      throw new Error("thrown");
    });
    await expect(clock.run(10)).rejects.toThrow("thrown");
    clock.fail(new Error("told"));
    await expect(clock.run(20)).rejects.toThrow("told");
  });

  it("orders a hundred thousand wakes", async () => {
    const clock = new VirtualClock();
    let last = 0;
    let wakes = 0;
    for (let index = 0; index < 100_000; index += 1) {
      clock.at((index * 7_919) % 100_003, () => {
        expect(clock.now()).toBeGreaterThanOrEqual(last);
        last = clock.now();
        wakes += 1;
      });
    }
    await clock.run(200_000);
    expect(wakes).toBe(100_000);
  });
});
