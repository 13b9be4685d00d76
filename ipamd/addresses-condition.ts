/** The node's condition `PodAddressesAvailable`: when it changes, and to what. No I/O and no clock. */
import type { NodeCondition } from "./kube/events.ts";
import type { PoolLimit } from "./pool-limit.ts";

/** What is full is asked again now and then, and for a moment seems not to be: good news is told once it has lasted. */
const CLEAR_AFTER_MS = 10_000;

export type PoolState = {
  /** Pods need addresses that are neither here nor coming. */
  readonly isShort: boolean;
  readonly limit: PoolLimit | undefined;
  /** A subnet that is full, also while nobody needs an address of it. */
  readonly fullSubnet: PoolLimit | undefined;
};

export class AddressesCondition {
  private current: NodeCondition | undefined;
  private badAt = Number.NEGATIVE_INFINITY;

  /** The condition, when it is another one than before. */
  look({ isShort, limit, fullSubnet }: PoolState, now: number): NodeCondition | undefined {
    const bad = (isShort ? limit : undefined) ?? fullSubnet;
    if (bad !== undefined) {
      this.badAt = now;
      return this.becomes("False", bad.reason, bad.message);
    }
    if (now - this.badAt < CLEAR_AFTER_MS) return undefined;
    return this.becomes("True", "AddressesAvailable", "pods of this node have addresses, or will have them");
  }

  /** When it may become good, if nothing else happens. */
  nextAt(): number | undefined {
    return this.current?.status === "False" ? this.badAt + CLEAR_AFTER_MS : undefined;
  }

  private becomes(
    status: NodeCondition["status"],
    reason: string,
    message: string,
  ): NodeCondition | undefined {
    const { current } = this;
    if (current?.status === status && current.reason === reason && current.message === message)
      return undefined;
    this.current = { type: "PodAddressesAvailable", status, reason, message };
    return this.current;
  }
}
