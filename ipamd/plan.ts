/**
 * What to ask of the cloud: a pure function of what the pool needs, what the cloud says, and what the instance can carry. A fixed
 * spare for now; growth by blocks and shrinking come with the warm pool.
 */
import { createHash } from "node:crypto";
import { SLOT_MAX } from "../common/constants.ts";
import type { InterfaceId, PoolKey, SubnetId } from "../common/ids.ts";
import type { Family } from "../common/ip.ts";
import type {
  Capabilities,
  CloudInterface,
  CloudView,
  SubnetChoice,
  UnitRequest,
} from "../providers/provider.ts";
import type { ShelfSummary } from "./pool.ts";

export type PlanInput = {
  readonly key: PoolKey;
  readonly families: readonly Family[];
  /** Attachments that wait for an address now. */
  readonly waiting: number;
  /** Addresses per family to have free beyond that. */
  readonly spare: number;
  readonly shelves: readonly ShelfSummary[];
  readonly view: CloudView;
  readonly capabilities: Capabilities;
  /** The slot of an interface that is an uplink already. */
  readonly slotOf: (id: InterfaceId) => number | undefined;
  /** Interfaces that carried pods and whose link is gone from this host: nothing is asked of them. */
  readonly lost: ReadonlySet<InterfaceId>;
  /** Subnets that said they are full, remembered for a while. */
  readonly fullSubnets: ReadonlySet<SubnetId>;
};

export type Action =
  | { readonly kind: "assign"; readonly interfaceId: InterfaceId; readonly request: UnitRequest }
  | {
      readonly kind: "create";
      readonly key: PoolKey;
      readonly subnets: SubnetChoice;
      readonly avoid: readonly SubnetId[];
      readonly cardIndex: number;
      readonly units: readonly UnitRequest[];
    };

export type Plan = {
  readonly actions: readonly Action[];
  /** Pods that cannot be served by anything more, and the limit that stops it. Absent when all can be. */
  readonly limit?: string;
};

export function plan(input: PlanInput): Plan {
  const primary = input.view.interfaces.find(({ isPrimary }) => isPrimary);
  if (primary?.ownership === "foreign") {
    return {
      actions: [],
      limit: `the node's primary interface ${primary.id} is tagged as not ours, and pods cannot do without it`,
    };
  }
  const actions: Action[] = [];
  let shortage = input.waiting + input.spare - freeSets(input);
  const slotOf = ({ id }: CloudInterface) => input.slotOf(id) ?? SLOT_MAX + 1;
  const carriers = input.view.interfaces
    .filter((candidate) => carries(input, candidate))
    // the primary is filled first: what it carries needs no other interface
    .sort((a, b) => slotOf(a) - slotOf(b));
  for (const carrier of carriers) {
    if (shortage <= 0) break;
    if (carrier.state !== "attached" || input.fullSubnets.has(carrier.subnet.id)) continue;
    const { added, requests } = growInterface(input, carrier, shortage);
    actions.push(
      ...requests.map((request): Action => ({ kind: "assign", interfaceId: carrier.id, request })),
    );
    shortage -= added;
  }
  // one that is being attached will bring room: no second one beside it
  const arriving = carriers.find(
    ({ state, id }) => state === "attaching" || (state === "attached" && input.slotOf(id) === undefined),
  );
  if (shortage <= 0) return { actions };
  if (arriving?.state === "attaching") return { actions };
  if (arriving !== undefined) {
    return {
      actions,
      limit: `interface ${arriving.id} is attached, but its link has not shown on this node`,
    };
  }
  return addInterface(input, actions, shortage);
}

/** How many attachments could be served now: on each uplink the family with the fewest free decides. */
function freeSets(input: PlanInput): number {
  const slots = new Set(input.shelves.filter(({ key }) => key === input.key).map(({ slot }) => slot));
  let sum = 0;
  for (const slot of slots) sum += Math.min(...input.families.map((family) => free(input, slot, family)));
  return sum;
}

function growInterface(
  input: PlanInput,
  carrier: CloudInterface,
  shortage: number,
): { readonly added: number; readonly requests: readonly UnitRequest[] } {
  const slot = input.slotOf(carrier.id);
  if (slot === undefined) return { added: 0, requests: [] };
  const have = input.families.map((family) => free(input, slot, family));
  const sets = Math.min(...have);
  const reachable = input.families.map(
    (family, index) => room(input, carrier, family) + (have[index] ?? 0) - sets,
  );
  const added = Math.max(0, Math.min(shortage, ...reachable));
  const requests = input.families
    .map((family, index) => single(family, sets + added - (have[index] ?? 0)))
    .filter(({ count }) => count > 0);
  return { added, requests };
}

function addInterface(input: PlanInput, actions: readonly Action[], shortage: number): Plan {
  const { capabilities, view } = input;
  if (!capabilities.canAddInterfaces)
    return { actions, limit: "this cloud cannot add an interface to a running instance" };
  const card = capabilities.cards.find(
    ({ index, interfacesMax }) =>
      attached(view).filter(({ cardIndex }) => cardIndex === index).length < interfacesMax,
  );
  if (card === undefined) return { actions, limit: fullInstance(input) };
  const subnet = view.interfaces.find(({ isPrimary }) => isPrimary)?.subnet;
  if (subnet === undefined) return { actions, limit: "the primary interface is not known yet" };
  if (input.fullSubnets.has(subnet.id)) return { actions, limit: `subnet ${subnet.id} has no free address` };
  const count = Math.min(shortage, ...input.families.map((family) => capabilities.unitsPerInterface[family]));
  const units = input.families.map((family) => single(family, count));
  const create: Action = {
    kind: "create",
    key: input.key,
    subnets: { by: "ids", ids: [subnet.id] },
    avoid: [],
    cardIndex: card.index,
    units,
  };
  return { actions: [...actions, create] };
}

/**
 * The same until the interface it asked for is attached: after a crash in between the provider goes on with what the first try left
 * (detached, so that it does not count here), and makes no second one.
 */
export function creationToken(
  view: CloudView | undefined,
  wanted: { readonly key: PoolKey; readonly cardIndex: number },
): string {
  const present = view === undefined ? [] : attached(view).map(({ id }) => id);
  const facts = JSON.stringify([wanted.key, wanted.cardIndex, ...present.sort()]);
  return `causeway-${createHash("sha256").update(facts).digest("hex").slice(0, 40)}`;
}

/** Those that take a place on the instance. */
function attached(view: CloudView): CloudInterface[] {
  return view.interfaces.filter(({ state }) => state !== "detached");
}

function fullInstance({ capabilities, view }: PlanInput): string {
  const interfacesMax = capabilities.cards.reduce((sum, card) => sum + card.interfacesMax, 0);
  const { 4: perInterface } = capabilities.unitsPerInterface;
  return (
    `the instance is full: ${attached(view).length} of ${interfacesMax} interfaces with ` +
    `${perInterface} addresses for pods each are in use`
  );
}

function carries(input: PlanInput, candidate: CloudInterface): boolean {
  if (candidate.ownership === "foreign" || candidate.poolKey !== input.key) return false;
  if (input.lost.has(candidate.id)) return false;
  return input.capabilities.cards.some(({ index }) => index === candidate.cardIndex);
}

function free(input: PlanInput, slot: number, family: Family): number {
  return input.shelves.find((shelf) => shelf.slot === slot && shelf.family === family)?.free ?? 0;
}

function room(input: PlanInput, carrier: CloudInterface, family: Family): number {
  const units = [...carrier.units, ...carrier.foreignUnits].filter((unit) => unit.family === family).length;
  const own = family === 6 ? carrier.own.filter((address) => address.family === 6).length : 0;
  return Math.max(0, input.capabilities.unitsPerInterface[family] - units - own);
}

function single(family: Family, count: number): UnitRequest {
  return { family, prefixLength: family === 4 ? 32 : 128, count };
}
