/** `npm start`: the project's main job on an embedded AWS, with checks that a mistake cannot pass. */
import { execFileSync } from "node:child_process";
import { type CheckResult, runCheck } from "./check.ts";
import { CHECKS, PACKET_CHECKS } from "./checks.ts";
import { type DemoOptions, parseOptions, USAGE } from "./options.ts";
import { daemonMemory, type Figures, median, printFigures, printResult, printTour } from "./report.ts";
import { applySabotage, findSabotage, SABOTAGES } from "./sabotage.ts";
import { buildWorld, type World } from "./world.ts";

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return print(USAGE);
  if (options.sabotage === "list")
    return print(SABOTAGES.map(({ name, mechanism }) => `${name.padEnd(22)} ${mechanism}\n`).join(""));
  const sabotage = options.sabotage === undefined ? undefined : findSabotage(options.sabotage);
  execFileSync(process.execPath, ["deploy/dev/bundle.ts"], { stdio: "inherit" });
  const startedAt = performance.now();
  console.log("Causeway on an embedded AWS\n");
  await using world = await buildWorld({ ...options, progress: (what) => console.log(`  ...  ${what}`) });
  console.log("");
  if (sabotage !== undefined) {
    console.log(`  taken away: ${sabotage.mechanism}\n`);
    applySabotage(world, sabotage);
  }
  const results: CheckResult[] = [];
  for (const check of sabotage === undefined ? CHECKS : PACKET_CHECKS) {
    const result = await runCheck(check, world);
    printResult(result, check);
    results.push(result);
  }
  const figures = sabotage === undefined ? await measure(world) : undefined;
  if (figures !== undefined) printFigures(figures);
  const failed = results.filter(({ ok }) => !ok);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`\n  ${results.length - failed.length} of ${results.length} checks hold (${seconds} s)`);
  if (options.keep) await keepUp(world);
  if (options.json) printJson(options, results, figures);
  return failed.length === 0 ? 0 : 1;
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

const MEASURED = 10;

/** The plugin's own time with a warm pool: DEL and ADD by turns, each time the pool has an address again. */
async function measure(world: World): Promise<Figures> {
  const [adds, dels]: [number[], number[]] = [[], []];
  for (const { node, pods } of world.nodes) {
    let last = pods.at(-1)?.pod;
    for (let round = 0; last !== undefined && round < MEASURED / world.nodes.length; round += 1) {
      dels.push((await node.runtime.del(last)).durationMs);
      await node.poolHasFree(1);
      last = await node.addPod(`measured-${node.name}-${round}`);
      adds.push(last.addMs);
    }
  }
  return { addMedianMs: median(adds), delMedianMs: median(dels), daemons: daemonMemory(world) };
}

async function keepUp(world: World): Promise<void> {
  printTour(world);
  await new Promise((resolve) => process.once("SIGINT", resolve));
}

function printJson(
  options: DemoOptions,
  results: readonly CheckResult[],
  figures: Figures | undefined,
): void {
  const failed = results.filter(({ ok }) => !ok).length;
  const checks = results.map(({ name, ok }) => ({ name, ok }));
  console.log(
    JSON.stringify({ cloud: "aws", nodes: options.nodes, pods: options.pods, checks, failed, ...figures }),
  );
}

/** Handles of a world that broke half way must not keep the process; its namespaces go with it. */
async function exitCode(): Promise<number> {
  try {
    return await main();
  } catch (error) {
    const isUsage =
      error instanceof RangeError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
    console.error(isUsage ? `${(error as Error).message}\n\n${USAGE}` : error);
    return 2;
  }
}

process.exit(await exitCode());
