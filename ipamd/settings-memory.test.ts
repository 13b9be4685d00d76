import { expect, it } from "vitest";
import { MemorySettings } from "./settings-memory.ts";

it("MemorySettings refuses what is wrong, and keeps what is read at start", () => {
  const settings = new MemorySettings({ "max-eni": "3" });
  expect(() => settings.set({ "max-eni": "0" })).toThrow('max-eni="0": accepted');
  expect(settings.current.pool.maxEni).toBe(3);
  settings.set({ "ip-families": "ipv6" });
  expect(settings.current.families).toEqual([4]);
  expect(() => new MemorySettings({ odd: "1" })).toThrow("unknown setting odd");
});
