/** The only file that lists the clouds. Each is loaded when it is chosen, so that a node holds one SDK in memory. */

import { CloudError } from "./errors.ts";
import type { CloudOptions } from "./options.ts";
import type { CloudNetwork, InstanceTypeFacts } from "./provider.ts";
import { withLimits } from "./with-limits.ts";
import { withMetrics } from "./with-metrics.ts";

type Load = (options: CloudOptions) => Promise<CloudNetwork>;

const CLOUDS = {
  aws: async (options) => new (await import("./aws/provider.ts")).AwsNetwork(options),
  fake: async (options) => (await import("./fake/provider.ts")).openFake(options),
} as const satisfies Record<string, Load>;

type Describe = (instanceType: string, options: CloudOptions) => Promise<InstanceTypeFacts>;

/** Clouds whose instance types have names. */
const INSTANCE_TYPES: Readonly<Partial<Record<string, Describe>>> = {
  aws: async (...of) => (await import("./aws/instance-type-facts.ts")).describeInstanceType(...of),
};

export type CloudName = keyof typeof CLOUDS;

export const CLOUD_NAMES = Object.keys(CLOUDS) as readonly CloudName[];

/** For configuration: whether a text names a cloud of this build. */
export function isCloudName(text: string): text is CloudName {
  return (CLOUD_NAMES as readonly string[]).includes(text);
}

/**
 * Builds one cloud, with rate limits, deadlines and metrics around it. Loads code, and makes no call: what is wrong with region,
 * endpoint or credentials shows in the first call.
 */
export async function openCloud(name: CloudName, options: CloudOptions): Promise<CloudNetwork> {
  const network = await CLOUDS[name](options);
  return withMetrics(withLimits(network, options), options);
}

/**
 * What instances of a type can carry; asks the cloud only of types that are not known. Throws CloudError: `not-found` for one that there is not, with
 * names that are like it.
 */
export async function describeInstanceType(
  name: CloudName,
  instanceType: string,
  options: CloudOptions,
): Promise<InstanceTypeFacts> {
  const describe = INSTANCE_TYPES[name];
  if (describe !== undefined) return describe(instanceType, options);
  const message = `the cloud ${name} has no instance types to tell of`;
  throw new CloudError("not-found", message, { operation: "describeInstanceType" });
}
