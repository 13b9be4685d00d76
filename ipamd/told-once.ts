/** Which failures are new: what is tried again and again fails again and again, and the log should say it once. No I/O. */
import type { Clock } from "../common/clock.ts";
import { CodedError } from "../common/errors.ts";

/** So that a log that was rotated away still says it. */
const AGAIN_AFTER_MS = 3_600_000;

export class ToldOnce {
  private readonly clock: Clock;
  private readonly told = new Map<string, { readonly kind: string; readonly at: number }>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** How to log that `doing` has failed: `warn` the first time, with each other kind of error, and every hour. */
  level(doing: string, error: unknown): "warn" | "debug" {
    const kind = error instanceof CodedError ? error.code : "unknown";
    const before = this.told.get(doing);
    const now = this.clock.now();
    if (before?.kind === kind && now - before.at < AGAIN_AFTER_MS) return "debug";
    this.told.set(doing, { kind, at: now });
    return "warn";
  }

  /** It works: the next failure is new. */
  works(doing: string): void {
    this.told.delete(doing);
  }
}
