import type { Clock } from "./clock.ts";

type Sleeper = { readonly wakeAt: number; readonly wake: () => void };

/** A clock that stands still until it is told to move. For tests, and for the cloud in memory. */
export class SteppedClock implements Clock {
  private timeMs = 0;
  private readonly sleepers = new Set<Sleeper>();

  now(): number {
    return this.timeMs;
  }

  wallTime(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.timeMs);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const end = () => {
        this.sleepers.delete(sleeper);
        signal?.removeEventListener("abort", abort);
      };
      const abort = () => {
        end();
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        wakeAt: this.timeMs + ms,
        wake: () => {
          end();
          resolve();
        },
      };
      this.sleepers.add(sleeper);
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Moves on by `ms`, waking sleepers in the order of their times; what they start is let run in between. */
  async advance(ms: number): Promise<void> {
    const target = this.timeMs + ms;
    await this.settle();
    for (let next = this.next(); next !== undefined && next.wakeAt <= target; next = this.next()) {
      this.timeMs = Math.max(this.timeMs, next.wakeAt);
      next.wake();
      await this.settle();
    }
    this.timeMs = target;
  }

  /** Moves from sleeper to sleeper until nobody sleeps, at most `wakesMax` times. */
  async run(wakesMax = 1_000): Promise<void> {
    await this.settle();
    for (let wakes = 0, next = this.next(); next !== undefined && wakes < wakesMax; wakes += 1) {
      await this.advance(Math.max(0, next.wakeAt - this.timeMs));
      next = this.next();
    }
  }

  /** Lets everything run that waits for no time. */
  settle(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  private next(): Sleeper | undefined {
    return [...this.sleepers].sort((a, b) => a.wakeAt - b.wakeAt)[0];
  }
}
