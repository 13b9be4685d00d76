import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../common/clock.ts";
import type { Logger } from "../common/log.ts";
import { backoffMs } from "../common/retry.ts";
import { waitFor } from "../common/wait-for.ts";

export type DyingLinksOptions = {
  /** Removes every link of the dying group; resolves when they are gone. */
  readonly removeGroup: () => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Logger;
  /** No removal is tried again once it aborts; what is left, the next daemon removes. */
  readonly stopping: AbortSignal;
};

/** Pauses after removals that failed; common/retry.ts. */
const PAUSES = { delayMs: 200, delayMaxMs: 30_000 } as const;

/**
 * Pod links that have been put into the dying group: removed behind the answer of their DEL, those of one moment together, and tried again
 * until they are gone.
 */
export class DyingLinks {
  private readonly options: DyingLinksOptions;
  private readonly waiting = new Map<string, PromiseWithResolvers<void>>();
  private sweeping = false;

  constructor(options: DyingLinksOptions) {
    this.options = options;
  }

  /** A link is in the group now: the group is removed soon. Repeatable. */
  add(linkName: string): void {
    if (!this.waiting.has(linkName)) this.waiting.set(linkName, Promise.withResolvers());
    if (this.sweeping) return;
    this.sweeping = true;
    void this.sweep();
  }

  /** Resolves when no link of that name waits for its removal. Throws the signal's reason when that comes first. */
  async gone(linkName: string, signal?: AbortSignal): Promise<void> {
    const waiting = this.waiting.get(linkName);
    if (waiting !== undefined) await waitFor(waiting.promise, signal);
  }

  /** Waits for every link that waits for its removal now. False when there is none. Throws the signal's reason when that comes first. */
  async allGone(signal?: AbortSignal): Promise<boolean> {
    const waiting = [...this.waiting.values()].map(({ promise }) => promise);
    if (waiting.length > 0) await waitFor(Promise.all(waiting), signal);
    return waiting.length > 0;
  }

  /** Never rejects. */
  private async sweep(): Promise<void> {
    const { clock, stopping } = this.options;
    await turn(); // behind the answer of the DEL; the other links of this moment go with the same message
    for (let failures = 0; this.waiting.size > 0 && !stopping.aborted; ) {
      failures = (await this.removeAll(failures)) ? 0 : failures + 1;
      if (failures > 0) await clock.sleep(backoffMs(failures, PAUSES), stopping).catch(() => undefined);
    }
    this.sweeping = false;
  }

  /** False when it failed. A row of failures is told once, and its end. */
  private async removeAll(failures: number): Promise<boolean> {
    const { removeGroup, log, stopping } = this.options;
    const links = [...this.waiting.keys()];
    try {
      await removeGroup();
    } catch (err) {
      if (failures === 0 && !stopping.aborted)
        log.warn({ err, links }, "dying pod links not removed; tried again until they are");
      return false;
    }
    if (failures > 0) log.info({ links, failures }, "dying pod links removed after all");
    for (const link of links) {
      this.waiting.get(link)?.resolve();
      this.waiting.delete(link);
    }
    return true;
  }
}
