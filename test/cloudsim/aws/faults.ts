import type { ErrorReply } from "./wire/reply.ts";

/** What goes wrong with one call. */
export type Fault =
  /** Nothing is done, and this is answered. */
  | ({ readonly kind: "fail" } & ErrorReply)
  /** Everything is as always, later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** It is done, and the connection ends without an answer. */
  | { readonly kind: "lose-reply" }
  /** Nothing is done, and no answer comes. */
  | { readonly kind: "hang" }
  /** Nothing is done, and something that is no EC2 reply comes, as from a proxy in between. */
  | { readonly kind: "garbage"; readonly status: number };

type Rule = { readonly action: string; readonly fault: Fault; left: number };

/** Faults that a test switches on, for the next calls of one action or of all (`*`). Several rules for one call apply together. */
export class Faults {
  private rules: Rule[] = [];

  /** The next `times` calls of the action get this fault. */
  add(action: string, fault: Fault, times = 1): void {
    this.rules.push({ action, fault, left: times });
  }

  fail(action: string, code: string, times = 1, status = 400): void {
    this.add(action, { kind: "fail", code, message: `${code}, as the test wanted`, status }, times);
  }

  /** RequestLimitExceeded, status 503, which SDKs try again by themselves. */
  throttle(action: string, times = 1): void {
    const message = "Request limit exceeded.";
    this.add(action, { kind: "fail", code: "RequestLimitExceeded", message, status: 503 }, times);
  }

  delay(action: string, ms: number, times = 1): void {
    this.add(action, { kind: "delay", ms }, times);
  }

  loseReply(action: string, times = 1): void {
    this.add(action, { kind: "lose-reply" }, times);
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
    const hit = this.rules.filter((rule) => rule.action === action || rule.action === "*");
    for (const rule of hit) rule.left -= 1;
    this.rules = this.rules.filter((rule) => rule.left > 0);
    return hit.map(({ fault }) => fault);
  }

  clear(): void {
    this.rules = [];
  }
}
