/** What to ask of the cloud when addresses are short: units for interfaces that have room, then new interfaces. Pure. */
import { SLOT_MAX } from "../../common/constants.ts";
import type { Family } from "../../common/ip.ts";
import type { CloudInterface, UnitRequest } from "../../providers/provider.ts";
import { addressesIn, blockLengthOf, blockSize, freeOf, freePods, podsOf, roomOn } from "./capacity.ts";
import type { Action, LimitCause, PlanInput, Shelf } from "./facts.ts";
import { chooseUnits, type Want } from "./unit-choice.ts";

export type Growth = {
  readonly actions: readonly Action[];
  /** Why what is still short cannot be had. */
  readonly limit?: Limit;
};

export type Limit = { readonly text: string; readonly cause: LimitCause };

/** `short`: pods that cannot be served from what is held and what is coming. */
export function grow(input: PlanInput, short: number): Growth {
  const { obstacles } = input;
  if (short <= 0) return { actions: [] };
  if (obstacles.noGrowth !== undefined)
    return { actions: [], limit: { text: obstacles.noGrowth, cause: "growth" } };
  const actions: Action[] = [];
  let left = short;
  for (const [carrier, shelf] of carriers(input)) {
    if (left <= 0) break;
    if (!takesUnits(input, carrier)) continue;
    const { requests, gained } = fill(input, carrier, shelf, left);
    if (gained <= 0) continue;
    actions.push({ kind: "assign", interfaceId: carrier.id, requests });
    left -= gained;
  }
  if (left <= 0) return { actions };
  const more = addInterfaces(input, left);
  const together = [...actions, ...more.actions];
  return more.limit === undefined
    ? { actions: together }
    : { actions: together, limit: withFullSubnets(input, more.limit) };
}

/** Where an interface could take more if its subnet could give it, that is the first reason. */
function withFullSubnets(input: PlanInput, limit: Limit): Limit {
  const full = fullSubnetsOf(input);
  if (full.length === 0) return limit;
  return { text: [...full, limit.text].join("; "), cause: "full-subnet" };
}

/** What keeps interfaces from taking units that they have room for. */
function fullSubnetsOf(input: PlanInput): string[] {
  const full = carriers(input).map(([{ subnet }]) => subnet.id);
  return [...new Set(full)]
    .filter((id) => input.obstacles.fullSubnets.has(id))
    .map((id) => `subnet ${id} has no free address`);
}

/** Pods that will be served by what has been asked for, and by interfaces that are on their way. */
export function comingPods(input: PlanInput): number {
  const assigned = input.running.flatMap((action) =>
    action.kind === "assign" ? [comingOn(input, action.interfaceId, action.requests)] : [],
  );
  const created = input.running.flatMap((action) =>
    action.kind === "create" ? [podsOf(action.units, input.families)] : [],
  );
  // one that is being created may show in the cloud's list before its creation has ended: it is one and the same
  const arriving = arrivals(input)
    .filter(({ id }) => !input.beingMade.has(id) && !input.overdue.has(id))
    .map(({ units }) => Math.min(...input.families.map((family) => addressesIn(units, family))));
  return total(assigned) + total(created) + total(arriving);
}

/** Interfaces of this pool that are not uplinks yet. */
export function arrivals(input: PlanInput): CloudInterface[] {
  return input.view.interfaces.filter(
    (one) =>
      carries(input, one) &&
      (one.state === "attaching" || one.state === "attached") &&
      !input.shelves.some(({ interfaceId }) => interfaceId === one.id),
  );
}

/** Interfaces that hold units for pods of this key, with their shelves, in order of slots: what the primary carries needs no other interface. */
function carriers(input: PlanInput): [CloudInterface, Shelf][] {
  return [...input.shelves]
    .sort((a, b) => a.slot - b.slot)
    .flatMap((shelf): [CloudInterface, Shelf][] => {
      const one = input.view.interfaces.find(({ id }) => id === shelf.interfaceId);
      return one !== undefined && one.state === "attached" && carries(input, one) ? [[one, shelf]] : [];
    });
}

function carries(input: PlanInput, one: CloudInterface): boolean {
  if (one.ownership === "foreign" || one.poolKey !== input.key || input.lost.has(one.id)) return false;
  return input.capabilities.cards.some(({ index }) => index === one.cardIndex);
}

/** One writer per interface. */
function takesUnits(input: PlanInput, one: CloudInterface): boolean {
  return !isBusy(input, one) && !isFull(input, one);
}

function isBusy({ running }: PlanInput, { id }: CloudInterface): boolean {
  return running.some((action) => action.kind !== "create" && action.interfaceId === id);
}

function isFull({ obstacles }: PlanInput, { id, subnet }: CloudInterface): boolean {
  return obstacles.fullInterfaces.has(id) || obstacles.fullSubnets.has(subnet.id);
}

/** Pods for which there is room on interfaces that are being written to: soon, and for less than another interface costs. */
function roomBehindWrites(input: PlanInput): number {
  const leaving = new Set(
    input.running.flatMap((action) => (action.kind === "delete" ? [action.interfaceId] : [])),
  );
  const busy = carriers(input).filter(
    ([one]) => isBusy(input, one) && !isFull(input, one) && !leaving.has(one.id),
  );
  return total(
    busy.map(([one, shelf]) => {
      const asked = input.running.flatMap((action) =>
        action.kind === "assign" && action.interfaceId === one.id ? action.requests : [],
      );
      const counts = input.families.map((family) => {
        const taken = total(asked.filter((request) => request.family === family).map(({ count }) => count));
        const room = (roomOn(input, one, shelf, family) - taken) * sizeOf(input, family);
        // of IPv6 one block is more than enough
        return family === 6 ? room + freeOf(shelf, family) + addressesOf(asked, family) : room;
      });
      return Math.max(0, Math.min(...counts));
    }),
  );
}

/** A block carries more than all single addresses of an interface. */
function isSmall(input: PlanInput): boolean {
  const length = blockLengthOf(input, 4);
  return length !== undefined && input.capabilities.unitsPerInterface[4] < blockSize(length);
}

/** Addresses of the largest unit that may be asked for. */
function sizeOf(input: PlanInput, family: Family): number {
  const length = input.settings.unit === "single" ? undefined : blockLengthOf(input, family);
  if (length === undefined) return 1;
  return family === 6 ? Number.MAX_SAFE_INTEGER : blockSize(length);
}

function fill(input: PlanInput, carrier: CloudInterface, shelf: Shelf, short: number) {
  const kinds = kindsOn(input, carrier);
  // where only blocks are wanted, every subnet is asked for one before single addresses are taken
  if (kinds === undefined) return { requests: [], gained: 0 };
  const free = input.families.map((family) => freeOf(shelf, family));
  const room = input.families.map((family) => roomOn(input, carrier, shelf, family));
  const hasBlock = shelf.units.some(({ unit }) => unit.family === 4 && !unit.isSingle);
  return choose(input, {
    free,
    room,
    hasBlock,
    ...capped({ kinds, short }, input.obstacles.subnetAtMost.get(carrier.subnet.id)),
  });
}

/** No more at once than what may be had, which is less than a block. */
function capped(
  wanted: { readonly kinds: Want["kinds"]; readonly short: number },
  atMost: number | undefined,
): typeof wanted {
  return atMost === undefined ? wanted : { kinds: "single", short: Math.min(wanted.short, atMost) };
}

/** Units of every family for so many pods more on one interface, that has so many free addresses and so much room by family. */
function choose(
  input: PlanInput,
  have: {
    readonly free: readonly number[];
    readonly room: readonly number[];
    readonly kinds: Want["kinds"];
    readonly short: number;
    readonly hasBlock: boolean;
  },
): { readonly requests: readonly UnitRequest[]; readonly gained: number } {
  const now = Math.min(...have.free);
  const choicesFor = (pods: number) =>
    input.families.map((family, index) =>
      chooseUnits({
        family,
        short: now + pods - (have.free[index] ?? 0),
        room: have.room[index] ?? 0,
        kinds: have.kinds,
        blockLength: blockLengthOf(input, family),
        waste: input.settings.spare,
        isCramped: input.isFresh && !have.hasBlock && isSmall(input),
      }),
    );
  const reached = (choices: ReturnType<typeof choicesFor>) =>
    Math.min(...choices.map(({ gained }, index) => (have.free[index] ?? 0) + gained)) - now;
  const choices = choicesFor(have.short);
  const gained = reached(choices);
  // the family that can have least decides how much of the others is of use
  const fitting = gained < have.short ? choicesFor(gained) : choices;
  return { requests: fitting.flatMap(({ requests }) => requests), gained };
}

/** What may be asked for on an interface; undefined while a block may still be had elsewhere, and only blocks are wanted. */
function kindsOn(input: PlanInput, { subnet }: CloudInterface): Want["kinds"] | undefined {
  const { obstacles, settings } = input;
  const isBlockless = obstacles.noBlocks || obstacles.blocklessSubnets.has(subnet.id);
  if (settings.unit === "single") return "single";
  if (!isBlockless) return settings.unit === "block" ? "block" : "both";
  const elsewhere = settings.unit === "block" && !obstacles.noBlocks && mayCreate(input) === undefined;
  return elsewhere ? undefined : "single";
}

function addInterfaces(input: PlanInput, short: number): Growth {
  const coming = arrivals(input).filter(({ id }) => !input.overdue.has(id));
  const refusal = mayCreate(input);
  // one that is on its way brings more room than it has units: no other one for what it can take
  const expected = total(coming.map((one) => roomForPods(input, one))) + roomBehindWrites(input);
  const stuck = coming.find(({ state }) => state === "attached");
  if (short <= expected)
    return stuck === undefined ? { actions: [] } : { actions: [], limit: notShown(stuck) };
  const missing = arrivals(input).find(({ id }) => input.overdue.has(id));
  if (refusal !== undefined)
    return { actions: [], limit: missing === undefined ? refusal : notShown(missing) };
  const actions: Action[] = [];
  let left = short - expected;
  for (const cardIndex of freePlaces(input)) {
    if (left <= 0) break;
    const { action, gained } = creation(input, cardIndex, left);
    if (gained <= 0) break;
    actions.push(action);
    left -= gained;
  }
  return left <= 0 ? { actions } : { actions, limit: fullInstance(input) };
}

function creation(input: PlanInput, cardIndex: number, short: number): { action: Action; gained: number } {
  const { obstacles, settings, capabilities, families, key } = input;
  const wantsBlocks = settings.unit !== "single" && !obstacles.noBlocks;
  const kinds = !wantsBlocks ? "single" : settings.unit === "block" ? "block" : "both";
  const room = families.map((family) => capabilities.unitsPerInterface[family]);
  const free = families.map(() => 0);
  const wanted = capped({ kinds, short }, obstacles.creationAtMost);
  const { requests, gained } = choose(input, { free, room, hasBlock: false, ...wanted });
  const hasBlocks = requests.some(({ family, prefixLength }) => family === 4 && prefixLength < 32);
  const avoid = new Set([...obstacles.fullSubnets, ...(hasBlocks ? obstacles.blocklessSubnets : [])]);
  const action: Action = {
    kind: "create",
    key,
    subnets: settings.subnets,
    avoid: [...avoid].sort(),
    cardIndex,
    units: requests,
  };
  return { action, gained };
}

/** Why no interface can be added; undefined when one can. */
function mayCreate(input: PlanInput): Limit | undefined {
  const { capabilities, obstacles } = input;
  if (!capabilities.canAddInterfaces)
    return { text: "this cloud cannot add an interface to a running instance", cause: "instance-full" };
  if (obstacles.noCreation !== undefined) return { text: obstacles.noCreation, cause: "creation" };
  return freePlaces(input).length === 0 ? fullInstance(input) : undefined;
}

/** A card index for each interface that may still be added, those that are being created left out. */
function freePlaces({ capabilities, view, running, beingMade, settings }: PlanInput): number[] {
  const present = view.interfaces.filter(({ state }) => state !== "detached");
  const creating = running.flatMap((action) => (action.kind === "create" ? [action.cardIndex] : []));
  // what is being created may be in the list already
  const known = present.filter(({ id }) => beingMade.has(id)).length;
  const unseen = Math.max(0, creating.length - known);
  const places = capabilities.cards.flatMap(({ index, interfacesMax }) => {
    const taken = present.filter(({ cardIndex }) => cardIndex === index).length;
    const coming = creating.slice(0, unseen).filter((card) => card === index).length;
    return Array.from({ length: Math.max(0, interfacesMax - taken - coming) }, () => index);
  });
  // marks and tables have a number for each
  const limit = Math.min(settings.maxEni ?? SLOT_MAX, SLOT_MAX);
  return places.slice(0, Math.max(0, limit - present.length - unseen));
}

function roomForPods(input: PlanInput, one: CloudInterface): number {
  const counts = input.families.map(
    (family) =>
      roomOn(input, one, undefined, family) * sizeOf(input, family) +
      (family === 6 ? addressesIn(one.units, family) : 0),
  );
  return Math.min(...counts);
}

function notShown({ id, state }: CloudInterface): Limit {
  const text = `interface ${id} is ${state}, but its link has not shown on this node`;
  return { text, cause: "interface-not-shown" };
}

function fullInstance(input: PlanInput): Limit {
  return { text: describeFull(input), cause: "instance-full" };
}

function describeFull({ capabilities, view, settings }: PlanInput): string {
  const present = view.interfaces.filter(({ state }) => state !== "detached").length;
  const possible = capabilities.cards.reduce((sum, { interfacesMax }) => sum + interfacesMax, 0);
  if (settings.maxEni !== undefined && settings.maxEni < possible)
    return `the limit max-eni=${settings.maxEni} is reached: ${present} interfaces are in use`;
  const { 4: perInterface } = capabilities.unitsPerInterface;
  return (
    `the instance is full: ${present} of ${possible} interfaces with ` +
    `${perInterface} addresses for pods each are in use`
  );
}

function comingOn(input: PlanInput, id: string, requests: readonly UnitRequest[]): number {
  const shelf = input.shelves.find(({ interfaceId }) => interfaceId === id) ?? { units: [] };
  const after = input.families.map((family: Family) => freeOf(shelf, family) + addressesOf(requests, family));
  return Math.min(...after) - freePods([shelf], input.families);
}

function addressesOf(requests: readonly UnitRequest[], family: Family): number {
  return podsOf(
    requests.filter((request) => request.family === family),
    [family],
  );
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
