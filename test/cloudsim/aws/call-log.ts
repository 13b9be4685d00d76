import { isRead } from "./rate-limits.ts";

export type Call = {
  /** `DescribeInstances` */
  readonly action: string;
  readonly params: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** `ok`, or the code that was answered; `lost` and `hung` when nothing was; undefined while it runs. */
  outcome?: string;
};

/** Numbers of calls; refused ones count too. */
export type CallCounts = {
  readonly total: number;
  /** Calls that ask for a change. */
  readonly writes: number;
  /** Answered with RequestLimitExceeded, by the account's limits or by a fault. */
  readonly throttled: number;
  /** Of each action that was called, in order of its name. */
  readonly byAction: Readonly<Record<string, number>>;
};

/** Every call that reached EC2, in order, for tests and benchmarks that count. */
export class CallLog {
  private readonly calls: Call[] = [];

  begin(action: string, params: ReadonlyMap<string, string>, at: number): Call {
    const call: Call = { action, params: Object.fromEntries(params), at };
    this.calls.push(call);
    return call;
  }

  /** All of them, or those of one action. */
  all(action?: string): readonly Call[] {
    return this.calls.filter((call) => action === undefined || call.action === action);
  }

  count(action?: string): number {
    return this.all(action).length;
  }

  /** Calls that ask for a change, refused ones included. */
  writes(): readonly Call[] {
    return this.calls.filter(({ action }) => !isRead(action));
  }

  /** All numbers at once, since the start or the last clear(). */
  counts(): CallCounts {
    const byAction: Record<string, number> = {};
    for (const { action } of this.calls) byAction[action] = (byAction[action] ?? 0) + 1;
    return {
      total: this.calls.length,
      writes: this.writes().length,
      throttled: this.calls.filter(({ outcome }) => outcome === "RequestLimitExceeded").length,
      byAction: Object.fromEntries(Object.entries(byAction).sort(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  clear(): void {
    this.calls.length = 0;
  }
}
