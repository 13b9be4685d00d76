import { type Clock, systemClock } from "../../common/clock.ts";

/** The system's clock, which a test sets forward; waits take as long as they take. */
export class ShiftedClock implements Clock {
  private aheadMs = 0;

  shift(ms: number): void {
    this.aheadMs += ms;
  }

  now(): number {
    return systemClock.now() + this.aheadMs;
  }

  wallTime(): Date {
    return new Date(systemClock.wallTime().getTime() + this.aheadMs);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}
