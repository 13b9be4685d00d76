import { waitFor } from "./wait-for.ts";

/**
 * One holder per key, in order of arrival. No file, no timeout: who waits brings an AbortSignal.
 */
export class KeyedLock {
  private readonly tails = new Map<string, Promise<void>>();

  /**
   * Runs `work` when all earlier holders of the key are done, also after they failed. When the signal aborts while
   * waiting, `work` never runs and the signal's reason is thrown.
   */
  async run<T>(key: string, work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    const previous = this.tails.get(key) ?? Promise.resolve();
    const { promise: done, resolve: release } = Promise.withResolvers<void>();
    const tail = previous.then(() => done);
    this.tails.set(key, tail);
    try {
      await waitFor(previous, signal);
      return await work();
    } finally {
      release();
      // who gave up waiting may be the last in the row while an earlier one still holds the key
      void tail.then(() => {
        if (this.tails.get(key) === tail) this.tails.delete(key);
      });
    }
  }

  /** True while someone holds or waits for the key. */
  isBusy(key: string): boolean {
    return this.tails.has(key);
  }
}
