/** What `/pool` shows: the names are stable, and docs/operations.md lists them. Plain JSON: addresses and units are text. */
import type { PodRef } from "../cni/ipam.ts";
import type { Clock } from "../common/clock.ts";
import type { Family } from "../common/ip.ts";
import type { NodeSource } from "./kube/node.ts";
import type { LeaseBook } from "./lease-book.ts";
import type { ObstacleView } from "./obstacles.ts";
import { describeAction } from "./plan/describe-action.ts";
import type { Action, PoolCount } from "./plan/facts.ts";
import type { Pool } from "./pool.ts";
import type { LimitReason } from "./pool-limit.ts";
import type { Problem, ProblemBoard } from "./problems.ts";
import type { Reconciler } from "./reconcile.ts";
import { addressesOf } from "./recovery.ts";
import type { SettingsSource } from "./settings-source.ts";
import type { Uplinks } from "./uplinks.ts";

export type UplinkView = {
  readonly slot: number;
  readonly link: string;
  readonly interfaceId: string;
  readonly poolKey: string;
  readonly own: readonly string[];
  readonly units: readonly string[];
  readonly setAside: readonly string[];
  readonly releasing: readonly string[];
  readonly families: readonly {
    readonly family: Family;
    readonly free: number;
    readonly leased: number;
    readonly cooling: number;
  }[];
};

/** Asked of the cloud and not done: `what` in words, beside what is asked. */
export type RunningView = { readonly kind: Action["kind"]; readonly what: string } & Readonly<
  Record<string, unknown>
>;

export type PoolView = {
  readonly uplinks: readonly UplinkView[];
  readonly leases: readonly ({
    readonly containerId: string;
    readonly ifname: string;
    readonly addresses: readonly string[];
    readonly slot?: number;
  } & PodRef)[];
  readonly cooling: readonly string[];
  /** How many ADDs wait. */
  readonly waiting: number;
  /** Which, in order of arrival. */
  readonly waitingPods: readonly { readonly pod: string; readonly forMs: number }[];
  /** In pods; absent before the cloud's first answer. */
  readonly plan?: PoolCount;
  /** Why the target is not reached, and nothing more can be done. */
  readonly limit?: string;
  readonly limitReason?: LimitReason;
  readonly running: readonly RunningView[];
  readonly obstacles: readonly ObstacleView[];
  readonly settings: Readonly<Record<string, { readonly value: string; readonly from: string }>>;
  /** Pods that kubelet accepts, if it is known. */
  readonly maxPods?: number;
  /** How old the cloud's last answer is. */
  readonly describedAgoMs?: number;
  readonly problems: readonly Problem[];
};

export type PoolViewParts = {
  readonly uplinks: Pick<Uplinks, "list">;
  readonly pool: Pool;
  readonly book: Pick<LeaseBook, "ready" | "waiting">;
  readonly reconciler: Pick<Reconciler, "report" | "obstruction">;
  readonly problems: Pick<ProblemBoard, "list">;
};

export type PoolViewSources = {
  readonly settings: SettingsSource;
  readonly node: Pick<NodeSource, "maxPods">;
  readonly clock: Clock;
};

export function poolView(parts: PoolViewParts, { settings, node, clock }: PoolViewSources): PoolView {
  const { pool, book, reconciler, problems } = parts;
  const { plan, running, obstacles, describedAgoMs } = reconciler.report();
  const limit = reconciler.obstruction();
  const maxPods = node.maxPods();
  const waiting = book.waiting();
  return {
    uplinks: uplinksOf(parts),
    leases: leasesOf(parts),
    cooling: pool.addressesIn("cooling").map(String),
    waiting: waiting.length,
    waitingPods: waiting.map(({ pod, since }) => ({
      pod: nameOf(pod),
      forMs: Math.round(clock.now() - since),
    })),
    ...(plan && { plan: plan.count }),
    ...(limit && { limit: limit.message, limitReason: limit.reason }),
    running: running.map(runningOf),
    obstacles,
    settings: settingsOf(settings),
    ...(maxPods !== undefined && { maxPods }),
    ...(describedAgoMs !== undefined && { describedAgoMs }),
    problems: problems.list(),
  };
}

function uplinksOf({ uplinks, pool }: PoolViewParts): UplinkView[] {
  const rows = pool.summary();
  return uplinks.list().map(({ slot, linkName, interfaceId, poolKey, addresses }) => ({
    slot,
    link: linkName,
    interfaceId,
    poolKey,
    own: addresses.map(({ address }) => address.toString()),
    units: pool.units(slot).map(String),
    setAside: pool.unitsAside(slot).map(String),
    releasing: pool.releasing(slot).map(String),
    families: rows
      .filter((row) => row.slot === slot)
      .map(({ family, free, leased, cooling }) => ({ family, free, leased, cooling })),
  }));
}

function leasesOf({ book }: PoolViewParts): PoolView["leases"] {
  return book.ready().map((lease) => ({
    containerId: lease.attachment.containerId,
    ifname: lease.attachment.ifname,
    ...lease.pod,
    addresses: addressesOf(lease).map(String),
    ...(lease.slot !== undefined && { slot: lease.slot }),
  }));
}

function runningOf(action: Action): RunningView {
  const what = describeAction(action);
  if (action.kind === "assign")
    return { kind: action.kind, what, interfaceId: action.interfaceId, requests: action.requests };
  if (action.kind === "create")
    return { kind: action.kind, what, cardIndex: action.cardIndex, requests: action.units };
  return { kind: action.kind, what, interfaceId: action.interfaceId, units: action.units.map(String) };
}

function settingsOf({ status: { values, origins } }: SettingsSource): PoolView["settings"] {
  const entries = Object.entries(values).map(
    ([name, value]) => [name, { value, from: origins[name] ?? "default" }] as const,
  );
  return Object.fromEntries(entries);
}

/** `namespace/name`; a runtime that gives no names leaves the uid, or nothing to say. */
export function nameOf({ namespace, name, uid }: PodRef): string {
  return name === undefined ? (uid ?? "a pod without a name") : `${namespace ?? ""}/${name}`;
}
