import { expect, it } from "vitest";
import { memoryLogger } from "../common/log.ts";
import { followHostSettings } from "./host-settings.ts";
import { MemorySettings } from "./settings-memory.ts";

it("followHostSettings() applies the host's network for each change of it, for no other, and not once it is disposed of", async () => {
  const settings = new MemorySettings();
  const { log, lines } = memoryLogger();
  let applied = 0;
  const applyHost = async () => {
    applied += 1;
    if (applied === 2) throw new Error("busy");
  };
  const following = followHostSettings({ settings, applyHost, log });
  settings.set({ "ip-cooldown-period": "1" });
  expect(applied).toBe(0);
  settings.set({ "external-snat": "true" });
  settings.set({ "external-snat": "true", "max-eni": "2" });
  expect(applied).toBe(1);
  settings.set({ "external-snat": "true", "exclude-snat-cidrs": "10.0.0.0/8" });
  await Promise.resolve();
  expect(applied).toBe(2);
  await expect
    .poll(() => lines.map(({ msg }) => msg))
    .toEqual(["the host's network does not follow its settings yet"]);
  settings.set({});
  expect(applied).toBe(3);
  following[Symbol.dispose]();
  settings.set({ "external-snat": "true" });
  expect(applied).toBe(3);
});
