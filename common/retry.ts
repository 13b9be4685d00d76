import type { Clock } from "./clock.ts";
import { CodedError } from "./errors.ts";

/** How often and how patiently retry() tries. */
export type RetryPolicy = {
  readonly clock: Clock;
  /** Tries in all, the first included. Default 5. */
  readonly attemptsMax?: number;
  /** Upper bound of the first pause; it doubles with every try. Default 100. */
  readonly delayMs?: number;
  /** No pause is longer. Default 10,000. */
  readonly delayMaxMs?: number;
  /** Whether this error may be tried again. Default: its own advice is `now` or `soon`. */
  readonly mayRetry?: (error: unknown) => boolean;
  /** Uniform in [0, 1); tests make it constant. */
  readonly random?: () => number;
};

/**
 * Runs `work` until it succeeds, its error forbids another try, the tries are used up, or the signal aborts (its reason is
 * thrown). Pauses are "full jitter": uniform between 0 and the doubling bound, so that many nodes do not come back together.
 */
export async function retry<T>(
  work: (signal: AbortSignal) => Promise<T>,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<T> {
  const { attemptsMax = 5, mayRetry = adviceAllows } = policy;
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      return await work(signal);
    } catch (error) {
      if (attempt >= attemptsMax || signal.aborted || !mayRetry(error)) throw error;
    }
    await policy.clock.sleep(backoffMs(attempt, policy), signal);
  }
}

/** The pause after that many failed tries, in milliseconds. Pure but for `random`. */
export function backoffMs(
  attempt: number,
  policy: Pick<RetryPolicy, "delayMs" | "delayMaxMs" | "random">,
): number {
  const { delayMs = 100, delayMaxMs = 10_000, random = Math.random } = policy;
  return random() * Math.min(delayMaxMs, delayMs * 2 ** (attempt - 1));
}

function adviceAllows(error: unknown): boolean {
  return error instanceof CodedError && (error.retry === "now" || error.retry === "soon");
}
