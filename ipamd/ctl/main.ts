#!/usr/bin/env node
/** `causewayctl`: what people run on a node. Each command loads its own code. */
import { parseArgs } from "node:util";
import { describeError } from "../../common/errors.ts";
import { type Answer, EXIT, WrongUse } from "./answer.ts";

const USAGE = `causewayctl explain [--json]
    What the pool of this node holds, what it wants and why, who waits, and for what. Asks the daemon.

causewayctl max-pods --instance-type T [--address-unit single|block] [--max-eni N] [--json]
    How many pods instances of that type can have, by the cloud's limits, and what kubelet should be told. Asks the
    cloud of types that are not in the built-in table.

causewayctl host-network show [--json]
    What of Causeway is on this host, and why. Needs root.

causewayctl host-network remove [--force] [--json]
    Takes all of it away and leaves the host as it was. Refused while the daemon runs, and while pods have leases:
    --force takes those pods' network too. May be repeated. Needs root.

Reads the daemon's environment variables, such as CAUSEWAY_INSPECT and CAUSEWAY_SOCKET.
Exit code: 0 done, 1 failed, 2 wrong use, 3 refused.
`;

const OPTIONS = {
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
  force: { type: "boolean", default: false },
  "instance-type": { type: "string" },
  "address-unit": { type: "string" },
  "max-eni": { type: "string" },
} as const;

type Values = ReturnType<typeof parse>["values"];
type Command = {
  /** Beside --json and --help. */
  readonly takes: readonly (keyof typeof OPTIONS)[];
  readonly run: (values: Values) => Promise<Answer>;
};

const COMMANDS: Readonly<Record<string, Command>> = {
  explain: { takes: [], run: async () => (await import("./explain.ts")).explain() },
  "max-pods": {
    takes: ["instance-type", "address-unit", "max-eni"],
    run: async (values) => (await import("./max-pods.ts")).maxPods(values),
  },
  "host-network show": { takes: [], run: async () => (await import("./host-network.ts")).show() },
  "host-network remove": {
    takes: ["force"],
    run: async (values) => (await import("./host-network.ts")).remove(values),
  },
};

/** Throws TypeError for an option that no command has. */
function parse() {
  return parseArgs({ allowPositionals: true, options: OPTIONS, tokens: true });
}

/** Undefined: help is asked for. Throws TypeError for what the command does not know. */
function readArguments(): { readonly command: Command; readonly values: Values } | undefined {
  const { positionals, values, tokens } = parse();
  if (values.help) return undefined;
  const name = positionals.join(" ");
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new TypeError(`unknown command: ${name || "none"}`);
  for (const token of tokens)
    if (token.kind === "option" && !["json", ...command.takes].includes(token.name))
      throw new TypeError(`${name} takes no ${token.rawName}`);
  return { command, values };
}

async function main(): Promise<number> {
  let given: ReturnType<typeof readArguments>;
  try {
    given = readArguments();
  } catch (error) {
    process.stderr.write(`causewayctl: ${describeError(error)}\n\n${USAGE}`);
    return EXIT.wrongUse;
  }
  if (given === undefined) {
    process.stdout.write(USAGE);
    return EXIT.done;
  }
  const { command, values } = given;
  const { code, lines, json } = await command.run(values);
  if (values.json) process.stdout.write(`${JSON.stringify(json)}\n`);
  else (code === EXIT.done ? process.stdout : process.stderr).write(`${lines.join("\n").trimEnd()}\n`);
  return code;
}

try {
  process.exit(await main());
} catch (error) {
  process.stderr.write(`causewayctl: ${describeError(error)}\n`);
  process.exit(error instanceof WrongUse ? EXIT.wrongUse : EXIT.failed);
}
