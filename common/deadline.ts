/**
 * A signal that aborts after so many milliseconds, at once when there are none, with the TimeoutError of AbortSignal.timeout(). Unlike that one's it holds
 * nothing once it is disposed of: there the timer keeps the signal, and what was made of it, until its time. Keeps no process alive.
 */
export class Deadline implements Disposable {
  readonly signal: AbortSignal;
  private readonly timer: NodeJS.Timeout | undefined;

  /** @param message of the error */
  constructor(ms: number, message: string) {
    const controller = new AbortController();
    this.signal = controller.signal;
    const pass = () => controller.abort(new DOMException(message, "TimeoutError"));
    if (ms > 0) this.timer = setTimeout(pass, Math.ceil(ms)).unref();
    else pass();
  }

  /** The signal never aborts any more. Repeatable. */
  [Symbol.dispose](): void {
    clearTimeout(this.timer);
  }
}
