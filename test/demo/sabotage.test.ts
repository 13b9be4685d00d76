import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCheck } from "./check.ts";
import { CHECKS, PACKET_CHECKS } from "./checks.ts";
import { applySabotage, SABOTAGES } from "./sabotage.ts";
import { buildWorld, type World } from "./world.ts";

const silent = { nodes: 2, pods: 8, progress: () => undefined };

async function failing(world: World): Promise<{ readonly names: string[]; readonly report: string }> {
  const results = [];
  for (const check of PACKET_CHECKS) results.push(await runCheck(check, world));
  const failed = results.filter(({ ok }) => !ok);
  const report = failed.map(
    ({ name, failures, refused }) => `${name}: ${failures.slice(0, 3).join("; ")} (${refused})`,
  );
  return { names: failed.map(({ name }) => name), report: report.join("\n") };
}

describe("the demo", () => {
  let world: World;
  beforeAll(async () => {
    world = await buildWorld(silent);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it.each(CHECKS)("holds: $name", async (check) => {
    const { ok, failures } = await runCheck(check, world);
    expect(ok, failures.join("\n")).toBe(true);
  });
});

describe("without one mechanism exactly its checks fail", () => {
  it.each(SABOTAGES)("$name", { timeout: 120_000 }, async (sabotage) => {
    await using world = await buildWorld(silent);
    applySabotage(world, sabotage);
    const { names, report } = await failing(world);
    expect(names, report).toEqual(sabotage.checks);
  });
});

it("every packet check is shown to fail by some sabotage, but the one that shows a refusal of the cloud", () => {
  const shown = new Set(SABOTAGES.flatMap(({ checks }) => checks));
  expect(PACKET_CHECKS.map(({ name }) => name).filter((name) => !shown.has(name))).toEqual([
    "internet-cannot-enter",
  ]);
});
