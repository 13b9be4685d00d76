/**
 * Looks for interfaces that crashes left in the cloud, and deletes those that are surely nobody's (which the provider judges): once soon after the
 * start, then every hour. All nodes share the account, so none asks at the moment of another.
 */
import type { Clock } from "../common/clock.ts";
import type { Logger } from "../common/log.ts";
import type { CloudNetwork } from "../providers/provider.ts";

const FIRST_MAX_MS = 300_000;
const EVERY_MS = 3_600_000;

export type LeakSweepDeps = {
  readonly network: Pick<CloudNetwork, "removeLeaks">;
  /** False while an operator's brake keeps us from deleting. */
  readonly mayRemove: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
};

/** Until the signal aborts. A fault is logged once until it works again. Resolves, never rejects. */
export async function sweepLeaks(deps: LeakSweepDeps, signal: AbortSignal): Promise<void> {
  const { clock, random, mayRemove } = deps;
  let failing = false;
  let pauseMs = FIRST_MAX_MS * random();
  while (!signal.aborted) {
    await clock.sleep(pauseMs, signal).catch(() => undefined);
    if (!signal.aborted && mayRemove()) failing = await sweep(deps, failing, signal);
    pauseMs = EVERY_MS * (0.75 + random() / 2);
  }
}

/** True when it failed. */
async function sweep(
  { network, log }: LeakSweepDeps,
  failing: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const interfaceIds = await network.removeLeaks(signal);
    if (interfaceIds.length > 0) log.info({ interfaceIds }, "interfaces deleted that a crash had left");
    return false;
  } catch (err) {
    if (!failing && !signal.aborted)
      log.warn({ err }, "interfaces that crashes left could not be looked for");
    return true;
  }
}
