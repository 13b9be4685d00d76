import { EC2Client, type EC2ClientConfig } from "@aws-sdk/client-ec2";
import { ConfiguredRetryStrategy } from "@smithy/core/retry";
import type { Counter, Metrics } from "../../common/metrics.ts";
import { backoffMs } from "../../common/retry.ts";
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

export type Ec2ClientOptions = {
  readonly region: string | (() => Promise<string>);
  readonly endpoint?: string;
  readonly credentials: NonNullable<EC2ClientConfig["credentials"]>;
  readonly timeouts?: Timeouts;
  readonly metrics: Metrics;
};

/** Whether the SDK may send the call again by itself. */
export type Repeat =
  /** Doing it twice is the same as once: reads, calls with a ClientToken, calls that set a value. */
  | "safe"
  /** A lost reply followed by a repetition would act twice: describe first, then decide. */
  | "once";

type SendOptions = { readonly abortSignal: AbortSignal };

/** The door to EC2: every call has a deadline, throws only CloudError, and is counted. */
export class Ec2Client {
  private readonly repeating: EC2Client;
  private readonly single: EC2Client;
  private readonly callMs: number;
  private readonly calls: Counter;

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
    // not the adaptive mode: its bucket held later, unrelated calls for seconds
    const pauseMs = (attempt: number) => backoffMs(attempt + 1, { delayMs: 200, delayMaxMs: 3_000 });
    this.repeating = new EC2Client({ ...config, retryStrategy: new ConfiguredRetryStrategy(3, pauseMs) });
    this.single = new EC2Client({ ...config, maxAttempts: 1 });
    this.callMs = callMs;
    this.calls = options.metrics.counter(
      "causeway_aws_api_calls_total",
      "Calls of the EC2 API, by action and EC2's error code.",
    );
  }

  /** Runs one call. `operation` is the EC2 action, for errors and metrics. */
  async call<T>(
    operation: string,
    repeat: Repeat,
    signal: AbortSignal,
    send: (client: EC2Client, options: SendOptions) => Promise<T>,
  ): Promise<T> {
    const client = repeat === "safe" ? this.repeating : this.single;
    const abortSignal = AbortSignal.any([signal, AbortSignal.timeout(this.callMs)]);
    try {
      abortSignal.throwIfAborted();
      const reply = await send(client, { abortSignal });
      this.calls.add({ operation, code: "ok" });
      return reply;
    } catch (error) {
      const cloudError = toCloudError(operation, error);
      this.calls.add({ operation, code: cloudError.cloudCode ?? cloudError.code });
      throw cloudError;
    }
  }

  /** Closes kept connections. */
  close(): void {
    this.repeating.destroy();
    this.single.destroy();
  }
}
