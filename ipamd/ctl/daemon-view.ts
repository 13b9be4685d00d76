import { describeError } from "../../common/errors.ts";
import type { Config } from "../config.ts";
import type { PoolView } from "../pool-view.ts";

/** On loopback, a daemon that lives answers in milliseconds. */
const DEADLINE_MS = 5_000;

/** The daemon's `/pool`. Throws Error of one line when nobody answers there, or somebody else. */
export async function readPoolView({ host, port }: Config["inspect"]): Promise<PoolView> {
  const at = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const text = await readPage(at);
  const view = parsed(text);
  if (typeof view !== "object" || view === null || !("uplinks" in view) || !("settings" in view))
    throw new Error(
      `what answers at ${at} is not a causeway daemon of this version; is CAUSEWAY_INSPECT right?`,
    );
  return view as PoolView;
}

async function readPage(at: string): Promise<string> {
  try {
    const answer = await fetch(`http://${at}/pool`, { signal: AbortSignal.timeout(DEADLINE_MS) });
    return await answer.text();
  } catch (error) {
    throw new Error(
      `no causeway daemon answers at ${at} (${describeError(error)}); is it running, and CAUSEWAY_INSPECT the same for both?`,
    );
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
