import { parseArgs } from "node:util";

export type DemoOptions = {
  readonly nodes: number;
  readonly pods: number;
  readonly json: boolean;
  readonly keep: boolean;
  readonly help: boolean;
  /** Name of a sabotage, `list`, or none. */
  readonly sabotage: string | undefined;
};

export const USAGE = `npm start -- [options]

  --nodes N        nodes, 1 to 6 (default 2), in two zones by turns
  --pods N         pods in all, 2 per node to 9 per node (default 8)
  --sabotage NAME  take one mechanism away before the checks run; "list" names them
  --json           one JSON object as the last line
  --keep           leave everything up until Ctrl-C, and say how to look around
  --help           this text
`;

/** Throws RangeError naming the option, the value and what is accepted. */
export function parseOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      nodes: { type: "string", default: "2" },
      pods: { type: "string", default: "8" },
      json: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
      sabotage: { type: "string" },
    },
  });
  const nodes = wholeNumber("--nodes", values.nodes, 1, 6);
  const pods = wholeNumber("--pods", values.pods, 2 * nodes, 9 * nodes);
  return { nodes, pods, json: values.json, keep: values.keep, help: values.help, sabotage: values.sabotage };
}

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${option} ${text}: accepted is a whole number from ${min} to ${max}`);
  }
  return value;
}
