import type { SubnetId } from "../../common/ids.ts";
import { CloudError, type CloudErrorCode } from "../errors.ts";

/**
 * EC2's codes and what they mean to us ("Error codes for the Amazon EC2 API", docs.aws.amazon.com, read 2026-11-25). What is in no
 * table and follows no rule waits as `unavailable`: an unknown code never makes us drop or give up anything.
 */
const CODES: Readonly<Record<string, CloudErrorCode>> = {
  RequestLimitExceeded: "throttled",
  Throttling: "throttled",
  ThrottlingException: "throttled",
  EC2ThrottledException: "throttled",
  // a 503 of EC2's front, of the same meaning ("Error codes", "Server error codes")
  Unavailable: "unavailable",
  ServiceUnavailable: "unavailable",
  InternalError: "unavailable",
  InternalFailure: "unavailable",
  RequestTimeout: "unavailable",
  TooManyRequestsException: "throttled",

  InsufficientFreeAddressesInSubnet: "subnet-exhausted",
  InsufficientCidrBlocks: "no-free-block",

  UnauthorizedOperation: "unauthorized",
  AuthFailure: "unauthorized",
  AccessDenied: "unauthorized",
  Blocked: "unauthorized",
  ExpiredToken: "unauthorized",
  ExpiredTokenException: "unauthorized",
  IncompleteSignature: "unauthorized",
  InvalidClientTokenId: "unauthorized",
  MissingAuthenticationToken: "unauthorized",
  OptInRequired: "unauthorized",
  PendingVerification: "unauthorized",
  RequestExpired: "unauthorized",
  SignatureDoesNotMatch: "unauthorized",
  UnrecognizedClientException: "unauthorized",

  ConcurrentTagAccess: "conflict",
  DependencyViolation: "conflict",
  // the first try is there, with what was asked for then
  IdempotentParameterMismatch: "conflict",
  IncorrectInstanceState: "conflict",
  IncorrectState: "conflict",
  "InvalidIPAddress.InUse": "conflict",
  "InvalidNetworkInterface.InUse": "conflict",
  "InvalidNetworkInterfaceID.InUse": "conflict",
  ResourceAlreadyAssociated: "conflict",

  InvalidAction: "invalid",
  InvalidInstanceType: "invalid",
  InvalidParameter: "invalid",
  InvalidParameterCombination: "invalid",
  InvalidParameterDependency: "invalid",
  InvalidParameterValue: "invalid",
  InvalidQueryParameter: "invalid",
  MalformedQueryString: "invalid",
  MissingAction: "invalid",
  MissingParameter: "invalid",
  OperationNotPermitted: "invalid",
  UnknownParameter: "invalid",
  UnsupportedOperation: "invalid",
  ValidationError: "invalid",
};

/** Whole families of codes. RequestLimitExceeded is in the table, which comes first. */
const RULES: readonly (readonly [RegExp, CloudErrorCode])[] = [
  [/\.NotFound$/, "not-found"],
  [/\.Malformed$/, "invalid"],
  [/\.Duplicate$/, "already-exists"],
  [/LimitExceeded$/, "limit-reached"],
];

/** One code, two meanings: EC2 answers InvalidParameterValue and only the text tells which. */
const TEXTS: readonly (readonly [string, RegExp, CloudErrorCode])[] = [
  // amazon-vpc-cni-k8s#3105
  ["InvalidParameterValue", /aren't sufficient free Ipv[46] addresses or prefixes/i, "subnet-exhausted"],
  ["InvalidParameterValue", /already has an interface attached at device index/i, "conflict"],
];

/** What an exception of the SDK means. `operation` is the EC2 action, which an `unauthorized` message names as IAM does. */
export function toCloudError(operation: string, error: unknown): CloudError {
  if (error instanceof CloudError) return error;
  const cloudCode = codeOf(error);
  const text = error instanceof Error ? error.message : String(error);
  const code = meaning(cloudCode, text);
  const permission = code === "unauthorized" ? missingAction(operation, text) : undefined;
  const hint = permission === undefined ? "" : ` (IAM action ${permission})`;
  return new CloudError(code, `${operation}${hint}: ${cloudCode}: ${firstLine(text)}`, {
    operation,
    cloudCode,
    permission,
    cause: error,
  });
}

/** What was asked for, where it decides what a refusal means. */
export type Asked = { readonly subnetId: SubnetId; readonly blocks: boolean };

/**
 * The same error, with the subnet that is full. Whatever EC2 calls it, a subnet that refused blocks may have single addresses: only a
 * refusal of those says that it is exhausted.
 */
export function inSubnet(error: unknown, { subnetId, blocks }: Asked): unknown {
  if (!isFull(error)) return error;
  const { message, operation, cloudCode } = error;
  const code = blocks ? "no-free-block" : "subnet-exhausted";
  return new CloudError(code, `${message} (${subnetId})`, {
    operation,
    cloudCode,
    subnetIds: [subnetId],
    cause: error.cause,
  });
}

/** Whether it refuses to take something away because it, or some of it, is not there. EC2 has the code for more than that: only a look tells. */
export function saysSomeAreGone(error: unknown): boolean {
  if (!(error instanceof CloudError)) return false;
  return error.code === "not-found" || error.cloudCode === "InvalidParameterValue";
}

/** Whether the SDK had sent the call before, so that what failed may have been done by an earlier try. */
export function wasRepeated({ cause }: CloudError): boolean {
  const sent = cause as { readonly $metadata?: { readonly attempts?: number | undefined } } | undefined;
  return (sent?.$metadata?.attempts ?? 1) > 1;
}

/** Whether another subnet may have what this one refused. */
export function isFull(error: unknown): error is CloudError {
  return error instanceof CloudError && error.step === "other-subnet";
}

/** EC2's text names the action that one call lacks of several: CreateNetworkInterface with tags needs CreateTags too. */
function missingAction(operation: string, text: string): string {
  return /not authorized to perform: (ec2:[A-Za-z0-9]+)/.exec(text)?.[1] ?? `ec2:${operation}`;
}

function meaning(cloudCode: string, text: string): CloudErrorCode {
  const byText = TEXTS.find(([code, pattern]) => code === cloudCode && pattern.test(text));
  return (
    byText?.[2] ?? CODES[cloudCode] ?? RULES.find(([rule]) => rule.test(cloudCode))?.[1] ?? "unavailable"
  );
}

/** The SDK puts EC2's code into `name`; an HTML body gives `Unknown` or a parser's error. Some replies prefix `Client.`. */
function codeOf(error: unknown): string {
  const name = error instanceof Error ? error.name : "Unknown";
  return name.replace(/^(Client|Server)\./, "");
}

/** An HTML page must not fill a log line. */
function firstLine(text: string): string {
  const line = text.split("\n", 1)[0] ?? "";
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
