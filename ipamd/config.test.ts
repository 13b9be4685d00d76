import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readConfig } from "./config.ts";

const UNDO_MS = 5_000;

describe("CAUSEWAY_ADD_WAIT_MS", () => {
  it("leaves time for the answer before the plugin gives up", () => {
    const pluginMs = Number(/^#define ADD_MS (\d+)$/m.exec(readFileSync("cni/shim.c", "utf8"))?.[1]);
    const accepted = (ms: number) => readConfig({ CAUSEWAY_ADD_WAIT_MS: String(ms) }).addWaitMs;
    expect(accepted(pluginMs - UNDO_MS)).toBe(pluginMs - UNDO_MS);
    expect(() => accepted(pluginMs - UNDO_MS + 1)).toThrow("from 1000 to 85000");
    expect(readConfig({}).addWaitMs).toBeLessThanOrEqual(pluginMs - UNDO_MS);
  });

  it.each(["0", "999", "-1", "1e4", "90 s", "123456"])("refuses %s by name and value", (value) => {
    expect(() => readConfig({ CAUSEWAY_ADD_WAIT_MS: value })).toThrow(`CAUSEWAY_ADD_WAIT_MS=${value} is not`);
  });
});

describe("CAUSEWAY_CHAIN", () => {
  it.each([
    ["", ["portmap", "bandwidth"]],
    ["none", []],
    ["bandwidth", ["bandwidth"]],
    ["bandwidth, portmap", ["bandwidth", "portmap"]],
  ])("%j is %j", (value, chain) => {
    expect(readConfig({ CAUSEWAY_CHAIN: value }).chain).toEqual(chain);
  });

  it.each(["portmap,tuning", "portmap,portmap", "portmap,", "none,portmap"])(
    "refuses %s by name and value, and says what is accepted",
    (value) => {
      const words = `CAUSEWAY_CHAIN=${value} is not none, nor each at most once of portmap, bandwidth`;
      expect(() => readConfig({ CAUSEWAY_CHAIN: value })).toThrow(words);
    },
  );
});

describe("CAUSEWAY_PLUGIN_DIR", () => {
  it("is the runtime's by default, and refused when it is not absolute", () => {
    expect(readConfig({}).pluginDir).toBe("/opt/cni/bin");
    expect(() => readConfig({ CAUSEWAY_PLUGIN_DIR: "bin" })).toThrow(
      "CAUSEWAY_PLUGIN_DIR=bin is not an absolute path",
    );
  });
});
