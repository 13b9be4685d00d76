/** What holds of every plan, on nodes that carry plans out and whose pods come and go. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { UnitRequest } from "../../providers/provider.ts";
import type { PoolSettings } from "../settings.ts";
import type { Action, Plan } from "./facts.ts";
import { M5_LARGE, type Nic, type Node, planOf, type Unit } from "./testing.ts";

type World = { readonly nics: readonly Nic[]; readonly made: number };

const LONG_MS = 3_600_000;
const settings: fc.Arbitrary<Partial<PoolSettings>> = fc.record(
  {
    unit: fc.constantFrom("auto", "single", "block"),
    spare: fc.integer({ min: 0, max: 5 }),
    warmIpTarget: fc.integer({ min: 0, max: 12 }),
    minimumIpTarget: fc.integer({ min: 0, max: 30 }),
    warmEniTarget: fc.integer({ min: 0, max: 2 }),
    warmPrefixTarget: fc.integer({ min: 0, max: 2 }),
    maxEni: fc.integer({ min: 1, max: 4 }),
  },
  { requiredKeys: [] },
);
const families = fc.constantFrom([4] as const, [4, 6] as const);
const node = fc.record({ settings, families });
/** Pods that should be there, one number after the other. */
const loads = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 12 });

function settle(
  start: World,
  load: number,
  how: Pick<Node, "settings" | "families">,
): { world: World; plan: Plan } {
  let world = serve(start, load);
  for (let round = 0; round < 50; round += 1) {
    const plan = planFor(world, load, how);
    if (plan.actions.length === 0) return { world, plan };
    world = serve(deletionsLast(plan.actions).reduce(carryOut, world), load);
  }
  throw new Error("the plan never comes to rest");
}

/** An interface is found by its place among the others. */
function deletionsLast(actions: readonly Action[]): Action[] {
  const place = (action: Action) => (action.kind === "delete" ? Number(action.interfaceId.slice(4)) : 99);
  return [...actions].sort((a, b) => place(b) - place(a));
}

function planFor(world: World, load: number, how: Pick<Node, "settings" | "families">): Plan {
  const settings = { releaseAfterMs: 60_000, ...how.settings };
  return planOf({ ...how, settings, nics: world.nics, pending: load - leasedIn(world) });
}

/** Each action must be one that may be done: nothing in use goes, no limit is passed. */
function carryOut(world: World, action: Action): World {
  if (action.kind === "create") {
    expect(world.nics.length).toBeLessThan(3);
    const { units, made } = take(action.units, world);
    expect(count(units, 4)).toBeLessThanOrEqual(9);
    return { nics: [...world.nics, { units, idleMs: 0 }], made };
  }
  const index = Number(action.interfaceId.slice(4)) - 1;
  const nic = world.nics[index] as Nic;
  const replaced = (changed: Nic) => world.nics.map((one, place) => (place === index ? changed : one));
  if (action.kind === "assign") {
    const { units, made } = take(action.requests, world);
    expect(count([...nic.units, ...units], 4)).toBeLessThanOrEqual(9);
    return { nics: replaced({ ...nic, units: [...nic.units, ...units] }), made };
  }
  const gone = new Set(action.units.map(String));
  const isGone = ({ unit }: Unit) => gone.has(unit) || gone.has(unit.replace(/\/(32|128)$/, ""));
  expect(nic.units.filter(isGone).every(({ leased = 0, cooling = 0 }) => leased + cooling === 0)).toBe(true);
  const left = nic.units.filter((unit) => !isGone(unit));
  if (action.kind === "release") return { ...world, nics: replaced({ ...nic, units: left }) };
  expect([index > 0, left]).toEqual([true, []]);
  return { ...world, nics: world.nics.filter((_, place) => place !== index) };
}

function take(requests: readonly UnitRequest[], { made }: World): { units: Unit[]; made: number } {
  const units = requests.flatMap(({ family, prefixLength, count: wanted }) =>
    Array.from({ length: wanted }, () => {
      made += 1;
      const text = family === 4 ? `10.${made >> 8}.${made & 255}.0` : `2001:db8:${made.toString(16)}::`;
      return { unit: `${text}/${prefixLength}`, idleMs: LONG_MS };
    }),
  );
  return { units, made };
}

/** As many pods as fit, up to the load; the fullest interfaces and blocks first, and what is too much goes from the last. */
function serve(world: World, load: number): World {
  let left = load;
  const nics = world.nics.map((nic) => {
    const units = nic.units.map((unit) => {
      if (unit.unit.includes(":")) return unit;
      const size = 2 ** (32 - Number(unit.unit.split("/")[1]));
      const leased = Math.min(left, size);
      left -= leased;
      return { ...unit, leased };
    });
    return { ...nic, units, idleMs: LONG_MS };
  });
  return { ...world, nics };
}

function leasedIn({ nics }: World): number {
  return nics.flatMap(({ units }) => units).reduce((sum, { leased = 0 }) => sum + leased, 0);
}

function count(units: readonly Unit[], family: 4 | 6): number {
  return units.filter(({ unit }) => unit.includes(":") === (family === 6)).length;
}

const START: World = { nics: [{ units: [] }], made: 0 };

describe("plan()", () => {
  it("comes to rest, reaches its target or names a limit, and takes nothing that is in use", () => {
    fc.assert(
      fc.property(node, loads, (how, sequence) => {
        let world = START;
        for (const load of sequence) {
          const settled = settle(world, load, how);
          world = settled.world;
          const { leased, cooling, free, target, pending } = settled.plan.count;
          const reached = leased + cooling + free >= target;
          expect(reached || settled.plan.limit !== undefined).toBe(true);
          if (settled.plan.limit === undefined) expect(pending).toBe(0);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("plans the same of the same facts, and does not want back what it has given away", () => {
    fc.assert(
      fc.property(node, loads, (how, sequence) => {
        let world = START;
        for (const load of sequence) {
          world = settle(world, load, how).world;
          expect(planFor(world, load, how)).toEqual(planFor(world, load, how));
          expect(planFor(world, load, how).actions).toEqual([]);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("never holds less for more pods", () => {
    fc.assert(
      fc.property(node, fc.integer({ min: 0, max: 60 }), (how, load) => {
        const held = ({ plan }: { plan: Plan }) => plan.count.leased + plan.count.free;
        const target = ({ plan }: { plan: Plan }) => plan.count.target;
        const [less, more] = [settle(START, load, how), settle(START, load + 1, how)];
        expect(target(more)).toBeGreaterThanOrEqual(target(less));
        if (less.plan.limit === undefined && more.plan.limit === undefined)
          expect(held(more)).toBeGreaterThanOrEqual(Math.min(held(less), target(more)));
      }),
      { numRuns: 300 },
    );
  });

  it("holds nothing beyond its target but what a block brings with it", () => {
    fc.assert(
      fc.property(fc.record({ settings, families: fc.constant([4] as const) }), loads, (how, sequence) => {
        let world = START;
        for (const load of sequence) world = settle(world, load, how).world;
        const load = sequence.at(-1) ?? 0;
        const { leased, free, target } = settle(world, load, how).plan.count;
        // each partly used block, and one more, may have up to 15 addresses too many
        const blocks = world.nics
          .flatMap(({ units }) => units)
          .filter(({ unit }) => unit.endsWith("/28")).length;
        expect(leased + free - target).toBeLessThanOrEqual(15 * Math.max(1, blocks));
        if (blocks === 0) expect(leased + free).toBe(Math.min(leased + free, target));
      }),
      { numRuns: 200 },
    );
  });
});

it("the model's instance is an m5.large", () => {
  expect(M5_LARGE.cards[0]?.interfacesMax).toBe(3);
});
