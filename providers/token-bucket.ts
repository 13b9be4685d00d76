import type { Clock } from "../common/clock.ts";

export type Rate = {
  /** Calls that may start at once after a rest. */
  readonly burst: number;
  /** Calls a second in the long run. */
  readonly perSecond: number;
};

/** The longest debt that refusals make, in tokens: what a node waits is this much, over its rate. */
const DEBT_MAX = 16;

/** Tokens may go below zero: who finds none takes a place in the queue by taking one from the future. */
export class TokenBucket {
  private readonly rate: Rate;
  private readonly clock: Clock;
  /** By how much of itself a wait may be longer, at random: nodes that began together do not go on together. */
  private readonly jitter: number;
  private tokens: number;
  private filledAt: number;
  private refusals = 0;

  constructor(rate: Rate, clock: Clock, jitter = 0) {
    this.rate = rate;
    this.clock = clock;
    this.jitter = jitter;
    this.tokens = rate.burst;
    this.filledAt = clock.now();
  }

  /** Resolves when it is this caller's turn. An abandoned wait gives its token back. */
  async take(signal: AbortSignal): Promise<void> {
    this.refill();
    this.tokens -= 1;
    if (this.tokens >= 0) return;
    const waitMs = (-this.tokens / this.rate.perSecond) * 1000;
    try {
      await this.clock.sleep(waitMs * (1 + Math.random() * this.jitter), signal);
    } catch (error) {
      this.tokens += 1;
      throw error;
    }
  }

  /** The other side refused for its own limit: what was saved is spent, and each refusal in a row doubles the debt. */
  refused(): void {
    this.refill();
    this.refusals += 1;
    this.tokens = Math.min(this.tokens, 1 - Math.min(DEBT_MAX, 2 ** (this.refusals - 1)));
  }

  /** The other side let one through. */
  admitted(): void {
    this.refusals = 0;
  }

  private refill(): void {
    const now = this.clock.now();
    const earned = ((now - this.filledAt) / 1000) * this.rate.perSecond;
    this.tokens = Math.min(this.rate.burst, this.tokens + earned);
    this.filledAt = now;
  }
}
