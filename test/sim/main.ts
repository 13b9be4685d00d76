/** `npm run sim`: a fleet of nodes in virtual time, ours beside amazon-vpc-cni. docs/simulator.md. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { compare, type Runs } from "./comparison.ts";
import { writeDocs } from "./docs.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { plots } from "./plots.ts";
import { comparisonText, sensitivityText } from "./report.ts";
import { vary } from "./sensitivity.ts";

/** Long runs say where they are, at most this often. */
const PROGRESS_EVERY_MS = 2_000;

async function main(options: Options): Promise<void> {
  if (options.docs) {
    await writeDocs({ ...options, progress: progressBar() });
    return;
  }
  if (options.sensitivity) {
    process.stdout.write(sensitivityText(await vary({ ...options, progress: progressBar() })));
    return;
  }
  const { comparison, runs } = await compare({ ...options, progress: progressBar() });
  process.stdout.write(comparisonText(comparison, runs));
  if (options.plots !== undefined) await writePlots(options, options.plots, runs);
  if (options.json) process.stdout.write(`${JSON.stringify(comparison)}\n`);
}

async function writePlots({ scenario, nodes, type }: Options, folder: string, runs: Runs): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, svg] of plots(`${scenario}, ${nodes} nodes, ${type.name}`, runs))
    await writeFile(path.join(folder, `sim-${scenario}-${type.name}-${name}.svg`), svg);
}

/** On standard error, so that standard output is the same for the same seed. */
function progressBar(): (strategy: string, atMs: number, endMs: number) => void {
  let shownAt = performance.now();
  return (strategy, atMs, endMs) => {
    if (performance.now() - shownAt < PROGRESS_EVERY_MS) return;
    shownAt = performance.now();
    const minutes = (ms: number) => (ms / 60_000).toFixed(1);
    process.stderr.write(`${strategy}: minute ${minutes(atMs)} of ${minutes(endMs)}\n`);
  };
}

function optionsOrUsage(): Options | undefined {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

const options = optionsOrUsage();
if (options !== undefined) await main(options);
