/**
 * How many addresses the node should hold. Demand comes first: what pods have, what cools down, and what bound pods will ask for; then a spare, or
 * what the targets say that amazon-vpc-cni's users know (reference: its docs/eni-and-ip-target.md). Unlike there, a cooling address counts as used.
 */
import type { PoolSettings } from "../settings.ts";

export type Need = {
  readonly leased: number;
  readonly cooling: number;
  readonly pending: number;
  readonly maxPods: number | undefined;
  /** Pods are known before they ask: what cools down will be free again before somebody comes unannounced. */
  readonly isAnnounced: boolean;
};

/** What one unit, and one whole interface, brings: for the targets that count those. */
export type Sizes = { readonly block: number; readonly interface: number };

export type Target = { readonly total: number; readonly spare: number };

export function targetOf(need: Need, settings: PoolSettings, sizes: Sizes): Target {
  const used = need.leased + need.cooling + need.pending;
  const wanted = Math.max(used + warm(need, settings, sizes), settings.minimumIpTarget ?? 0);
  // more pods than kubelet accepts cannot come, whatever the spare; those that are there count in any case
  const limit = need.maxPods === undefined ? wanted : Math.max(used, need.maxPods + need.cooling);
  const total = Math.min(wanted, limit);
  return { total, spare: total - used };
}

/** True when somebody has set one of the targets: they count instead of the spare. */
export function hasTargets({
  warmIpTarget,
  minimumIpTarget,
  warmPrefixTarget,
  warmEniTarget,
  unit,
}: PoolSettings): boolean {
  const counted = [warmIpTarget, minimumIpTarget, warmEniTarget];
  return (
    counted.some((target) => target !== undefined) || (unit === "block" && warmPrefixTarget !== undefined)
  );
}

/** Free addresses beyond the used ones. */
function warm({ cooling, isAnnounced }: Need, settings: PoolSettings, sizes: Sizes): number {
  const { warmIpTarget, minimumIpTarget, warmPrefixTarget, warmEniTarget, unit, spare } = settings;
  if (warmIpTarget !== undefined || minimumIpTarget !== undefined) return warmIpTarget ?? 0;
  if (warmPrefixTarget !== undefined && unit === "block") return warmPrefixTarget * sizes.block;
  if (warmEniTarget !== undefined) return warmEniTarget * sizes.interface;
  return isAnnounced ? Math.max(0, spare - cooling) : spare;
}
