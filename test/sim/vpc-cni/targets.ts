/**
 * How many addresses amazon-vpc-cni wants: its published formulas (docs/eni-and-ip-target.md, docs/prefix-and-ip-target.md, pkg/ipamd/ipamd.go of
 * aws/amazon-vpc-cni-k8s). Cooling addresses count as available there.
 */
import { BLOCK_SIZE } from "../subnet.ts";

export type VpcCniSettings = {
  /** WARM_ENI_TARGET; not looked at when one of the IP targets is set. */
  readonly warmEni: number;
  /** WARM_IP_TARGET; 0 means unset. */
  readonly warmIp: number;
  /** MINIMUM_IP_TARGET; 0 means unset. */
  readonly minimumIp: number;
  /** ENABLE_PREFIX_DELEGATION with WARM_PREFIX_TARGET; undefined means without. */
  readonly warmPrefix?: number;
  /** MAX_ENI; undefined means what the instance can have. */
  readonly maxEni?: number;
};

export type PoolStats = {
  readonly total: number;
  readonly assigned: number;
  readonly prefixes: number;
  /** Prefixes without a pod. */
  readonly freePrefixes: number;
};

/** How much is missing and how much is too much, in addresses or, with prefix delegation, in prefixes. */
export type TargetState = { readonly short: number; readonly over: number };

/** Undefined when neither IP target is set. */
export function ipTargetState(settings: VpcCniSettings, stats: PoolStats): TargetState | undefined {
  const { warmIp, minimumIp, warmPrefix } = settings;
  if (warmIp === 0 && minimumIp === 0) return undefined;
  const available = stats.total - stats.assigned;
  const short = Math.max(warmIp - available, minimumIp - stats.total, 0);
  const over = Math.max(Math.min(Math.max(available - warmIp, 0), stats.total - minimumIp), 0);
  if (warmPrefix === undefined) return { short, over };
  const neededForWarm = Math.ceil((stats.assigned + warmIp) / BLOCK_SIZE);
  const neededForMinimum = Math.ceil(minimumIp / BLOCK_SIZE);
  const overPrefixes = Math.min(
    stats.freePrefixes,
    stats.prefixes - neededForWarm,
    stats.prefixes - neededForMinimum,
  );
  return { short: Math.ceil(short / BLOCK_SIZE), over: Math.max(overPrefixes, 0) };
}

/** @param perEni addresses of one interface that pods can have; with prefix delegation those of all its prefixes */
export function isTooLow(
  settings: VpcCniSettings,
  stats: PoolStats,
  limits: { readonly perEni: number; readonly maxPods: number },
): boolean {
  if (stats.total >= limits.maxPods) return false;
  const state = ipTargetState(settings, stats);
  if (state !== undefined) return state.short > 0;
  const available = stats.total - stats.assigned;
  const [target, size] =
    settings.warmPrefix === undefined ? [settings.warmEni, limits.perEni] : [settings.warmPrefix, BLOCK_SIZE];
  return available < size * target || (target === 0 && available === 0);
}

/** Whether single addresses or prefixes are given back. Plain WARM_ENI_TARGET gives back whole interfaces only. */
export function isTooHigh(settings: VpcCniSettings, stats: PoolStats): boolean {
  const state = ipTargetState(settings, stats);
  if (state !== undefined) return state.over > 0;
  return settings.warmPrefix !== undefined && stats.freePrefixes > settings.warmPrefix;
}

/** Whether it looks for an interface to remove. */
export function mayRemoveEni(settings: VpcCniSettings, stats: PoolStats, perEni: number): boolean {
  if (ipTargetState(settings, stats) !== undefined) return true;
  const target = settings.warmPrefix ?? settings.warmEni;
  return stats.total - stats.assigned >= (target + 1) * perEni;
}

/** Prefixes to add. */
export function prefixesNeeded(settings: VpcCniSettings, stats: PoolStats): number {
  const state = ipTargetState(settings, stats);
  if (state !== undefined) return Math.max(state.short, 1);
  return Math.max((settings.warmPrefix ?? 0) - stats.freePrefixes, 1);
}
