/**
 * How many calls of EC2 each operation takes when nothing goes wrong, by action. Held by call-costs.test.ts on the embedded EC2, printed in
 * docs/clouds/aws.md, and what the fleet simulator counts with. Reads of the metadata service are free and not here.
 */
export type CallCost = {
  readonly reads: Readonly<Record<string, number>>;
  readonly writes: Readonly<Record<string, number>>;
};

export const CALL_COSTS = {
  /** identify(), capabilities() of a type in instance-types.ts, and the first describe(), with complete metadata. */
  start: { reads: { DescribeNetworkInterfaces: 1 }, writes: {} },
  /** capabilities() of any other type, once a process. */
  unknownType: { reads: { DescribeInstanceTypes: 1 }, writes: {} },
  /** Every later describe(). A page is 200 interfaces. */
  describe: { reads: { DescribeNetworkInterfaces: 1 }, writes: {} },
  /**
   * The first describe() more than five minutes after the start, or any with incomplete metadata, and then one more than half an hour after the last
   * that cost this. When the metadata shows other network CIDRs: without DescribeSubnets.
   */
  describeRefresh: {
    reads: { DescribeNetworkInterfaces: 1, DescribeSubnets: 1, DescribeVpcs: 1 },
    writes: {},
  },
  /** Any number of units of one size on one interface; one write more for each further size or family. IPv6: AssignIpv6Addresses. */
  assign: { reads: { DescribeNetworkInterfaces: 1 }, writes: { AssignPrivateIpAddresses: 1 } },
  /** Addresses and blocks of IPv4, and blocks of IPv6, on one interface in one call. */
  assignMixed: {
    reads: { DescribeNetworkInterfaces: 1 },
    writes: { AssignPrivateIpAddresses: 2, AssignIpv6Addresses: 1 },
  },
  /** The first one ever on a node's primary: what was there before is recorded. One read more when the last look is older than a minute. */
  assignFirst: {
    reads: { DescribeNetworkInterfaces: 1 },
    writes: { AssignPrivateIpAddresses: 1, CreateTags: 1 },
  },
  /** With units of one size of each family; further sizes cost what assign does, one read for all of them. */
  create: {
    reads: {},
    writes: { CreateNetworkInterface: 1, AttachNetworkInterface: 1, ModifyNetworkInterfaceAttribute: 1 },
  },
  /** The first of a process, and the next one after a failure: something may have been left. */
  createFirst: {
    reads: { DescribeNetworkInterfaces: 1 },
    writes: { CreateNetworkInterface: 1, AttachNetworkInterface: 1, ModifyNetworkInterfaceAttribute: 1 },
  },
  /** When the node's own subnet is full, with siblings looked up not within ten minutes. */
  createInSibling: {
    reads: { DescribeRouteTables: 1, DescribeSubnets: 1 },
    writes: { CreateNetworkInterface: 2, AttachNetworkInterface: 1, ModifyNetworkInterfaceAttribute: 1 },
  },
  /** Any number of units of one size of one interface. IPv6: UnassignIpv6Addresses. */
  release: { reads: {}, writes: { UnassignPrivateIpAddresses: 1 } },
  /** Of an interface that EC2 showed within the last minute. */
  deleteFresh: {
    reads: { DescribeNetworkInterfaces: 1 },
    writes: { DetachNetworkInterface: 1, DeleteNetworkInterface: 1 },
  },
  /** Of any other. One read more for each look at a detachment that takes longer than half a second. */
  delete: {
    reads: { DescribeNetworkInterfaces: 2 },
    writes: { DetachNetworkInterface: 1, DeleteNetworkInterface: 1 },
  },
  /** removeLeaks() that finds nothing. */
  sweep: { reads: { DescribeNetworkInterfaces: 1 }, writes: {} },
  /** removeLeaks() that deletes one interface of a node that is gone. */
  sweepLeak: {
    reads: { DescribeNetworkInterfaces: 1, DescribeInstances: 1 },
    writes: { DeleteNetworkInterface: 1 },
  },
} as const satisfies Record<string, CallCost>;

export type CostedOperation = keyof typeof CALL_COSTS;
