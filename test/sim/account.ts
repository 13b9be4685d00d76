/**
 * One AWS account in one region: the budget of API requests that all nodes share, and how long requests take.
 *
 * EC2 throttles by a token bucket for each API ("Request throttling for the Amazon EC2 API", docs.aws.amazon.com/ec2/latest/devguide/
 * ec2-api-throttling.html): reads 100 tokens and 20 a second, writes 50 and 5 (the figures as aws/amazon-vpc-resource-controller-k8s#675 quotes them),
 * CreateNetworkInterface 100 and 5 (aws-ia/terraform-aws-control_tower_account_factory#626). A request that is refused costs no token.
 */
import type { Random, Spread } from "./random.ts";
import type { VirtualClock } from "./virtual-clock.ts";

export type Action =
  | "AssignPrivateIpAddresses"
  | "AttachNetworkInterface"
  | "CreateNetworkInterface"
  | "CreateTags"
  | "DeleteNetworkInterface"
  | "DescribeInstanceTypes"
  | "DescribeInstances"
  | "DescribeNetworkInterfaces"
  | "DescribeRouteTables"
  | "DescribeSubnets"
  | "DescribeVpcs"
  | "DetachNetworkInterface"
  | "ModifyNetworkInterfaceAttribute"
  | "UnassignPrivateIpAddresses";

/** Codes as EC2 gives them. */
export type Ec2ErrorCode =
  | "InsufficientCidrBlocks"
  | "InsufficientFreeAddressesInSubnet"
  | "InvalidNetworkInterfaceID.NotFound"
  | "InvalidParameterValue"
  | "NetworkInterfaceInUse"
  | "PrivateIpAddressLimitExceeded"
  | "RequestLimitExceeded";

export class Ec2Error extends Error {
  readonly code: Ec2ErrorCode;

  constructor(code: Ec2ErrorCode) {
    super(code);
    this.code = code;
  }
}

export type Bucket = { readonly size: number; readonly perSecond: number };

/** How a client's SDK repeats what was throttled. */
export type RetryPolicy = {
  readonly attempts: number;
  /** The pause behind the first refusal is up to this, and up to twice as much behind each further one. */
  readonly pauseMs: number;
};

/** Both SDKs' standard mode: three attempts. The Go SDK's jitter is over whole seconds (aws-sdk-go-v2, retry.ExponentialJitterBackoff). */
export const GO_SDK_RETRIES: RetryPolicy = { attempts: 3, pauseMs: 2_000 };

export const READS: Bucket = { size: 100, perSecond: 20 };
export const WRITES: Bucket = { size: 50, perSecond: 5 };
const BUCKETS: Partial<Record<Action, Bucket>> = { CreateNetworkInterface: { size: 100, perSecond: 5 } };

/** Milliseconds from request to answer. AWS publishes none; docs/simulator.md says where these come from. */
const LATENCY: Partial<Record<Action, Spread>> = {
  AssignPrivateIpAddresses: { median: 500, p99: 1_000 },
  AttachNetworkInterface: { median: 1_500, p99: 3_500 },
  CreateNetworkInterface: { median: 850, p99: 1_500 },
  CreateTags: { median: 300, p99: 800 },
  DeleteNetworkInterface: { median: 500, p99: 1_200 },
  DetachNetworkInterface: { median: 500, p99: 1_500 },
  ModifyNetworkInterfaceAttribute: { median: 300, p99: 800 },
  UnassignPrivateIpAddresses: { median: 500, p99: 1_000 },
};
const READ_LATENCY: Spread = { median: 180, p99: 500 };
const REFUSAL_LATENCY: Spread = { median: 60, p99: 200 };

/** From the answer of AttachNetworkInterface until the instance has the device: attaching takes 2 to 10 s in all, with a tail. */
const DEVICE_SHOWS: Spread = { median: 2_500, p99: 8_000 };
/** From a write until the instance's metadata shows it. */
const METADATA_SHOWS: Spread = { median: 1_000, p99: 4_000 };

export type AccountOptions = {
  readonly clock: VirtualClock;
  readonly random: Random;
  /** Multiplies every time; default 1. */
  readonly latencyScale: number;
  /** Multiplies every bucket; default 1. */
  readonly budgetScale: number;
};

export class Account {
  /** Requests, refused ones included. */
  calls = 0;
  throttled = 0;
  readonly byAction = new Map<Action, number>();
  private readonly options: AccountOptions;
  private readonly levels = new Map<Action, { tokens: number; at: number }>();
  private share = Number.POSITIVE_INFINITY;

  constructor(options: AccountOptions) {
    this.options = options;
  }

  /** From now on this share of the account's budget is ours, starting with full buckets; infinity means no limit. Counts begin anew. */
  begin(share: number): void {
    this.share = share;
    this.levels.clear();
    this.calls = this.throttled = 0;
    this.byAction.clear();
  }

  /** As begin(), but counts go on. */
  setShare(share: number): void {
    this.share = share;
    this.levels.clear();
  }

  /** One call as an SDK makes it. `act` happens when EC2 answers. Rejects with what it throws, or `RequestLimitExceeded`. */
  async call<T>(action: Action, retries: RetryPolicy, act: () => T): Promise<T> {
    const { clock, random } = this.options;
    for (let attempt = 1; ; attempt += 1) {
      this.calls += 1;
      this.byAction.set(action, (this.byAction.get(action) ?? 0) + 1);
      if (this.admit(action)) break;
      this.throttled += 1;
      await clock.sleep(this.time(REFUSAL_LATENCY));
      if (attempt >= retries.attempts) throw new Ec2Error("RequestLimitExceeded");
      await clock.sleep(random.next() * retries.pauseMs * 2 ** (attempt - 1));
    }
    await clock.sleep(this.time(LATENCY[action] ?? READ_LATENCY));
    return act();
  }

  /** How long until a device that was attached just now shows on its instance. */
  deviceDelayMs(): number {
    return this.time(DEVICE_SHOWS);
  }

  metadataDelayMs(): number {
    return this.time(METADATA_SHOWS);
  }

  private time(spread: Spread): number {
    return this.options.random.spread(spread) * this.options.latencyScale;
  }

  private admit(action: Action): boolean {
    if (this.share === Number.POSITIVE_INFINITY) return true;
    const bucket = BUCKETS[action] ?? (action.startsWith("Describe") ? READS : WRITES);
    const scale = this.options.budgetScale * this.share;
    const now = this.options.clock.now();
    // a bucket that is scaled down still holds one token: else nothing would ever pass
    const size = Math.max(1, bucket.size * scale);
    const level = this.levels.get(action) ?? { tokens: size, at: now };
    const earned = ((now - level.at) / 1000) * bucket.perSecond * scale;
    level.tokens = Math.min(size, level.tokens + earned);
    level.at = now;
    this.levels.set(action, level);
    if (level.tokens < 1) return false;
    level.tokens -= 1;
    return true;
  }
}
