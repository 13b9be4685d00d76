import type { Clock } from "../common/clock.ts";

/** Longer than a runtime keeps a call waiting or a plugin lives, so that no call comes whose order is forgotten. */
const REMEMBERED_MS = 10 * 60_000;
/** About two megabytes. Reached only by a thousand pods a minute, for as long as they are remembered. */
const REMEMBERED_MAX = 10_000;

type Remembered = { readonly add: number; readonly del: number; readonly until: number };

/**
 * When the last ADD and the last DEL of each attachment began, as their plugins say: calls arrive in another order than they were made in.
 * Forgotten 10 minutes after the last call of the attachment, the oldest first when there are too many.
 */
export class CallOrder {
  /** In order of `until`, as each note goes to the end. */
  private readonly remembered = new Map<string, Remembered>();
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** An ADD that has succeeded. */
  noteAdd(key: string, startedAt: number): void {
    this.note(key, { add: Math.max(this.lastAdd(key), startedAt), del: this.lastDel(key) });
  }

  /** A DEL, whatever comes of it. */
  noteDel(key: string, startedAt: number): void {
    this.note(key, { add: this.lastAdd(key), del: Math.max(this.lastDel(key), startedAt) });
  }

  /** -Infinity when none is remembered. */
  lastAdd(key: string): number {
    return this.remembered.get(key)?.add ?? -Infinity;
  }

  /** As lastAdd(). */
  lastDel(key: string): number {
    return this.remembered.get(key)?.del ?? -Infinity;
  }

  /** Attachments that are remembered. */
  get size(): number {
    return this.remembered.size;
  }

  private note(key: string, { add, del }: Omit<Remembered, "until">): void {
    const now = this.clock.now();
    this.remembered.delete(key);
    this.remembered.set(key, { add, del, until: now + REMEMBERED_MS });
    for (const [old, { until }] of this.remembered) {
      if (until > now && this.remembered.size <= REMEMBERED_MAX) break;
      this.remembered.delete(old);
    }
  }
}
