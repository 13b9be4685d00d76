/** The only file that lists the clouds. Each is loaded when it is chosen, so that a node holds one SDK in memory. */
import type { CloudOptions } from "./options.ts";
import type { CloudNetwork } from "./provider.ts";
import { withLimits } from "./with-limits.ts";
import { withMetrics } from "./with-metrics.ts";

type Load = (options: CloudOptions) => Promise<CloudNetwork>;

const CLOUDS = {
  aws: async (options) => new (await import("./aws/provider.ts")).AwsNetwork(options),
  fake: async (options) => (await import("./fake/provider.ts")).openFake(options),
} as const satisfies Record<string, Load>;

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
