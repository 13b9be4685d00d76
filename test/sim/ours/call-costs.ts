/** Requests that our AWS adapter makes of EC2 for each call of the seam, in order. */
import type { Action } from "../account.ts";

export const CALL_COSTS = {
  /** The first describe() of a process. */
  start: ["DescribeNetworkInterfaces", "DescribeSubnets", "DescribeVpcs"],
  describe: ["DescribeNetworkInterfaces"],
  /** A describe() more than ten minutes after the last that cost this. */
  describeRefresh: ["DescribeNetworkInterfaces", "DescribeSubnets", "DescribeVpcs"],
  assign: ["AssignPrivateIpAddresses", "DescribeNetworkInterfaces"],
  /** Before the first one ever on a node's primary: what was there before is recorded. */
  beforeFirstAssign: ["DescribeNetworkInterfaces", "CreateTags"],
  /** Before the first one of a process: something may have been left. */
  beforeFirstCreate: ["DescribeNetworkInterfaces"],
  create: ["CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute"],
  release: ["UnassignPrivateIpAddresses"],
  delete: [
    "DescribeNetworkInterfaces",
    "DetachNetworkInterface",
    "DescribeNetworkInterfaces",
    "DeleteNetworkInterface",
  ],
  sweep: ["DescribeNetworkInterfaces"],
} as const satisfies Record<string, readonly Action[]>;

/** How long what describe() reads of subnets and the network is taken for true. */
export const REFRESH_AFTER_MS = 600_000;
