import { describe, expect, it } from "vitest";
import { KeyedLock } from "./keyed-lock.ts";

describe("KeyedLock.run()", () => {
  it("runs holders of one key in order and of two keys side by side", async () => {
    const lock = new KeyedLock();
    const seen: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = lock.run("a", async () => {
      await gate.promise;
      seen.push("a1");
    });
    const second = lock.run("a", () => seen.push("a2"));
    await lock.run("b", () => seen.push("b"));
    gate.resolve();
    await Promise.all([first, second]);
    expect(seen).toEqual(["b", "a1", "a2"]);
    await expect.poll(() => lock.isBusy("a")).toBe(false);
  });

  it("keeps the key for its holder when the last who waits gives up", async () => {
    const lock = new KeyedLock();
    const gate = Promise.withResolvers<void>();
    const seen: string[] = [];
    const holder = lock.run("a", async () => {
      await gate.promise;
      seen.push("holder");
    });
    const giveUp = new AbortController();
    const abandoned = lock.run("a", () => undefined, giveUp.signal);
    giveUp.abort(new Error("gone"));
    await expect(abandoned).rejects.toThrow("gone");
    const next = lock.run("a", () => seen.push("next"));
    gate.resolve();
    await Promise.all([holder, next]);
    expect(seen).toEqual(["holder", "next"]);
  });

  it("passes the key on after a failure and after an abandoned wait", async () => {
    const lock = new KeyedLock();
    const gate = Promise.withResolvers<void>();
    const failing = lock.run("a", async () => {
      await gate.promise;
      throw new Error("boom");
    });
    const giveUp = new AbortController();
    let ran = false;
    const abandoned = lock.run("a", () => (ran = true), giveUp.signal);
    const last = lock.run("a", () => "served");
    giveUp.abort(new Error("gone"));
    await expect(abandoned).rejects.toThrow("gone");
    gate.resolve();
    await expect(failing).rejects.toThrow("boom");
    await expect(last).resolves.toBe("served");
    expect(ran).toBe(false);
  });
});
