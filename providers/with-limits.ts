import type { Clock } from "../common/clock.ts";
import { CloudError } from "./errors.ts";
import type { CloudNetwork } from "./provider.ts";
import { type Rate, TokenBucket } from "./token-bucket.ts";

export type CallName = Exclude<keyof CloudNetwork, "name">;

export type CallLimit = Rate & {
  /** From the call to its end, waiting for its turn included. */
  readonly deadlineMs: number;
};

/**
 * One node's share. EC2 counts requests per account, region and API, all nodes together (docs.aws.amazon.com, "Request throttling
 * for the Amazon EC2 API", read 2026-11-25), so a node that is stuck in a loop must not spend what the others need.
 */
export const DEFAULT_LIMITS: Readonly<Record<CallName, CallLimit>> = {
  identify: { burst: 5, perSecond: 1, deadlineMs: 15_000 },
  capabilities: { burst: 5, perSecond: 0.5, deadlineMs: 30_000 },
  describe: { burst: 10, perSecond: 0.5, deadlineMs: 30_000 },
  glance: { burst: 10, perSecond: 1, deadlineMs: 10_000 },
  createInterface: { burst: 8, perSecond: 0.2, deadlineMs: 90_000 },
  deleteInterface: { burst: 8, perSecond: 0.2, deadlineMs: 120_000 },
  assignUnits: { burst: 20, perSecond: 1, deadlineMs: 30_000 },
  releaseUnits: { burst: 10, perSecond: 0.5, deadlineMs: 30_000 },
  removeLeaks: { burst: 2, perSecond: 0.01, deadlineMs: 300_000 },
};

/**
 * The same network, with a token bucket and a deadline for each kind of call. A call that waits for its turn goes when its turn
 * comes, in order; past the deadline it fails with `unavailable`, also when the network below does not honour its signal.
 */
export function withLimits(
  network: CloudNetwork,
  options: { readonly clock: Clock; readonly limits?: Partial<Readonly<Record<CallName, CallLimit>>> },
): CloudNetwork {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const bounded = <Args extends readonly unknown[], Result>(
    call: CallName,
    run: (...args: [...Args, AbortSignal]) => Promise<Result>,
  ) => {
    const bucket = new TokenBucket(limits[call], options.clock);
    return (...args: [...Args, AbortSignal]): Promise<Result> => {
      const rest = args.slice(0, -1) as unknown as Args;
      const work = async (signal: AbortSignal) => {
        await bucket.take(signal);
        return await run(...rest, signal);
      };
      return withDeadline(call, limits[call].deadlineMs, options.clock, args.at(-1) as AbortSignal, work);
    };
  };
  return {
    name: network.name,
    identify: bounded("identify", (signal) => network.identify(signal)),
    capabilities: bounded("capabilities", (signal) => network.capabilities(signal)),
    describe: bounded("describe", (signal) => network.describe(signal)),
    glance: bounded("glance", (signal) => network.glance(signal)),
    createInterface: bounded("createInterface", (request, signal) =>
      network.createInterface(request, signal),
    ),
    deleteInterface: bounded("deleteInterface", (id, signal) => network.deleteInterface(id, signal)),
    assignUnits: bounded("assignUnits", (id, requests, signal) => network.assignUnits(id, requests, signal)),
    releaseUnits: bounded("releaseUnits", (id, units, signal) => network.releaseUnits(id, units, signal)),
    removeLeaks: bounded("removeLeaks", (signal) => network.removeLeaks(signal)),
  };
}

async function withDeadline<T>(
  call: CallName,
  deadlineMs: number,
  clock: Clock,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const late = new AbortController();
  const timer = clock.sleep(deadlineMs, ended.signal).then(
    () => late.abort(new Error(`no end within ${deadlineMs} ms`)),
    () => undefined,
  );
  const signal = AbortSignal.any([outer, late.signal]);
  try {
    return await Promise.race([work(signal), rejectWhenAborted(signal, ended.signal)]);
  } catch (error) {
    if (error instanceof CloudError) throw error;
    if (!signal.aborted) throw error;
    throw new CloudError("unavailable", `${call}: given up, the outcome is unknown`, {
      operation: call,
      cause: signal.reason,
    });
  } finally {
    ended.abort();
    await timer;
  }
}

function rejectWhenAborted(signal: AbortSignal, ended: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true, signal: ended });
  });
}
