/**
 * STATUS: whether pods can be served. In Kubernetes a failure makes the node NotReady and evicts what runs on it, so an empty or full pool is none: an
 * ADD says that, and a pod waits. CNI SPEC 1.1.0, section 2; docs/decisions/0008.
 */
import { CniError } from "./errors.ts";

export type StatusDeps = {
  /** Why no pod could be served at all, for people; undefined when they can be. */
  readonly hindrance: () => string | undefined;
};

/** Throws CniError 50 with the reason. Asks neither the cloud nor the kernel: runtimes call it every few seconds. */
export function status({ hindrance }: StatusDeps): void {
  const reason = hindrance();
  if (reason !== undefined) throw new CniError("notAvailable", `STATUS: no pod can be served: ${reason}`);
}
