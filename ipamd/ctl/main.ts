#!/usr/bin/env node
/** `causewayctl`: what people run on a node. Looks at the host itself, so it needs no daemon. */
import { existsSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { parseArgs } from "node:util";
import { describeError } from "../../common/errors.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { ProgramXtables } from "../../common/kernel/xtables.ts";
import { hostBeforeFile, readConfig } from "../config.ts";
import { forgetHostBefore } from "../host-network/before.ts";
import { removeHostNetwork } from "../host-network/remove.ts";
import { isBare, readHostNetwork } from "./host-network-facts.ts";
import { describeHostNetwork } from "./host-network-text.ts";

const USAGE = `causewayctl host-network show [--json]
    What of Causeway is on this host, and why.

causewayctl host-network remove [--force] [--json]
    Takes all of it away and leaves the host as it was. Refused while the daemon runs, and while pods have leases:
    --force takes those pods' network too. May be repeated.

Reads CAUSEWAY_SOCKET and CAUSEWAY_CONFLIST_DIR as the daemon does. Needs root.
Exit code: 0 done, 1 failed, 2 wrong use, 3 refused.
`;

const EXIT = { done: 0, failed: 1, wrongUse: 2, refused: 3 } as const;
type Answer = { readonly code: number; readonly lines: readonly string[]; readonly json: object };
type Options = { readonly force: boolean };

/** Says why it is not done. */
function refused(reason: string, lines: readonly string[] = []): Answer {
  return { code: EXIT.refused, lines: [`refused: ${reason}`, ...lines], json: { refused: reason } };
}

async function show(): Promise<Answer> {
  const kernel = await openKernel();
  const facts = await readHostNetwork(kernel, new ProgramXtables(), hostBeforeFile(readConfig()));
  await kernel.close();
  const sections = describeHostNetwork(facts);
  const lines = sections.flatMap(({ title, why, lines: rows }) => [
    `${title}: ${why}`,
    ...rows.map((row) => `  ${row}`),
    "",
  ]);
  if (isBare(facts))
    return { code: EXIT.done, lines: ["nothing of causeway is on this host"], json: { sections } };
  return { code: EXIT.done, lines, json: { sections } };
}

async function remove({ force }: Options): Promise<Answer> {
  const config = readConfig();
  if (await answers(config.socketPath))
    return refused("the daemon runs, and would put everything back: stop it first");
  const kernel = await openKernel();
  const xtables = new ProgramXtables();
  const file = hostBeforeFile(config);
  const facts = await readHostNetwork(kernel, xtables, file);
  const leased = facts.pods.filter(({ record }) => record?.state === "ready");
  if (leased.length > 0 && !force) {
    await kernel.close();
    const names = describeHostNetwork(facts).find(({ title }) => title === "pods")?.lines ?? [];
    const reason = `${leased.length} pods have leases; drain the node, or use --force, which ends their network`;
    return refused(reason, names);
  }
  const removed = await removeHostNetwork({ kernel, xtables }, facts.before);
  await kernel.close();
  forgetHostBefore(file);
  const notes = [
    ...(facts.before === undefined && removed.length > 0
      ? ["kernel parameters stay as they are: there are no notes of what they were"]
      : []),
    ...conflistNote(config.conflistDir),
  ];
  return {
    code: EXIT.done,
    lines: [...removed, ...notes, summary(removed.length)],
    json: { removed, notes },
  };
}

function summary(count: number): string {
  return count === 0 ? "nothing of causeway was on this host" : `${count} things removed or put back`;
}

function conflistNote(folder: string | undefined): string[] {
  const file = path.join(folder ?? "", "10-causeway.conflist");
  if (folder === undefined || !existsSync(file)) return [];
  return [`${file} is still there: runtimes call causeway while it is`];
}

/** Somebody accepts connections there. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** Throws TypeError for what it does not know. */
function readArguments() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      force: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const command = { "host-network show": show, "host-network remove": remove }[positionals.join(" ")];
  if (command === undefined && !values.help)
    throw new TypeError(`unknown command: ${positionals.join(" ") || "none"}`);
  return { command, ...values };
}

async function main(): Promise<number> {
  let given: ReturnType<typeof readArguments>;
  try {
    given = readArguments();
  } catch (error) {
    process.stderr.write(`causewayctl: ${describeError(error)}\n\n${USAGE}`);
    return EXIT.wrongUse;
  }
  if (given.help || given.command === undefined) {
    process.stdout.write(USAGE);
    return EXIT.done;
  }
  const { code, lines, json } = await given.command(given);
  if (given.json) process.stdout.write(`${JSON.stringify(json)}\n`);
  else (code === EXIT.done ? process.stdout : process.stderr).write(`${lines.join("\n").trimEnd()}\n`);
  return code;
}

try {
  process.exit(await main());
} catch (error) {
  process.stderr.write(`causewayctl: ${describeError(error)}\n`);
  process.exit(EXIT.failed);
}
