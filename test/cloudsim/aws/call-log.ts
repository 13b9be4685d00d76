export type Call = {
  /** `DescribeInstances` */
  readonly action: string;
  readonly params: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** `ok`, or the code that was answered; `lost` and `hung` when nothing was; undefined while it runs. */
  outcome?: string;
};

/** Actions that change nothing. */
const READS = /^Describe/;

/** Every call that reached EC2, in order, for tests that count. */
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
    return this.calls.filter(({ action }) => !READS.test(action));
  }

  clear(): void {
    this.calls.length = 0;
  }
}
