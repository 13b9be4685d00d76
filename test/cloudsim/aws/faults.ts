import { isRead } from "./rate-limits.ts";
import type { ErrorReply } from "./wire/reply.ts";

/** What goes wrong with one call. */
export type Fault =
  /** Nothing is done, and this is answered. */
  | ({ readonly kind: "fail" } & ErrorReply)
  /** Everything is as always, later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** It is done, and the connection ends without an answer. */
  | { readonly kind: "lose-reply" }
  /** A describe shows any half of what it should, and nothing says so. */
  | { readonly kind: "omit-half" }
  /** Nothing is done, and no answer comes. */
  | { readonly kind: "hang" }
  /** Nothing is done, and something that is no EC2 reply comes, as from a proxy in between. */
  | { readonly kind: "garbage"; readonly status: number };

type Rule = {
  readonly action: string;
  readonly fault: Fault;
  readonly until: number;
  left: number;
};

const THROTTLED: Fault = {
  kind: "fail",
  code: "RequestLimitExceeded",
  message: "Request limit exceeded.",
  status: 503,
};
const ALWAYS = Number.POSITIVE_INFINITY;

/**
 * Faults that a test switches on, for the next calls of one action, or for some time. The action is one's name, or `reads`, `writes` or
 * `*` for all of them. Several rules for one call apply together.
 */
export class Faults {
  private rules: Rule[] = [];
  private readonly clock: { now(): number };

  constructor(clock: { now(): number }) {
    this.clock = clock;
  }

  /** The next `times` calls of the action get this fault. */
  add(action: string, fault: Fault, times = 1): void {
    this.rules.push({ action, fault, left: times, until: ALWAYS });
  }

  /** Every call of the action in the next `ms` milliseconds gets this fault. */
  addFor(action: string, fault: Fault, ms: number): void {
    this.rules.push({ action, fault, left: ALWAYS, until: this.clock.now() + ms });
  }

  fail(action: string, code: string, times = 1, status = 400): void {
    this.add(action, { kind: "fail", code, message: `${code}, as the test wanted`, status }, times);
  }

  /** RequestLimitExceeded, status 503, which SDKs try again by themselves. */
  throttle(action: string, times = 1): void {
    this.add(action, THROTTLED, times);
  }

  /** As throttle(), for some time: somebody else of the account uses everything up. */
  throttleFor(action: string, ms: number): void {
    this.addFor(action, THROTTLED, ms);
  }

  delay(action: string, ms: number, times = 1): void {
    this.add(action, { kind: "delay", ms }, times);
  }

  loseReply(action: string, times = 1): void {
    this.add(action, { kind: "lose-reply" }, times);
  }

  omitHalf(action: string, times = 1): void {
    this.add(action, { kind: "omit-half" }, times);
  }

  hang(action: string, times = 1): void {
    this.add(action, { kind: "hang" }, times);
  }

  /** An HTML page with that status. */
  garbage(action: string, status = 500, times = 1): void {
    this.add(action, { kind: "garbage", status }, times);
  }

  /** Takes the faults that the next call of the action gets. */
  take(action: string): Fault[] {
    this.rules = this.rules.filter(({ until }) => until > this.clock.now());
    const names = [action, isRead(action) ? "reads" : "writes", "*"];
    const hit = this.rules.filter((rule) => names.includes(rule.action));
    for (const rule of hit) rule.left -= 1;
    this.rules = this.rules.filter((rule) => rule.left > 0);
    return hit.map(({ fault }) => fault);
  }

  clear(): void {
    this.rules = [];
  }
}
