/** Request rate limiting: a token bucket for each API of the account (EC2 Developer Guide, "Request throttling"). */
import type { Timers } from "./model/timers.ts";

export type Bucket = { readonly size: number; readonly perSecond: number };

/** Describe calls, and those that change something. */
export type RateLimits = { readonly reads: Bucket; readonly writes: Bucket };

/** What an account starts with. */
export const EC2_RATE_LIMITS: RateLimits = {
  reads: { size: 100, perSecond: 20 },
  writes: { size: 50, perSecond: 5 },
};

type Level = { tokens: number; at: number };

export class RateLimiter {
  private readonly levels = new Map<string, Level>();
  private readonly limits: RateLimits | undefined;
  private readonly timers: Timers;

  /** Without limits everything is admitted. */
  constructor(limits: RateLimits | undefined, timers: Timers) {
    this.limits = limits;
    this.timers = timers;
  }

  /** Takes a token of the action's bucket; false when there is none. */
  admit(action: string): boolean {
    if (this.limits === undefined) return true;
    const { size, perSecond } = action.startsWith("Describe") ? this.limits.reads : this.limits.writes;
    const now = this.timers.now();
    const level = this.levels.get(action) ?? { tokens: size, at: now };
    level.tokens = Math.min(size, level.tokens + ((now - level.at) / 1000) * perSecond);
    level.at = now;
    this.levels.set(action, level);
    if (level.tokens < 1) return false;
    level.tokens -= 1;
    return true;
  }
}
