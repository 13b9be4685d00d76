import type { Clock } from "../common/clock.ts";
import type { Metrics } from "../common/metrics.ts";
import { CloudError } from "./errors.ts";
import type { CloudNetwork } from "./provider.ts";

/**
 * The same network, with every call timed and counted: `causeway_cloud_call_duration_seconds` by cloud, call and outcome (`ok`,
 * or the error's code; `bug` for anything that is not a CloudError).
 */
export function withMetrics(
  network: CloudNetwork,
  options: { clock: Clock; metrics: Metrics },
): CloudNetwork {
  const duration = options.metrics.histogram(
    "causeway_cloud_call_duration_seconds",
    "Time of calls through the provider, by outcome.",
  );
  const timed = async <T>(call: string, work: () => Promise<T>): Promise<T> => {
    const begun = options.clock.now();
    let outcome = "ok";
    try {
      return await work();
    } catch (error) {
      outcome = error instanceof CloudError ? error.code : "bug";
      throw error;
    } finally {
      const seconds = (options.clock.now() - begun) / 1000;
      duration.observe(seconds, { cloud: network.name, call, outcome });
    }
  };
  return {
    name: network.name,
    identify: (signal) => timed("identify", () => network.identify(signal)),
    capabilities: (signal) => timed("capabilities", () => network.capabilities(signal)),
    describe: (signal) => timed("describe", () => network.describe(signal)),
    glance: (signal) => timed("glance", () => network.glance(signal)),
    createInterface: (request, signal) =>
      timed("createInterface", () => network.createInterface(request, signal)),
    deleteInterface: (id, signal) => timed("deleteInterface", () => network.deleteInterface(id, signal)),
    assignUnits: (id, requests, signal) =>
      timed("assignUnits", () => network.assignUnits(id, requests, signal)),
    releaseUnits: (id, units, signal) => timed("releaseUnits", () => network.releaseUnits(id, units, signal)),
    removeLeaks: (signal) => timed("removeLeaks", () => network.removeLeaks(signal)),
  };
}
