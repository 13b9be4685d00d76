import type { Clock } from "../common/clock.ts";

/** Longer than a try takes, of what is tried again. */
const RECENT_MS = 60_000;

/** What stands in the way, or did a moment ago: while something is tried once more, nothing seems to. An ADD that gives up then still says why it waited. */
export class RecentLimit {
  private readonly clock: Clock;
  private readonly now: () => string | undefined;
  private last: { readonly text: string; readonly at: number } | undefined;

  /** `now`: what stands in the way at this moment. */
  constructor(clock: Clock, now: () => string | undefined) {
    this.clock = clock;
    this.now = now;
  }

  /** To be called whenever it may have changed. */
  note(): void {
    const text = this.now();
    if (text !== undefined) this.last = { text, at: this.clock.now() };
  }

  get text(): string | undefined {
    this.note();
    const { last } = this;
    return last === undefined || this.clock.now() - last.at > RECENT_MS ? undefined : last.text;
  }
}
