/** Time for the model: what takes a while in EC2 (attach, detach) takes it here by this. */
export interface Timers {
  /** Milliseconds since 1970. */
  now(): number;
  /** Runs `work` once, after `ms`; at once and before returning when `ms` is 0. */
  after(ms: number, work: () => void): void;
  /** Drops what has not run yet. */
  cancelAll(): void;
}

export class RealTimers implements Timers {
  private readonly pending = new Set<NodeJS.Timeout>();

  now(): number {
    return Date.now();
  }

  after(ms: number, work: () => void): void {
    if (ms <= 0) {
      work();
      return;
    }
    const timer = setTimeout(() => {
      this.pending.delete(timer);
      work();
    }, ms);
    this.pending.add(timer);
  }

  cancelAll(): void {
    for (const timer of this.pending) clearTimeout(timer);
    this.pending.clear();
  }
}

/** A clock that is stepped by hand, for tests of the pure model. */
export class ManualTimers implements Timers {
  private time = Date.UTC(2026, 0, 1);
  private pending: { readonly at: number; readonly work: () => void }[] = [];

  now(): number {
    return this.time;
  }

  after(ms: number, work: () => void): void {
    if (ms <= 0) work();
    else this.pending.push({ at: this.time + ms, work });
  }

  cancelAll(): void {
    this.pending = [];
  }

  /** Lets `ms` pass: everything due by then runs, in order of its time. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const [next] = this.pending.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.pending = this.pending.filter((entry) => entry !== next);
      this.time = Math.max(this.time, next.at);
      next.work();
    }
    this.time = end;
  }
}
