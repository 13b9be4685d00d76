/**
 * How many pods of this node need an address and have none: those that the scheduler has bound here, and those whose ADD waits. A bound pod that nobody
 * calls ADD for in a long time is not waited for any more: what holds it back is something else, and addresses kept for it would serve nobody.
 */
import type { PodRef } from "../cni/ipam.ts";
import type { BoundPod } from "./kube/pods.ts";

/** kubelet starts a sandbox within seconds; images and volumes may take minutes, but come after it or before it alike. */
const EXPECTED_FOR_MS = 600_000;

export class Demand {
  private readonly firstSeen = new Map<string, number>();

  /**
   * @param bound undefined while nobody has told
   * @param served whoever has a lease, also one whose ADD still runs
   * @param waiting whose ADD waits for an address
   */
  pending(
    facts: {
      readonly bound: readonly BoundPod[] | undefined;
      readonly served: readonly PodRef[];
      readonly waiting: readonly PodRef[];
    },
    now: number,
  ): number {
    const isServed = anyOf(facts.served);
    const isWaiting = anyOf(facts.waiting);
    const expected = (facts.bound ?? []).filter((pod) => !pod.hostNetwork && !pod.finished && !isServed(pod));
    this.remember(expected, now);
    const announced = expected.filter(
      (pod) => !isWaiting(pod) && now - (this.firstSeen.get(pod.uid) ?? now) < EXPECTED_FOR_MS,
    );
    return facts.waiting.length + announced.length;
  }

  private remember(expected: readonly BoundPod[], now: number): void {
    const uids = new Set<string>(expected.map(({ uid }) => uid));
    for (const uid of uids) if (!this.firstSeen.has(uid)) this.firstSeen.set(uid, now);
    for (const uid of this.firstSeen.keys()) if (!uids.has(uid)) this.firstSeen.delete(uid);
  }
}

/** A pod is known by its uid: of two pods of one name the earlier one may still be here. A runtime that gives no uid is taken at its names. */
function anyOf(refs: readonly PodRef[]): (pod: BoundPod) => boolean {
  const uids = new Set(refs.map(({ uid }) => uid));
  const names = new Set(refs.filter(({ uid }) => uid === undefined).map(nameOf));
  return (pod) => uids.has(pod.uid) || names.has(nameOf(pod));
}

function nameOf({ namespace, name }: PodRef): string {
  return `${namespace ?? ""}/${name ?? ""}`;
}
