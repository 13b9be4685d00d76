import type { CallCost } from "../../../providers/aws/call-costs.ts";
import type { Action } from "../account.ts";

/**
 * The requests of EC2 that a call of the seam costs, reads first. `but` names costs of requests that are made already, or one by one where they act.
 */
export function requestsOf({ reads, writes }: CallCost, ...but: readonly CallCost[]): Action[] {
  const left = new Map<string, number>();
  const count = (counts: Readonly<Record<string, number>>, sign: number) => {
    for (const [action, number] of Object.entries(counts))
      left.set(action, (left.get(action) ?? 0) + sign * number);
  };
  for (const counts of [reads, writes]) count(counts, 1);
  for (const other of but) for (const counts of [other.reads, other.writes]) count(counts, -1);
  return [...left].flatMap(([action, number]) =>
    Array.from({ length: Math.max(0, number) }, () => action as Action),
  );
}

/** Of these, one each. */
export function cost(...actions: readonly Action[]): CallCost {
  return { reads: {}, writes: Object.fromEntries(actions.map((action) => [action, 1])) };
}
