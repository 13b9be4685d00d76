import { CodedError, type RetryAdvice } from "../common/errors.ts";
import type { SubnetId } from "../common/ids.ts";
import type { Cidr } from "../common/ip.ts";

/** What the caller does after an error. */
export type NextStep =
  /** The same again, after a pause that grows. */
  | "retry-soon"
  /** The same again when something else may have changed: minutes. */
  | "retry-later"
  /** Another subnet, or units of another size. */
  | "other-subnet"
  /** Another interface; on none left, the node is full. */
  | "full"
  /** A person grants the permission; asked again now and then. */
  | "no-permission"
  /** Nothing: asking again gives the same. */
  | "fatal";

type Meaning = { readonly retry: RetryAdvice; readonly step: NextStep };

/** The closed set of what a cloud call may fail with, and what the caller does next. Each cloud maps its codes to these, one it does not know to `unavailable`. */
export const CLOUD_ERRORS = {
  "not-found": { retry: "later", step: "retry-later" },
  "already-exists": { retry: "now", step: "retry-soon" },
  /** Someone else changed it: read again, decide again. */
  conflict: { retry: "now", step: "retry-soon" },
  throttled: { retry: "soon", step: "retry-soon" },
  /** The interface or the instance is full. */
  "limit-reached": { retry: "elsewhere", step: "full" },
  /** The subnet has no free address. */
  "subnet-exhausted": { retry: "elsewhere", step: "other-subnet" },
  /** The subnet may have free addresses, but no aligned range of them for a block. */
  "no-free-block": { retry: "elsewhere", step: "other-subnet" },
  /** The credentials lack an action, which the message names. */
  unauthorized: { retry: "later", step: "no-permission" },
  /** No answer, or an answer that says nothing: the outcome is unknown. */
  unavailable: { retry: "soon", step: "retry-soon" },
  /** Refused before any call: the interface is not ours. */
  "not-ours": { retry: "never", step: "fatal" },
  /** The cloud rejects the request as malformed: our bug, or a cloud's change. */
  invalid: { retry: "never", step: "fatal" },
} as const satisfies Record<string, Meaning>;

export type CloudErrorCode = keyof typeof CLOUD_ERRORS;

export type CloudErrorOptions = {
  readonly operation: string;
  readonly cloudCode?: string | undefined;
  readonly permission?: string | undefined;
  readonly subnetIds?: readonly SubnetId[];
  readonly added?: readonly Cidr[];
  readonly released?: readonly Cidr[];
  readonly cause?: unknown;
};

export class CloudError extends CodedError {
  declare readonly code: CloudErrorCode;
  readonly step: NextStep;
  /** The cloud's own code, for people: `InsufficientFreeAddressesInSubnet`. */
  readonly cloudCode: string | undefined;
  /** The API call that failed, for people and metrics: `AssignPrivateIpAddresses`. */
  readonly operation: string;
  /** Of `unauthorized`: what is to be granted, as the cloud names it: `ec2:CreateTags`. */
  readonly permission: string | undefined;
  /** Of `subnet-exhausted` and `no-free-block`: which ones. */
  readonly subnetIds: readonly SubnetId[];
  /** Of assignUnits(): what earlier requests of the same call have added all the same. */
  readonly added: readonly Cidr[];
  /** Of releaseUnits(): what is gone all the same. What of the rest is gone, the code tells: `unavailable` that nobody knows, any other none. */
  readonly released: readonly Cidr[];

  constructor(code: CloudErrorCode, message: string, options: CloudErrorOptions) {
    super(code, message, { retry: CLOUD_ERRORS[code].retry, cause: options.cause });
    this.step = CLOUD_ERRORS[code].step;
    this.operation = options.operation;
    this.cloudCode = options.cloudCode;
    this.permission = options.permission;
    this.subnetIds = options.subnetIds ?? [];
    this.added = options.added ?? [];
    this.released = options.released ?? [];
  }

  /** The same error, of a call that has added these before it failed. */
  afterAdding(added: readonly Cidr[]): CloudError {
    return new CloudError(this.code, this.message, { ...this.options(), added: [...this.added, ...added] });
  }

  /** The same error, of a call that has given these back before it failed. */
  afterReleasing(released: readonly Cidr[]): CloudError {
    const all = [...this.released, ...released];
    return new CloudError(this.code, this.message, { ...this.options(), released: all });
  }

  /** The same error, of a call that may have acted before it failed. Its code is not among the causes either. */
  asUnavailable(why: string): CloudError {
    return new CloudError("unavailable", `${this.message} (${why})`, this.options());
  }

  private options(): CloudErrorOptions {
    const { operation, cloudCode, permission, subnetIds, added, released, cause } = this;
    return { operation, cloudCode, permission, subnetIds, added, released, cause };
  }
}
