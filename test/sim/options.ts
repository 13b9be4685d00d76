import { parseArgs } from "node:util";
import { INSTANCE_TYPES, type InstanceType, instanceType } from "./instance-types.ts";
import { SCENARIOS, type ScenarioName } from "./scenarios.ts";

export type Options = {
  readonly scenario: ScenarioName;
  readonly nodes: number;
  readonly type: InstanceType;
  readonly seed: number;
  readonly json: boolean;
  /** Each assumption halved and doubled, in place of one comparison. */
  readonly sensitivity: boolean;
  /** Writes the results in docs/simulator.md, in place of one comparison. */
  readonly docs: boolean;
  /** A folder to write plots to. */
  readonly plots: string | undefined;
};

export const USAGE = `npm run sim -- [--scenario S] [--nodes N] [--instance-type T] [--seed N] [--json] [--sensitivity] [--plots DIR] [--docs]
  scenarios: ${SCENARIOS.join(", ")}
  instance types: ${Object.keys(INSTANCE_TYPES).join(", ")}
`;

const NODES_MAX = 20_000;

/** Throws RangeError or TypeError with what is wrong. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      scenario: { type: "string", default: "mass-scale-out" },
      nodes: { type: "string", default: "100" },
      "instance-type": { type: "string", default: "m5.large" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
      sensitivity: { type: "boolean", default: false },
      docs: { type: "boolean", default: false },
      plots: { type: "string" },
    },
  });
  const scenario = SCENARIOS.find((name) => name === values.scenario);
  if (scenario === undefined)
    throw new RangeError(`--scenario ${values.scenario}: one of ${SCENARIOS.join(", ")}`);
  return {
    scenario,
    type: instanceType(values["instance-type"]),
    nodes: wholeNumber("--nodes", values.nodes, 1, NODES_MAX),
    seed: wholeNumber("--seed", values.seed, 0, 2 ** 31),
    json: values.json,
    sensitivity: values.sensitivity,
    docs: values.docs,
    plots: values.plots,
  };
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new RangeError(`${name} ${text}: a whole number from ${min} to ${max}`);
}
