/** `npm run bench`: what this project costs, beside the reference plugins and beside the least that the kernel asks. docs/performance.md. */
import { availableParallelism } from "node:os";
import { systemClock } from "../../common/clock.ts";
import { Lab } from "./lab.ts";
import type { ComparedToFloor } from "./operations.ts";
import { type Options, parseOptions } from "./options.ts";
import { progressOn } from "./progress.ts";
import { printTable, type Results, type WithVariants } from "./report.ts";
import { World } from "./world.ts";

const OPERATIONS = ["add", "del", "delNetns"] as const;

async function measure(lab: Lab, { parts, pods }: Options): Promise<Results> {
  const results: Results = {};
  const wanted = new Set<string>(parts);
  // memory first: its node is idle then, and the machine too
  if (wanted.has("memory")) results.memory = await lab.memory();
  if (OPERATIONS.some((name) => wanted.has(name))) Object.assign(results, await operations(lab, parts, pods));
  if (results.add !== undefined) results.add = { ...results.add, withDad: await lab.addsWithDad(pods[0]) };
  if (wanted.has("burst")) results.burst = await variants(pods, (count) => lab.burst(count));
  if (wanted.has("forwarding")) results.forwarding = await lab.forwarding();
  if (wanted.has("restart")) results.restart = await lab.restart();
  if (wanted.has("writes")) results.writes = await lab.writes();
  return results;
}

async function operations(lab: Lab, parts: Options["parts"], pods: Options["pods"]): Promise<Results> {
  const measured = await variants(pods, (count) => lab.operations(count));
  const ipv4 = await lab.operations(pods[0], [4]);
  return Object.fromEntries(
    OPERATIONS.filter((name) => parts.includes(name)).map((name) => {
      const byPods = Object.entries(measured.pods).map(([count, one]) => [count, one[name]] as const);
      const result: WithVariants<ComparedToFloor> = {
        ...measured[name],
        pods: Object.fromEntries(byPods),
        ipv4: ipv4[name],
      };
      return [name, result];
    }),
  );
}

async function variants<T>(
  pods: Options["pods"],
  one: (count: number) => Promise<T>,
): Promise<WithVariants<T>> {
  const byPods: Record<string, T> = {};
  for (const count of pods) byPods[count] = await one(count);
  return { ...(byPods[pods[0]] as T), pods: byPods };
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  const showProgress = progressOn(process.stderr, systemClock);
  await using world = await World.build();
  const results = await measure(new Lab(world, options, showProgress), options);
  showProgress("");
  process.stdout.write(printTable(results, availableParallelism()));
  if (options.json) process.stdout.write(`${JSON.stringify(results)}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof RangeError ? error.message : (error as Error).stack}\n`);
  process.exitCode = 1;
}
