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
  TooManyRequestsException: "throttled",

  InsufficientFreeAddressesInSubnet: "subnet-exhausted",
  InsufficientCidrBlocks: "subnet-exhausted",

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
  const hint = code === "unauthorized" ? ` (IAM action ec2:${operation})` : "";
  return new CloudError(code, `${operation}${hint}: ${cloudCode}: ${firstLine(text)}`, {
    operation,
    cloudCode,
    cause: error,
  });
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
