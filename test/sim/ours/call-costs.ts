/** How many requests of EC2 our AWS adapter makes for each call of the seam, by action. */
import type { Action } from "../account.ts";

type Counts = Readonly<Partial<Record<Action, number>>>;
export type CallCost = { readonly reads: Counts; readonly writes: Counts };

const ONE_LOOK: Counts = { DescribeNetworkInterfaces: 1 };
const ALL_LOOKS: Counts = { DescribeNetworkInterfaces: 1, DescribeSubnets: 1, DescribeVpcs: 1 };
const MAKING: Counts = {
  CreateNetworkInterface: 1,
  AttachNetworkInterface: 1,
  ModifyNetworkInterfaceAttribute: 1,
};

export const CALL_COSTS = {
  describe: { reads: ONE_LOOK, writes: {} },
  /** The first describe() of a process, and one more than ten minutes after the last that cost this. */
  describeRefresh: { reads: ALL_LOOKS, writes: {} },
  assign: { reads: ONE_LOOK, writes: { AssignPrivateIpAddresses: 1 } },
  /** The first one ever on a node's primary: what was there before is recorded. */
  assignFirst: {
    reads: { DescribeNetworkInterfaces: 2 },
    writes: { CreateTags: 1, AssignPrivateIpAddresses: 1 },
  },
  create: { reads: {}, writes: MAKING },
  /** The first of a process: something may have been left. */
  createFirst: { reads: ONE_LOOK, writes: MAKING },
  release: { reads: {}, writes: { UnassignPrivateIpAddresses: 1 } },
  delete: {
    reads: { DescribeNetworkInterfaces: 2 },
    writes: { DetachNetworkInterface: 1, DeleteNetworkInterface: 1 },
  },
  sweep: { reads: ONE_LOOK, writes: {} },
} as const satisfies Record<string, CallCost>;

/** How long what describe() reads of subnets and the network is taken for true. */
export const REFRESH_AFTER_MS = 600_000;

/** The requests of a call, reads first. `but` names those that another call has made, or the caller makes itself. */
export function requestsOf({ reads, writes }: CallCost, ...but: readonly CallCost[]): Action[] {
  const left = new Map<Action, number>();
  const count = (counts: Counts, sign: number) => {
    for (const [action, number] of Object.entries(counts) as [Action, number][])
      left.set(action, (left.get(action) ?? 0) + sign * number);
  };
  for (const counts of [reads, writes]) count(counts, 1);
  for (const other of but) for (const counts of [other.reads, other.writes]) count(counts, -1);
  return [...left].flatMap(([action, number]) => Array.from({ length: Math.max(0, number) }, () => action));
}
