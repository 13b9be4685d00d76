/** Writes what docs/simulator.md says of results: `npm run sim -- --docs --nodes 1000`. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { type CompareOptions, compare } from "./comparison.ts";
import { instanceType } from "./instance-types.ts";
import { plots } from "./plots.ts";
import { losses, markdownTable, RESULTS_HEAD, resultRows, sensitivityRows } from "./report.ts";
import { SCENARIOS, type ScenarioName } from "./scenarios.ts";
import { vary } from "./sensitivity.ts";

const PAGE = path.join(import.meta.dirname, "../../docs/simulator.md");
const TYPES = ["m5.large", "m5.4xlarge"] as const;
/** Those that we have targets for: their sensitivity is shown. */
const AIMED_AT: readonly ScenarioName[] = ["mass-scale-out", "deployment-roll"];
/** Enough to show the direction, and few enough to do it forty-four times. */
const SENSITIVITY_NODES = 50;
const BLOCK = /(<!-- simulated -->\n)[\s\S]*(<!-- \/simulated -->)/;

type DocsOptions = Pick<CompareOptions, "nodes" | "seed"> & Required<Pick<CompareOptions, "progress">>;

export async function writeDocs(options: DocsOptions): Promise<void> {
  const text = [await results(options), await sensitivities(options)].join("\n");
  const page = await readFile(PAGE, "utf8");
  await writeFile(
    PAGE,
    page.replace(BLOCK, (_, begin: string, end: string) => `${begin}\n${text}\n${end}`),
  );
}

async function results(options: DocsOptions): Promise<string> {
  const rows: (readonly string[])[] = [];
  const lost: string[] = [];
  for (const scenario of SCENARIOS) {
    for (const name of TYPES) {
      const { comparison, runs } = await compare({ ...options, scenario, type: instanceType(name) });
      rows.push(...resultRows(comparison));
      const where = losses(comparison);
      if (where.length > 0) lost.push(`- ${scenario}, ${name}: ${where.join("; ")}.`);
      if (AIMED_AT.includes(scenario) && name === TYPES[0])
        await writePlots(plots(`${scenario}, ${options.nodes} nodes, ${name}`, runs), scenario);
    }
  }
  const pictures = AIMED_AT.flatMap((scenario) =>
    ["waiting", "waste"].map((what) => `![${scenario}: ${what}](sim-${scenario}-${what}.svg)`),
  );
  return [
    `${options.nodes} nodes, seed ${options.seed}.\n`,
    markdownTable([RESULTS_HEAD, ...rows]),
    pictures.join("\n"),
    "",
    "### Where we lose\n",
    ...lost,
    "",
  ].join("\n");
}

async function writePlots(svgs: ReadonlyMap<string, string>, scenario: string): Promise<void> {
  for (const [name, svg] of svgs)
    await writeFile(path.join(path.dirname(PAGE), `sim-${scenario}-${name}.svg`), svg);
}

async function sensitivities({ seed, progress }: DocsOptions): Promise<string> {
  const parts: string[] = [
    "### When an assumption is wrong\n",
    `${SENSITIVITY_NODES} nodes, seed ${seed}. Ours divided by theirs.\n`,
  ];
  for (const scenario of AIMED_AT) {
    for (const name of TYPES) {
      const rows = await vary({
        scenario,
        nodes: SENSITIVITY_NODES,
        type: instanceType(name),
        seed,
        progress,
      });
      parts.push(`${scenario}, ${name}:\n`, markdownTable(sensitivityRows(rows)));
    }
  }
  return parts.join("\n");
}
