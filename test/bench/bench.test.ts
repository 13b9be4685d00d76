import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { PARTS, parseOptions } from "./options.ts";

const RATIO = { ratio: expect.any(Number), ratioLow: expect.any(Number), ratioHigh: expect.any(Number) };
const COMPARED = { p50Ms: expect.any(Number), peerP50Ms: expect.any(Number), ...RATIO };

describe("npm run bench", () => {
  it("measures everything, prints a table, and with --json the result in the last line", () => {
    const argv = ["test/bench/main.ts", "--quick", "--pairs", "1", "--json"];
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/^bursts, 1 pods: 1 of 1$/m);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^ +causeway +peer +ratio/);
    const result = JSON.parse(lines.at(-1) ?? "") as Record<string, unknown>;
    expect(Object.keys(result).sort()).toEqual([...PARTS].sort());
    for (const part of ["add", "del", "delNetns", "burst"]) expect(result[part]).toMatchObject(COMPARED);
    expect(result.add).toMatchObject({ withDad: COMPARED });
    // the kernel waits for a second for somebody to object
    expect((result.add as { withDad: { peerP50Ms: number } }).withDad.peerP50Ms).toBeGreaterThan(900);
    expect(lines.filter((line) => line.startsWith("ADD, with duplicate address detection "))).toHaveLength(1);
    expect(result.forwarding).toMatchObject(RATIO);
    expect(result.memory).toMatchObject({ withPods: { residentMb: expect.any(Number) } });
    expect(result.restart).toMatchObject({ packetsLost: expect.any(Number) });
    const { writes } = result as { writes: Record<string, number> };
    expect(writes["m5.large"]).toBeLessThanOrEqual(2);
    // three interfaces of three calls each, one assignment, and one tag, which is one too many
    expect(writes["m5.4xlarge"]).toBeLessThanOrEqual(11);
    expect(lines.filter((line) => /^cloud writes for 100 pods, m5.*: (met|missed)$/.test(line))).toHaveLength(
      2,
    );
  }, 180_000);
});

describe("parseOptions()", () => {
  it("takes parts, pairs, and a quick form", () => {
    expect(parseOptions([])).toMatchObject({ parts: PARTS, pairs: 200, json: false });
    expect(parseOptions(["--only", "del", "--only", "add", "--pairs", "7"])).toMatchObject({
      parts: ["add", "del"],
      pairs: 7,
    });
    expect(parseOptions(["--quick"])).toMatchObject({ pairs: 2, burstSize: 4 });
  });

  it.each([
    [["--only", "ad"], "--only ad: no such measurement"],
    [["--pairs", "0"], "--pairs 0: not a count"],
    [["--fast"], "Unknown option '--fast'"],
  ])("refuses %j, with the usage", (argv, message) => {
    expect(() => parseOptions(argv)).toThrow(message);
    expect(() => parseOptions(argv)).toThrow("npm run bench -- ");
  });
});
