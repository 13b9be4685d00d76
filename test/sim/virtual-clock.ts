/**
 * Time of a simulation: it stands still while something runs and jumps to the next wake. Made for millions of wakes: between two of them the queue of
 * microtasks is let run empty, so that what a wake started has got as far as it can without time.
 */
import type { Clock } from "../../common/clock.ts";

type Wake = { readonly at: number; readonly order: number; run: (() => void) | undefined };

/** Real turns of the event loop are rare: only there does the runtime clean up what was collected. */
const WAKES_PER_TURN = 4_096;

export class VirtualClock implements Clock {
  private timeMs = 0;
  private order = 0;
  private readonly heap: Wake[] = [];
  private failure: unknown;

  now(): number {
    return this.timeMs;
  }

  wallTime(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.timeMs);
  }

  /** Runs it at that time, behind everything that was asked for earlier for the same time. A time that has passed means now. */
  at(timeMs: number, run: () => void): Disposable {
    const wake: Wake = { at: Math.max(timeMs, this.timeMs), order: this.order++, run };
    this.push(wake);
    return {
      [Symbol.dispose]: () => {
        wake.run = undefined;
      },
    };
  }

  /** As at(), after so many milliseconds. */
  after(ms: number, run: () => void): Disposable {
    return this.at(this.timeMs + ms, run);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        timer[Symbol.dispose]();
        reject(signal?.reason);
      };
      const timer = this.after(ms, () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Ends run() with that error: for what goes wrong where nobody waits. */
  fail(error: unknown): void {
    this.failure ??= error;
  }

  /** Goes from wake to wake up to that time, which it then is. Rejects with what a callback of at() throws, or fail() was given. */
  run(untilMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let wakes = 0;
      const next = () => {
        if (this.failure !== undefined) return reject(this.failure);
        const wake = this.takeDue(untilMs);
        if (wake === undefined) {
          this.timeMs = Math.max(this.timeMs, untilMs);
          return resolve();
        }
        this.timeMs = wake.at;
        try {
          wake.run?.();
        } catch (error) {
          return reject(error);
        }
        wakes += 1;
        if (wakes % WAKES_PER_TURN === 0) setImmediate(next);
        // asked for by a microtask, a tick comes when there is no microtask left
        else queueMicrotask(() => process.nextTick(next));
      };
      setImmediate(next);
    });
  }

  private takeDue(untilMs: number): Wake | undefined {
    for (let first = this.heap[0]; first !== undefined; first = this.heap[0]) {
      if (first.run === undefined) this.pop();
      else return first.at <= untilMs ? this.pop() : undefined;
    }
    return undefined;
  }

  private push(wake: Wake): void {
    const { heap } = this;
    let index = heap.length;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above] as Wake;
      if (isBefore(parent, wake)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = wake;
  }

  private pop(): Wake | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (last !== undefined && heap.length > 0) this.sink(last);
    return first;
  }

  private sink(wake: Wake): void {
    const { heap } = this;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Wake, heap[child] as Wake)) child += 1;
      if (isBefore(wake, heap[child] as Wake)) break;
      heap[index] = heap[child] as Wake;
      index = child;
    }
    heap[index] = wake;
  }
}

function isBefore(a: Wake, b: Wake): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
