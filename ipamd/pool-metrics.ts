/** The pool in numbers: gauges are set when they are read, the others when something happens. docs/operations.md lists them. */
import { DEFAULT_POOL } from "../common/ids.ts";
import type { Family } from "../common/ip.ts";
import type { Counter, Histogram, Metrics } from "../common/metrics.ts";
import { CloudError } from "../providers/errors.ts";
import type { LeaseBook } from "./lease-book.ts";
import { addressesIn } from "./plan/capacity.ts";
import type { Action } from "./plan/facts.ts";
import type { Pool } from "./pool.ts";
import type { Reconciler } from "./reconcile.ts";
import type { UnitUse } from "./unit-book.ts";

export type PoolMetricsParts = {
  readonly pool: Pick<Pool, "summary" | "onUplinks">;
  readonly book: Pick<LeaseBook, "waiting">;
  readonly reconciler: Pick<Reconciler, "report">;
};

/** How long ADDs wait: most for nothing, some until the cloud has attached an interface, and the last ones until their deadline. */
const WAIT_BUCKETS = [0, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80];

export class PoolMetrics {
  private readonly metrics: Metrics;
  private readonly waits: Histogram;
  private readonly actions: Counter;

  constructor(metrics: Metrics) {
    this.metrics = metrics;
    this.waits = metrics.histogram(
      "causeway_address_wait_seconds",
      "How long ADDs waited for an address; 0 when one was free.",
      WAIT_BUCKETS,
    );
    this.actions = metrics.counter(
      "causeway_pool_actions_total",
      "What was asked of the cloud for the pool, by outcome.",
    );
  }

  /** An ADD has had its address after so long, 0 for at once, or has gone without. */
  waited(ms: number, isServed: boolean): void {
    this.waits.observe(ms / 1000, { outcome: isServed ? "served" : "given-up" });
  }

  /** What became of an action: no error is `ok`. */
  acted({ kind }: Action, error?: unknown): void {
    const outcome = error === undefined ? "ok" : error instanceof CloudError ? error.code : "failed";
    this.actions.add({ kind, outcome });
  }

  /** Before they are read. */
  refresh(parts: PoolMetricsParts): void {
    this.addresses(parts);
    this.wanted(parts);
    this.gauge("causeway_pool_waiting", "ADDs that wait for an address.").set(parts.book.waiting().length);
    const obstacles = this.gauge("causeway_pool_obstacles", "What stands in the pool's way, by kind.");
    obstacles.clear();
    const kinds = Map.groupBy(parts.reconciler.report().obstacles, ({ what }) => what.split(" ")[0] ?? what);
    for (const [kind, those] of kinds) obstacles.set(those.length, { kind });
  }

  private addresses({ pool }: PoolMetricsParts): void {
    const held = this.gauge("causeway_pool_addresses", "Addresses held, by uplink, family and state.");
    held.clear();
    const set = (slot: number, family: Family, states: Readonly<Record<string, number>>) => {
      for (const [state, count] of Object.entries(states))
        held.set(count, { slot: String(slot), family: `ipv${family}`, state });
    };
    for (const { slot, family, free, leased, cooling } of pool.summary())
      set(slot, family, { free, leased, cooling });
    for (const { slot, units, releasing } of pool.onUplinks(DEFAULT_POOL))
      for (const family of [4, 6] as const)
        set(slot, family, { aside: asideIn(units, family), releasing: addressesIn(releasing, family) });
  }

  private wanted({ reconciler }: PoolMetricsParts): void {
    const count = reconciler.report().plan?.count;
    if (count === undefined) return;
    const { leased, cooling, pending, spare, target } = count;
    this.gauge("causeway_pool_target", "Addresses to hold in all, in pods.").set(target);
    const demand = this.gauge("causeway_pool_demand", "What the target is made of, in pods.");
    for (const [part, value] of Object.entries({ leased, cooling, pending, spare }))
      demand.set(value, { part });
  }

  private gauge(name: string, help: string) {
    return this.metrics.gauge(name, help);
  }
}

/** Would be free, were it not in doubt. */
function asideIn(units: readonly UnitUse[], family: Family): number {
  const aside = units.filter(({ unit, isAside }) => isAside && unit.family === family);
  const used = aside.reduce((total, { leased, cooling }) => total + leased + cooling, 0);
  const all = aside.map(({ unit }) => unit);
  return addressesIn(all, family) - used;
}
