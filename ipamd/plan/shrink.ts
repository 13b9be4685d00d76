/**
 * What to give back to the cloud when more is held than wanted: units that nobody has used for a while, then interfaces that hold nothing any more.
 * What is left always satisfies the target, so that the same demand never asks for it again. Pure.
 */
import type { InterfaceId } from "../../common/ids.ts";
import type { Cidr, Family } from "../../common/ip.ts";
import type { CloudInterface } from "../../providers/provider.ts";
import { freePods } from "./capacity.ts";
import type { Action, PlanInput, Shelf, UnitFact } from "./facts.ts";

/** Few addresses too many are kept longer: giving them back would save little, and cost a call. */
const FEW = 4;
const FEW_PATIENCE = 15;
/** An interface takes longest to get again. */
const INTERFACE_PATIENCE = 5;

/** `surplus`: pods that could be served beyond the target. */
export function shrink(input: PlanInput, surplus: number): readonly Action[] {
  const { obstacles, capabilities, running } = input;
  if (obstacles.noRelease !== undefined || running.length > 0) return [];
  const left: Remainder = { shelves: input.shelves, spareLeft: surplus, families: input.families };
  const deleted = emptyInterfaces(input).filter((shelf) => takeAll(left, shelf));
  const released = capabilities.canReleaseUnits ? idleUnits(input, left, new Set(deleted)) : [];
  return [
    ...deleted.map(({ interfaceId, units }): Action => {
      return { kind: "delete", interfaceId, units: units.map(({ unit }) => unit) };
    }),
    ...released.map(({ interfaceId, facts }): Action => {
      return { kind: "release", interfaceId, units: facts.map(({ unit }) => unit) };
    }),
  ];
}

/** What a crash or an error left on its way back, and the cloud still lists: asked for once more. */
export function unfinishedReleases(input: PlanInput): readonly Action[] {
  if (input.obstacles.noRelease !== undefined) return [];
  return input.shelves.flatMap(({ interfaceId, releasing }): Action[] => {
    const one = input.view.interfaces.find(({ id }) => id === interfaceId);
    const isBusy = input.running.some(
      (action) => action.kind !== "create" && action.interfaceId === interfaceId,
    );
    if (one === undefined || isBusy || one.ownership === "foreign") return [];
    const listed = releasing.filter((unit) => one.units.some((other) => other.equals(unit)));
    return listed.length === 0 ? [] : [{ kind: "release", interfaceId, units: listed }];
  });
}

/** What is left while one thing after the other is taken away. */
type Remainder = { shelves: readonly Shelf[]; spareLeft: number; readonly families: readonly Family[] };

/**
 * Of each interface the units to give back, in one call each. What goes is chosen first, and then waited for until it has been idle long enough, though
 * not for ever; what comes after it waits too, so that the last interface becomes empty and not the first.
 */
function idleUnits(input: PlanInput, left: Remainder, deleted: ReadonlySet<Shelf>): Chosen[] {
  const patienceMs = input.settings.releaseAfterMs * (left.spareLeft >= FEW ? 1 : FEW_PATIENCE);
  const ripe: Chosen[] = [];
  for (const { interfaceId, facts } of choose(input, left, deleted)) {
    const some = facts.filter(({ idleMs }) => idleMs >= patienceMs);
    const isOverdue = facts.some(({ idleMs }) => idleMs >= 2 * patienceMs);
    if (some.length === facts.length || isOverdue) ripe.push({ interfaceId, facts: some });
    if (some.length < facts.length) break;
  }
  return ripe;
}

type Chosen = { readonly interfaceId: InterfaceId; readonly facts: readonly UnitFact[] };

/** The emptiest interface first: so interfaces become empty one by one. */
function choose(input: PlanInput, left: Remainder, deleted: ReadonlySet<Shelf>): Chosen[] {
  const shelves = input.shelves
    .filter((shelf) => !deleted.has(shelf))
    .sort((a, b) => used(a) - used(b) || b.slot - a.slot);
  return shelves.flatMap((shelf): Chosen[] => {
    const one = input.view.interfaces.find(({ id }) => id === shelf.interfaceId);
    if (one === undefined) return [];
    const facts = shelf.units
      .filter((fact) => isIdle(fact, 0) && isOurs(one, fact.unit))
      // with a block of IPv6 gone the interface could serve nobody, and it costs no address
      .filter(({ unit }) => unit.family === 4 || unit.isSingle)
      .sort((a, b) => Number(b.unit.size - a.unit.size))
      .filter((fact) => takeOne(left, shelf, fact));
    return facts.length === 0 ? [] : [{ interfaceId: shelf.interfaceId, facts }];
  });
}

/** Interfaces of ours that nobody has used for long, and whose units are all ours to give back. */
function emptyInterfaces(input: PlanInput): Shelf[] {
  const patienceMs = input.settings.releaseAfterMs * INTERFACE_PATIENCE;
  return [...input.shelves]
    .sort((a, b) => b.slot - a.slot)
    .filter((shelf) => {
      const one = input.view.interfaces.find(({ id }) => id === shelf.interfaceId);
      if (one?.ownership !== "ours" || one.isPrimary || one.state !== "attached") return false;
      return shelf.idleMs >= patienceMs && shelf.units.every((fact) => isIdle(fact, patienceMs));
    });
}

function isIdle({ leased, cooling, isAside, idleMs }: UnitFact, patienceMs: number): boolean {
  return leased === 0 && cooling === 0 && !isAside && idleMs >= patienceMs;
}

function isOurs({ units, foreignUnits, ownership }: CloudInterface, unit: Cidr): boolean {
  const isIn = (list: readonly Cidr[]) => list.some((other) => other.equals(unit));
  return ownership !== "foreign" && isIn(units) && !isIn(foreignUnits);
}

function used({ units }: Shelf): number {
  return units.reduce((total, { leased, cooling }) => total + leased + cooling, 0);
}

/** True, and taken, when the target is satisfied without it. */
function takeOne(left: Remainder, shelf: Shelf, fact: UnitFact): boolean {
  return take(left, shelf, (units) => units.filter(({ unit }) => !unit.equals(fact.unit)));
}

function takeAll(left: Remainder, shelf: Shelf): boolean {
  return take(left, shelf, () => []);
}

function take(
  left: Remainder,
  { slot }: Shelf,
  without: (units: readonly UnitFact[]) => readonly UnitFact[],
): boolean {
  const shelf = left.shelves.find((one) => one.slot === slot);
  if (shelf === undefined) return false;
  const changed = { ...shelf, units: without(shelf.units) };
  const lost = freePods([shelf], left.families) - freePods([changed], left.families);
  if (lost > left.spareLeft) return false;
  left.spareLeft -= lost;
  left.shelves = left.shelves.map((one) => (one.slot === slot ? changed : one));
  return true;
}
