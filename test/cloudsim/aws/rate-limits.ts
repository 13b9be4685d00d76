/**
 * Request rate limiting: a token bucket for each API of the account and its region, whoever calls. Sizes and refills are those that an
 * account starts with: EC2 Developer Guide, "Request throttling for the Amazon EC2 API", request token bucket sizes and refill rates
 * (docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html, read 2026-11).
 */

/** Tokens: at most `size`, `perSecond` come back. A call takes one. */
export type Bucket = { readonly size: number; readonly perSecond: number };

/** What an API has; each API has a bucket of its own, so that one that is empty throttles no other. */
export type RateLimits = {
  /** Describe and Get calls. */
  readonly reads: Bucket;
  /** Those of `UNFILTERED` that give neither a filter nor MaxResults: a second, smaller bucket. Default: `reads`. */
  readonly unfilteredReads?: Bucket;
  /** Calls that change something. */
  readonly writes: Bucket;
  /** Calls that have a size of their own. */
  readonly own?: Readonly<Record<string, Bucket>>;
};

const INTERFACE_WRITES: Bucket = { size: 100, perSecond: 5 };
const TAG_WRITES: Bucket = { size: 100, perSecond: 10 };
const RESERVATION_WRITES: Bucket = { size: 5, perSecond: 1 };

/** What an account starts with. Attaching, detaching and unassigning IPv6 have no line of their own there, and count as writes. */
export const EC2_RATE_LIMITS: RateLimits = {
  reads: { size: 100, perSecond: 20 },
  unfilteredReads: { size: 50, perSecond: 10 },
  writes: { size: 50, perSecond: 5 },
  own: {
    AssignIpv6Addresses: INTERFACE_WRITES,
    AssignPrivateIpAddresses: INTERFACE_WRITES,
    UnassignPrivateIpAddresses: INTERFACE_WRITES,
    CreateNetworkInterface: INTERFACE_WRITES,
    DeleteNetworkInterface: INTERFACE_WRITES,
    ModifyNetworkInterfaceAttribute: INTERFACE_WRITES,
    TerminateInstances: INTERFACE_WRITES,
    RunInstances: { size: 5, perSecond: 2 },
    CreateTags: TAG_WRITES,
    DeleteTags: TAG_WRITES,
    CreateSubnetCidrReservation: RESERVATION_WRITES,
    DeleteSubnetCidrReservation: RESERVATION_WRITES,
  },
};

/** The describe calls that have a smaller bucket for those who ask for everything at once. */
const UNFILTERED: ReadonlySet<string> = new Set([
  "DescribeInstances",
  "DescribeNetworkInterfaces",
  "DescribeSecurityGroups",
]);

/** Whether a call only reads. */
export function isRead(action: string): boolean {
  return /^(Describe|Get)/.test(action);
}

/** Neither a filter nor pages. A call that names ids alone is one of them. */
function isUnfiltered(action: string, params: ReadonlyMap<string, string>): boolean {
  if (!UNFILTERED.has(action)) return false;
  return ![...params.keys()].some((name) => name.startsWith("Filter.") || name === "MaxResults");
}

/** Which bucket a call takes from: its name among the account's buckets, and what the bucket holds. Pure. */
export function bucketOf(
  limits: RateLimits,
  action: string,
  params: ReadonlyMap<string, string> = new Map(),
): { readonly name: string; readonly bucket: Bucket } {
  if (limits.unfilteredReads !== undefined && isUnfiltered(action, params)) {
    return { name: `${action} unfiltered`, bucket: limits.unfilteredReads };
  }
  const own = limits.own !== undefined && Object.hasOwn(limits.own, action) ? limits.own[action] : undefined;
  return { name: action, bucket: own ?? (isRead(action) ? limits.reads : limits.writes) };
}

type Level = { tokens: number; at: number };

export class RateLimiter {
  private readonly levels = new Map<string, Level>();
  private readonly limits: RateLimits | undefined;
  private readonly clock: { now(): number };

  /** Without limits everything is admitted. */
  constructor(limits: RateLimits | undefined, clock: { now(): number }) {
    this.limits = limits;
    this.clock = clock;
  }

  /** Takes a token of the call's bucket; false when there is none. */
  admit(action: string, params: ReadonlyMap<string, string> = new Map()): boolean {
    if (this.limits === undefined) return true;
    const { name, bucket } = bucketOf(this.limits, action, params);
    const level = this.filled(name, bucket);
    if (level.tokens < 1) return false;
    level.tokens -= 1;
    return true;
  }

  private filled(name: string, { size, perSecond }: Bucket): Level {
    const now = this.clock.now();
    const level = this.levels.get(name) ?? { tokens: size, at: now };
    level.tokens = Math.min(size, level.tokens + ((now - level.at) / 1000) * perSecond);
    level.at = now;
    this.levels.set(name, level);
    return level;
  }
}
