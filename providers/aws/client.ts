import { EC2Client, type EC2ClientConfig } from "@aws-sdk/client-ec2";
import { ConfiguredRetryStrategy } from "@smithy/core/retry";
import type { Clock } from "../../common/clock.ts";
import type { Metrics } from "../../common/metrics.ts";
import { backoffMs } from "../../common/retry.ts";
import { CloudError } from "../errors.ts";
import { type Rate, TokenBucket } from "../token-bucket.ts";
import { ApiMetrics } from "./api-metrics.ts";
import { toCloudError } from "./errors.ts";

/** Without all of these a server that accepts and says nothing holds a call for ever: the SDK's own defaults wait. */
export type Timeouts = {
  /** Until a connection stands. */
  readonly connectMs: number;
  /** Until the reply begins, and between its parts. One try. */
  readonly replyMs: number;
  /** The call in all, its retries included. */
  readonly callMs: number;
};

export const DEFAULT_TIMEOUTS: Timeouts = { connectMs: 2_000, replyMs: 8_000, callMs: 25_000 };

/** How often the SDK sends a call that may be repeated, the first time included. */
const ATTEMPTS_MAX = 3;

/**
 * One node's share of each action. EC2 has a bucket for each action of the account and region, all nodes together: from 50 + 5 a second for
 * what changes to 100 + 20 a second for what reads (docs.aws.amazon.com, "Request throttling for the Amazon EC2 API", read 2026-11-25).
 */
export type NodeShare = { readonly reads: Rate; readonly writes: Rate };

export const NODE_SHARE: NodeShare = {
  reads: { burst: 20, perSecond: 2 },
  writes: { burst: 10, perSecond: 1 },
};

/** How much longer than its rate demands a call waits for its turn, at most, as a part of the wait. */
const WAIT_JITTER = 0.25;

export type Ec2ClientOptions = {
  readonly region: string | (() => Promise<string>);
  readonly endpoint?: string;
  readonly credentials: NonNullable<EC2ClientConfig["credentials"]>;
  readonly timeouts?: Timeouts;
  readonly share?: NodeShare;
  readonly clock: Clock;
  readonly metrics: Metrics;
};

/** Whether the SDK may send the call again by itself. */
export type Repeat =
  /** Doing it twice is the same as once: reads, calls with a ClientToken, calls that set a value. */
  | "safe"
  /** A lost reply followed by a repetition would act twice: describe first, then decide. */
  | "once";

/** What the SDK adds to a reply, and to an error that EC2 answered. */
type Sent = { readonly $metadata?: { readonly attempts?: number | undefined } };

type SendOptions = { readonly abortSignal: AbortSignal };

/** The door to EC2: every call waits for its turn, has a deadline, throws only CloudError, and is counted and timed. */
export class Ec2Client {
  private readonly repeating: EC2Client;
  private readonly single: EC2Client;
  private readonly callMs: number;
  private readonly share: NodeShare;
  private readonly clock: Clock;
  private readonly buckets = new Map<string, TokenBucket>();
  private readonly metrics: ApiMetrics;

  constructor(options: Ec2ClientOptions) {
    const { connectMs, replyMs, callMs } = options.timeouts ?? DEFAULT_TIMEOUTS;
    const config: EC2ClientConfig = {
      region: options.region,
      credentials: options.credentials,
      customUserAgent: "causeway",
      requestHandler: {
        connectionTimeout: connectMs,
        // requestTimeout alone only warns, and does not cover a reply that stalls in its body: socketTimeout does
        requestTimeout: replyMs,
        throwOnRequestTimeout: true,
        socketTimeout: replyMs,
      },
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    };
    // the standard mode, which honours Retry-After; not the adaptive one, whose bucket held later, unrelated calls for seconds
    const pauseMs = (attempt: number) => backoffMs(attempt + 1, { delayMs: 200, delayMaxMs: 3_000 });
    this.repeating = new EC2Client({
      ...config,
      retryStrategy: new ConfiguredRetryStrategy(ATTEMPTS_MAX, pauseMs),
    });
    this.single = new EC2Client({ ...config, maxAttempts: 1 });
    this.callMs = callMs;
    this.share = options.share ?? NODE_SHARE;
    this.clock = options.clock;
    this.metrics = new ApiMetrics(options.metrics);
  }

  /** Runs one call. `operation` is the EC2 action, for errors and metrics. */
  async call<T extends Sent>(
    operation: string,
    repeat: Repeat,
    signal: AbortSignal,
    send: (client: EC2Client, options: SendOptions) => Promise<T>,
  ): Promise<T> {
    const client = repeat === "safe" ? this.repeating : this.single;
    const abortSignal = AbortSignal.any([signal, AbortSignal.timeout(this.callMs)]);
    const bucket = this.bucketOf(operation);
    await this.waitForTurn(operation, bucket, signal, abortSignal);
    const begun = this.clock.now();
    try {
      abortSignal.throwIfAborted();
      const reply = await send(client, { abortSignal });
      bucket.admitted();
      this.metrics.ended(operation, "ok", this.clock.now() - begun, reply.$metadata?.attempts);
      return reply;
    } catch (error) {
      const cloudError = toCloudError(operation, error);
      if (cloudError.code === "throttled") bucket.refused();
      const code = cloudError.cloudCode ?? cloudError.code;
      const attempts = (error as Sent | undefined)?.$metadata?.attempts;
      this.metrics.ended(
        operation,
        code,
        this.clock.now() - begun,
        attempts,
        cloudError.code === "throttled",
      );
      throw cloudError;
    }
  }

  /** A call whose turn does not come before its deadline was never sent: its outcome is known. */
  private async waitForTurn(
    operation: string,
    bucket: TokenBucket,
    caller: AbortSignal,
    bounded: AbortSignal,
  ): Promise<void> {
    const begun = this.clock.now();
    try {
      await bucket.take(bounded);
    } catch (cause) {
      const message = `${operation}: not sent, it waited for its turn among this node's calls`;
      throw new CloudError(caller.aborted ? "unavailable" : "throttled", message, { operation, cause });
    } finally {
      this.metrics.waited(operation, this.clock.now() - begun);
    }
  }

  private bucketOf(operation: string): TokenBucket {
    const { reads, writes } = this.share;
    const rate = operation.startsWith("Describe") ? reads : writes;
    const bucket = this.buckets.get(operation) ?? new TokenBucket(rate, this.clock, WAIT_JITTER);
    this.buckets.set(operation, bucket);
    return bucket;
  }

  /** Closes kept connections. */
  close(): void {
    this.repeating.destroy();
    this.single.destroy();
  }
}
