import { parseArgs } from "node:util";

/** What can be measured: the keys of the result. */
export const PARTS = [
  "add",
  "del",
  "delNetns",
  "burst",
  "forwarding",
  "memory",
  "restart",
  "writes",
] as const;
export type Part = (typeof PARTS)[number];

/** How much is measured. */
export type Options = {
  readonly parts: readonly Part[];
  readonly json: boolean;
  /** Rounds of ADD and DEL. */
  readonly pairs: number;
  /** Rounds of ADD where namespaces look for duplicate addresses, which takes the peer two seconds. */
  readonly dadRounds: number;
  /** Pods that are there, besides those measured: few, a usual node's limit, and a large one's. */
  readonly pods: readonly [few: number, usual: number, many: number];
  readonly bursts: number;
  readonly burstSize: number;
  readonly flowRounds: number;
  readonly flowSeconds: number;
  readonly churn: number;
  readonly restarts: number;
  /** Pods of a node that has nothing. */
  readonly coldPods: number;
};

export const USAGE = `npm run bench -- [--only NAME]... [--pairs N] [--quick] [--json]

  --only NAME   ${PARTS.join(", ")}
  --pairs N     rounds of ADD and DEL; default 200
  --quick       a little of everything, to see that it works; its figures say nothing
  --json        the result as JSON, in the last line
`;

const WHOLE = {
  dadRounds: 5,
  pods: [1, 110, 700],
  bursts: 4,
  burstSize: 100,
  flowRounds: 21,
  flowSeconds: 0.3,
  churn: 10_000,
  restarts: 5,
  coldPods: 100,
} as const;
const QUICK = {
  dadRounds: 1,
  pods: [1, 2, 3],
  bursts: 1,
  burstSize: 4,
  flowRounds: 1,
  flowSeconds: 0.05,
  churn: 40,
  restarts: 1,
  coldPods: 100,
} as const;

/** Throws RangeError with the usage. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = read(argv);
  const parts = PARTS.filter((part) => values.only === undefined || values.only.includes(part));
  const pairs = Number(values.pairs ?? (values.quick ? 2 : 200));
  const unknown = values.only?.find((name) => !(PARTS as readonly string[]).includes(name));
  if (unknown !== undefined) throw new RangeError(`--only ${unknown}: no such measurement\n${USAGE}`);
  if (!Number.isInteger(pairs) || pairs < 1)
    throw new RangeError(`--pairs ${values.pairs}: not a count\n${USAGE}`);
  return { ...(values.quick ? QUICK : WHOLE), parts, pairs, json: values.json };
}

function read(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        only: { type: "string", multiple: true },
        pairs: { type: "string" },
        quick: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    throw new RangeError(`${(error as Error).message}\n${USAGE}`, { cause: error });
  }
}
