/** `causewayctl host-network`: looks at the host itself, so it needs no daemon. */
import { existsSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { ProgramXtables } from "../../common/kernel/xtables.ts";
import { hostBeforeFile, readConfig } from "../config.ts";
import { forgetHostBefore } from "../host-network/before.ts";
import { removeHostNetwork } from "../host-network/remove.ts";
import { type Answer, EXIT } from "./answer.ts";
import { isBare, readHostNetwork } from "./host-network-facts.ts";
import { describeHostNetwork } from "./host-network-text.ts";

/** Says why it is not done. */
function refused(reason: string, lines: readonly string[] = []): Answer {
  return { code: EXIT.refused, lines: [`refused: ${reason}`, ...lines], json: { refused: reason } };
}

/** What of ours is on this host, and why. Changes nothing. */
export async function show(): Promise<Answer> {
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

/** Takes it away. Refused while a daemon runs, and, unless forced, while pods have leases. Repeatable. */
export async function remove({ force }: { readonly force: boolean }): Promise<Answer> {
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
