import { setTimeout as delay } from "node:timers/promises";

/** The only door to time. Tests give a clock that is stepped by hand. */
export interface Clock {
  /** Milliseconds that only ever grow, unaffected by changes of the wall clock. Compare only with each other. */
  now(): number;
  /** The wall clock, for people and for tags. */
  wallTime(): Date;
  /** Resolves after `ms`; rejects with the signal's reason when that comes first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => new Date(),
  sleep: async (ms, signal) => {
    signal?.throwIfAborted();
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
};
