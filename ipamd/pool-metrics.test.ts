import { beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId } from "../common/ids.ts";
import { Cidr } from "../common/ip.ts";
import { Metrics } from "../common/metrics.ts";
import { CloudError } from "../providers/errors.ts";
import type { ObstacleView } from "./obstacles.ts";
import type { Action, Plan } from "./plan/facts.ts";
import { Pool } from "./pool.ts";
import { PoolMetrics } from "./pool-metrics.ts";

const ASSIGN: Action = { kind: "assign", interfaceId: "eni-1" as InterfaceId, requests: [] };
const unit = (text: string) => Cidr.parse(text);

let metrics: Metrics;
let poolMetrics: PoolMetrics;
let pool: Pool;

beforeEach(() => {
  metrics = new Metrics();
  poolMetrics = new PoolMetrics(metrics);
  pool = new Pool();
  pool.addUplink(1, DEFAULT_POOL);
});

/** Series of a metric, after a refresh. */
function series(
  name: string,
  given: {
    readonly plan?: Plan;
    readonly obstacles?: readonly ObstacleView[];
    readonly waiting?: number;
  } = {},
): string[] {
  const { plan, obstacles = [], waiting = 0 } = given;
  poolMetrics.refresh({
    pool,
    book: { waiting: () => Array.from({ length: waiting }, () => ({ pod: {}, since: 0 })) },
    reconciler: { report: () => ({ plan, running: [], obstacles, describedAgoMs: undefined }) },
  });
  const lines = metrics.text().split("\n");
  return lines.filter((line) => line.startsWith(name)).map((line) => line.slice(name.length));
}

describe("PoolMetrics", () => {
  it("counts addresses by state: cooling, set aside and on their way back apart", () => {
    for (const text of ["10.0.0.5/32", "10.0.0.6/32", "10.0.0.16/28", "10.0.0.32/28", "10.0.0.9/32"])
      pool.hold(1, unit(text));
    pool.mark(unit("10.0.0.5/32").first, "leased");
    pool.mark(unit("10.0.0.6/32").first, "cooling");
    pool.mark(unit("10.0.0.33/32").first, "leased");
    pool.setAside(1, unit("10.0.0.32/28"));
    pool.startRelease(1, unit("10.0.0.9/32"));
    const ipv4 = series("causeway_pool_addresses").filter((line) => line.includes("ipv4"));
    expect(ipv4.map((line) => line.replace(/.*state="(\w+)"} /, "$1 "))).toEqual([
      "free 16",
      "leased 2",
      "cooling 1",
      "aside 15",
      "releasing 1",
    ]);
  });

  it("forgets uplinks that are gone", () => {
    pool.addUplink(2, DEFAULT_POOL);
    expect(series("causeway_pool_addresses").some((line) => line.includes('slot="2"'))).toBe(true);
    pool.removeUplink(2);
    expect(series("causeway_pool_addresses").some((line) => line.includes('slot="2"'))).toBe(false);
  });

  it("tells target and demand by part, and nothing of them before the first plan", () => {
    expect(series("causeway_pool_target")).toEqual([]);
    const count = { leased: 20, cooling: 3, pending: 2, free: 2, coming: 2, target: 27, spare: 2 };
    expect(series("causeway_pool_target", { plan: { actions: [], count } })).toEqual([" 27"]);
    expect(series("causeway_pool_demand")).toEqual([
      '{part="leased"} 20',
      '{part="cooling"} 3',
      '{part="pending"} 2',
      '{part="spare"} 2',
    ]);
  });

  it("tells how many wait, and how many obstacles there are of each kind, until they are gone", () => {
    const of = (what: string) => ({ what, code: "subnet-exhausted", why: "", forMs: 1 }) as const;
    const obstacles = [of("full-subnet a"), of("full-subnet b"), of("creation")];
    expect(series("causeway_pool_waiting", { waiting: 3 })).toEqual([" 3"]);
    expect(series("causeway_pool_obstacles", { obstacles })).toEqual([
      '{kind="full-subnet"} 2',
      '{kind="creation"} 1',
    ]);
    expect(series("causeway_pool_obstacles")).toEqual([]);
  });

  it("counts actions by kind and outcome", () => {
    poolMetrics.acted(ASSIGN);
    poolMetrics.acted(ASSIGN);
    poolMetrics.acted(ASSIGN, new CloudError("throttled", "slow down", { operation: "A" }));
    poolMetrics.acted({ ...ASSIGN, kind: "delete", units: [] }, new Error("odd"));
    expect(series("causeway_pool_actions_total")).toEqual([
      '{kind="assign",outcome="ok"} 2',
      '{kind="assign",outcome="throttled"} 1',
      '{kind="delete",outcome="failed"} 1',
    ]);
  });

  it("counts waits of ADDs, those of none in the bucket of zero", () => {
    poolMetrics.waited(0, true);
    poolMetrics.waited(700, true);
    poolMetrics.waited(80_000, false);
    expect(series("causeway_address_wait_seconds")).toEqual(
      expect.arrayContaining([
        '_bucket{outcome="served",le="0"} 1',
        '_bucket{outcome="served",le="1"} 2',
        '_count{outcome="served"} 2',
        '_count{outcome="given-up"} 1',
      ]),
    );
  });
});
