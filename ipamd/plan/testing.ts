/** Nodes for tests of the plan: interfaces with units, of which some addresses are in use. */
import { DEFAULT_POOL, type InterfaceId, parseMac, type SubnetId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import type { Capabilities, CloudInterface } from "../../providers/provider.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../settings.ts";
import type { Obstacles, Plan, PlanInput, Shelf, UnitFact } from "./facts.ts";
import { plan } from "./plan.ts";

/** As an m5.large: 3 interfaces, 9 addresses for pods or blocks each. */
export const M5_LARGE: Capabilities = {
  cards: [{ index: 0, interfacesMax: 3 }],
  skippedCards: [],
  unitsPerInterface: { 4: 9, 6: 9 },
  unitLengths: { 4: [32, 28], 6: [128, 80] },
  canAddInterfaces: true,
  canReleaseUnits: true,
};

export const NO_OBSTACLES: Obstacles = {
  fullSubnets: new Set(),
  subnetAtMost: new Map(),
  creationAtMost: undefined,
  blocklessSubnets: new Set(),
  noBlocks: false,
  fullInterfaces: new Set(),
  noCreation: undefined,
  noGrowth: undefined,
  noRelease: undefined,
};

/** How much of a unit is used; `idleMs` counts where nothing is. */
export type Unit = {
  readonly unit: string;
  readonly leased?: number;
  readonly cooling?: number;
  readonly idleMs?: number;
};

export type Nic = {
  readonly units: readonly Unit[];
  readonly state?: CloudInterface["state"];
  readonly ownership?: CloudInterface["ownership"];
  readonly foreign?: readonly string[];
  readonly releasing?: readonly string[];
  /** As `releasing`, and the cloud does not list them any more. */
  readonly released?: readonly string[];
  readonly idleMs?: number;
  /** False: its link has not shown on the host. Default: an attached one's has. */
  readonly hasLink?: boolean;
};

export type Node = {
  /** The primary first; interface `eni-1` has slot 1. One that is not attached is no uplink yet. */
  readonly nics?: readonly Nic[];
  readonly pending?: number;
  readonly settings?: Partial<PoolSettings>;
  readonly obstacles?: Partial<Obstacles>;
} & Partial<
  Pick<
    PlanInput,
    | "families"
    | "ahead"
    | "isAnnounced"
    | "isFresh"
    | "maxPods"
    | "capabilities"
    | "running"
    | "beingMade"
    | "lost"
    | "overdue"
  >
>;

export function inputOf({
  nics = [{ units: [] }],
  pending = 0,
  settings,
  obstacles,
  ...rest
}: Node): PlanInput {
  return {
    key: DEFAULT_POOL,
    families: [4],
    pending,
    ahead: 0,
    isAnnounced: false,
    isFresh: false,
    maxPods: undefined,
    settings: { ...DEFAULT_POOL_SETTINGS, ...settings },
    shelves: nics.flatMap((nic, index) => (isUp(nic) ? [shelfOf(nic, index + 1)] : [])),
    view: { interfaces: nics.map((nic, index) => interfaceOf(nic, index + 1)), networkCidrs: [] },
    capabilities: M5_LARGE,
    lost: new Set(),
    overdue: new Set(),
    obstacles: { ...NO_OBSTACLES, ...obstacles },
    running: [],
    beingMade: new Set(),
    ...rest,
  };
}

export function planOf(node: Node): Plan {
  return plan(inputOf(node));
}

/** `count` single addresses `10.0.SLOT.1` and up, the first `leased` of them in use. */
export function singles(slot: number, count: number, leased = 0, idleMs = 0): Unit[] {
  return Array.from({ length: count }, (_, index) => ({
    unit: `10.0.${slot}.${index + 1}/32`,
    leased: index < leased ? 1 : 0,
    idleMs,
  }));
}

/** A block, of which `leased` addresses are in use. */
export function block(slot: number, index: number, leased = 0, idleMs = 0): Unit {
  return { unit: `10.1.${slot}.${index * 16}/28`, leased, idleMs };
}

const isUp = ({ state = "attached", hasLink = true }: Nic) => state === "attached" && hasLink;

function shelfOf({ units, releasing = [], released = [], idleMs = 0 }: Nic, slot: number): Shelf {
  return {
    slot,
    interfaceId: `eni-${slot}` as InterfaceId,
    units: units.map(factOf),
    releasing: [...releasing, ...released].map((unit) => Cidr.parse(unit)),
    idleMs,
  };
}

function factOf({ unit, leased = 0, cooling = 0, idleMs = 0 }: Unit): UnitFact {
  const cidr = Cidr.parse(unit);
  const size = cidr.family === 6 && !cidr.isSingle ? Number.MAX_SAFE_INTEGER : Number(cidr.size);
  const free = size - (size === Number.MAX_SAFE_INTEGER ? 0 : leased + cooling);
  return { unit: cidr, leased, cooling, free, isAside: false, idleMs: leased + cooling > 0 ? 0 : idleMs };
}

function interfaceOf(nic: Nic, slot: number): CloudInterface {
  const foreignUnits = (nic.foreign ?? []).map((unit) => Cidr.parse(unit));
  const units = [...nic.units.map(({ unit }) => unit), ...(nic.releasing ?? [])].map((unit) =>
    Cidr.parse(unit),
  );
  return {
    id: `eni-${slot}` as InterfaceId,
    mac: parseMac(`02:00:00:00:00:0${slot}`),
    subnet: { id: `subnet-${slot}` as SubnetId, zone: "a" },
    isPrimary: slot === 1,
    ownership: nic.ownership ?? (slot === 1 ? "shared" : "ours"),
    state: nic.state ?? "attached",
    cardIndex: 0,
    own: [],
    units: units.filter((unit) => !foreignUnits.some((foreign) => foreign.equals(unit))),
    foreignUnits,
    gateways: {},
    poolKey: DEFAULT_POOL,
  };
}
