import type { SimPod } from "./node-agent.ts";

/** A pod as it was planned: bound and deleted at these times of the simulation. */
export type PlannedPod = SimPod & { readonly bindAt: number; readonly endAt: number };

export function isAlive({ bindAt, endAt }: PlannedPod, at: number): boolean {
  return bindAt < at && at < endAt;
}

/** The largest number of them that live at one time. */
export function mostAtOnce(pods: readonly PlannedPod[]): number {
  const changes = pods.flatMap(({ bindAt, endAt }): [number, number][] => [
    [bindAt, 1],
    [endAt, -1],
  ]);
  // at one time, an end comes first
  changes.sort(([a, up], [b, down]) => a - b || up - down);
  let [now, most] = [0, 0];
  for (const [, change] of changes) {
    now += change;
    most = Math.max(most, now);
  }
  return most;
}
