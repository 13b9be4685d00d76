/** Why the pool cannot have what it wants, as one word for programs and a sentence for people. Pure. */
import { describeError } from "../common/errors.ts";
import { CloudError, type CloudErrorCode } from "../providers/errors.ts";
import type { ObstacleView } from "./obstacles.ts";
import type { LimitCause, Plan } from "./plan/facts.ts";
import type { PoolSettings } from "./settings.ts";

/** Stable: reasons of events and of the node's condition. */
export type LimitReason =
  | "SubnetFull"
  | "SubnetFragmented"
  | "InstanceFull"
  | "NoPermission"
  | "Throttled"
  | "CloudWritesOff"
  | "CloudUnavailable"
  | "CloudRefuses"
  | "InterfaceNotShown"
  | "PrimaryNotOurs";

export type PoolLimit = { readonly reason: LimitReason; readonly message: string };

const BY_CODE: Readonly<Record<CloudErrorCode, LimitReason>> = {
  "subnet-exhausted": "SubnetFull",
  "no-free-block": "SubnetFragmented",
  "limit-reached": "InstanceFull",
  unauthorized: "NoPermission",
  throttled: "Throttled",
  unavailable: "CloudUnavailable",
  conflict: "CloudUnavailable",
  "not-found": "CloudUnavailable",
  "already-exists": "CloudUnavailable",
  "not-ours": "CloudRefuses",
  invalid: "CloudRefuses",
};

const BY_CAUSE: Readonly<Record<Exclude<LimitCause, "growth" | "creation">, LimitReason>> = {
  "full-subnet": "SubnetFull",
  "instance-full": "InstanceFull",
  "interface-not-shown": "InterfaceNotShown",
  "primary-not-ours": "PrimaryNotOurs",
};

/** A pass that failed: what it failed with. */
export function limitOfFailure(error: unknown): PoolLimit {
  const reason = error instanceof CloudError ? BY_CODE[error.code] : "CloudUnavailable";
  return { reason, message: describeError(error) };
}

/** Undefined when the target is reached, or will be. `obstacles` are those that the plan was made with. */
export function limitOfPlan(
  { limit, limitCause }: Plan,
  obstacles: readonly ObstacleView[],
  { cloudWrites }: Pick<PoolSettings, "cloudWrites">,
): PoolLimit | undefined {
  if (limit === undefined || limitCause === undefined) return undefined;
  if (limitCause !== "growth" && limitCause !== "creation")
    return { reason: BY_CAUSE[limitCause], message: limit };
  if (cloudWrites === "none") return { reason: "CloudWritesOff", message: limit };
  const code = obstacles.find(({ what }) => what === limitCause)?.code;
  return { reason: code === undefined ? "CloudUnavailable" : BY_CODE[code], message: limit };
}

/** The first subnet that has said lately that it is full. */
export function fullSubnet(obstacles: readonly ObstacleView[]): PoolLimit | undefined {
  const full = obstacles.find(({ what }) => what.startsWith("full-subnet "));
  if (full === undefined) return undefined;
  const [, id] = full.what.split(" ");
  return { reason: "SubnetFull", message: `subnet ${id} has no free address (${full.why})` };
}
