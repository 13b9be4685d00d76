import { CodedError, type RetryAdvice } from "../common/errors.ts";
import type { SubnetId } from "../common/ids.ts";

/** The closed set of what a cloud call may fail with, and what the caller does next. */
export const CLOUD_ERRORS = {
  "not-found": "later",
  "already-exists": "now",
  /** Someone else changed it: read again, decide again. */
  conflict: "now",
  throttled: "soon",
  /** The interface or the instance is full. */
  "limit-reached": "elsewhere",
  /** The subnet has no free address. */
  "subnet-exhausted": "elsewhere",
  /** The subnet has free addresses, but no aligned range of them for a block. */
  "no-free-block": "elsewhere",
  /** The credentials lack an action, which the message names. */
  unauthorized: "later",
  /** No answer, or an answer that says nothing: the outcome is unknown. */
  unavailable: "soon",
  /** Refused before any call: the interface is not ours. */
  "not-ours": "never",
  /** The cloud rejects the request as malformed: our bug, or a cloud's change. */
  invalid: "never",
} as const satisfies Record<string, RetryAdvice>;

export type CloudErrorCode = keyof typeof CLOUD_ERRORS;

export class CloudError extends CodedError {
  declare readonly code: CloudErrorCode;
  /** The cloud's own code, for people: `InsufficientFreeAddressesInSubnet`. */
  readonly cloudCode: string | undefined;
  /** The API call that failed, for people and metrics: `AssignPrivateIpAddresses`. */
  readonly operation: string;
  /** Of `subnet-exhausted` and `no-free-block`: which ones. */
  readonly subnetIds: readonly SubnetId[];

  constructor(
    code: CloudErrorCode,
    message: string,
    options: {
      readonly operation: string;
      readonly cloudCode?: string;
      readonly subnetIds?: readonly SubnetId[];
      readonly cause?: unknown;
    },
  ) {
    super(code, message, { retry: CLOUD_ERRORS[code], cause: options.cause });
    this.operation = options.operation;
    this.cloudCode = options.cloudCode;
    this.subnetIds = options.subnetIds ?? [];
  }
}
