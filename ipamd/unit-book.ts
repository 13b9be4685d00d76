import type { Cidr, IpAddress } from "../common/ip.ts";

/** What an address of a unit is doing. Free ones are not recorded: a /80 has 2^48. */
export type Use = "leased" | "cooling" | "excluded";

/** A unit, and how many of its addresses do what. */
export type UnitUse = {
  readonly unit: Cidr;
  readonly leased: number;
  readonly cooling: number;
  /** Could be given now; saturates at 2^53 - 1. */
  readonly free: number;
  readonly isAside: boolean;
};

type Entry = {
  readonly unit: Cidr;
  /** Addresses below were given before, or are not for pods. */
  next: bigint;
  isAside: boolean;
  readonly uses: Map<string, { readonly address: IpAddress; readonly use: Use }>;
  /** Given before and free again, longest free first. */
  readonly returned: Map<string, IpAddress>;
};

/** A /80 has more addresses than anybody can remember: with so many given back, the one that has been free longest is late enough. */
const RETURNED_MAX = 1_024;

/**
 * The addresses of one family on one uplink: units that are held, and what is not free of them. Blocks are filled one after the other, the fullest
 * first and before single addresses, so that those that become empty can go back to the cloud. In a block, and among single addresses, those never
 * given before come first, while few have been given back; then the one that has been free longest, so that reuse is late.
 */
export class UnitBook {
  private readonly units = new Map<string, Entry>();
  /** The same by prefix length and prefix: an address's unit is found without a look at all of them. */
  private readonly byPrefix = new Map<number, Map<bigint, Entry>>();
  /** Single addresses that are free again, longest free first; only those that were given before. */
  private readonly returnedSingles = new Map<string, Entry>();
  private used = 0;

  /** Addresses of held units that are not free, whatever they do. */
  get usedCount(): number {
    return this.used;
  }

  /** Idempotent. */
  hold(unit: Cidr): void {
    const key = unit.toString();
    if (this.units.has(key)) return;
    const entry: Entry = {
      unit,
      next: firstOffset(unit),
      isAside: false,
      uses: new Map(),
      returned: new Map(),
    };
    this.units.set(key, entry);
    const { prefixLength } = unit;
    const ofLength = this.byPrefix.get(prefixLength) ?? new Map<bigint, Entry>();
    this.byPrefix.set(prefixLength, ofLength.set(prefixOf(unit.first, prefixLength), entry));
  }

  /** From now on nothing is taken from the unit (or is again); what is leased of it stays so. True when that is new. */
  setAside(unit: Cidr, isAside: boolean): boolean {
    const entry = this.units.get(unit.toString());
    if (entry === undefined || entry.isAside === isAside) return false;
    entry.isAside = isAside;
    return true;
  }

  /** Units that nothing is taken from for now. */
  unitsAside(): Cidr[] {
    return [...this.units.values()].filter(({ isAside }) => isAside).map(({ unit }) => unit);
  }

  /** Forgets a unit. Throws when one of its addresses is leased or cooling: that would lose it. */
  drop(unit: Cidr): void {
    const entry = this.units.get(unit.toString());
    if (entry === undefined) return;
    for (const { address, use } of entry.uses.values())
      if (use !== "excluded") throw new Error(`unit ${unit} cannot be dropped: ${address} is ${use}`);
    this.forget(entry);
  }

  /** Forgets a unit, and gives what its addresses were doing: for another book. Nothing when it is not held. */
  takeOut(unit: Cidr): { readonly address: IpAddress; readonly use: Use }[] {
    const entry = this.units.get(unit.toString());
    if (entry === undefined) return [];
    this.forget(entry);
    return [...entry.uses.values()];
  }

  /** A free address, now leased; undefined when there is none. */
  take(): IpAddress | undefined {
    const entry = this.fullest() ?? this.nextSingle();
    const address = entry && nextOf(entry);
    if (address !== undefined) this.set(address, "leased");
    return address;
  }

  hasFree(): boolean {
    for (const entry of this.units.values()) if (!entry.isAside && hasFree(entry)) return true;
    return false;
  }

  /** Records what an address does, whatever it did before: what the kernel shows at start. Nothing when its unit is not held. */
  set(address: IpAddress, use: Use): void {
    const key = address.toString();
    const entry = this.entryOf(address);
    if (entry === undefined) return;
    if (!entry.uses.has(key)) this.used += 1;
    entry.uses.set(key, { address, use });
    entry.returned.delete(key);
    this.returnedSingles.delete(key);
  }

  use(address: IpAddress): Use | undefined {
    return this.entryOf(address)?.uses.get(address.toString())?.use;
  }

  /** Makes an address free again. Idempotent. */
  free(address: IpAddress): void {
    const key = address.toString();
    const entry = this.entryOf(address);
    if (!entry?.uses.delete(key)) return;
    this.used -= 1;
    if (address.value - entry.unit.first.value >= firstOffset(entry.unit)) entry.returned.set(key, address);
    if (entry.unit.isSingle) this.returnedSingles.set(key, entry);
  }

  holds(address: IpAddress): boolean {
    return this.entryOf(address) !== undefined;
  }

  heldUnits(): Cidr[] {
    return [...this.units.values()].map(({ unit }) => unit);
  }

  /** Addresses with that use, in no order. */
  addressesIn(use: Use): IpAddress[] {
    const all = [...this.units.values()].flatMap(({ uses }) => [...uses.values()]);
    return all.filter((one) => one.use === use).map(({ address }) => address);
  }

  /** True when an address of the unit is leased or cooling; false also when it is not held. */
  isInUse(unit: Cidr): boolean {
    const uses = this.units.get(unit.toString())?.uses ?? new Map();
    return [...uses.values()].some(({ use }) => use !== "excluded");
  }

  /** How many could be taken now; saturates at 2^53 - 1. */
  freeCount(): number {
    let count = 0;
    for (const entry of this.units.values()) count += entry.isAside ? 0 : freeIn(entry);
    return Math.min(count, Number.MAX_SAFE_INTEGER);
  }

  /** One row per unit, in the order in which they came. */
  summary(): UnitUse[] {
    return [...this.units.values()].map((entry) => {
      let [leased, cooling] = [0, 0];
      for (const { use } of entry.uses.values()) {
        if (use === "leased") leased += 1;
        else if (use === "cooling") cooling += 1;
      }
      const { unit, isAside } = entry;
      return { unit, leased, cooling, free: isAside ? 0 : freeIn(entry), isAside };
    });
  }

  private forget(entry: Entry): void {
    const { unit } = entry;
    this.used -= entry.uses.size;
    this.units.delete(unit.toString());
    this.byPrefix.get(unit.prefixLength)?.delete(prefixOf(unit.first, unit.prefixLength));
    this.returnedSingles.delete(unit.first.toString());
  }

  /** The block with most in use that has a free address. */
  private fullest(): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of this.units.values()) {
      if (entry.unit.isSingle || entry.isAside || !hasFree(entry)) continue;
      if (best === undefined || entry.uses.size > best.uses.size) best = entry;
    }
    return best;
  }

  private nextSingle(): Entry | undefined {
    for (const entry of this.units.values())
      if (entry.unit.isSingle && !entry.isAside && entry.returned.size === 0 && hasFree(entry)) return entry;
    // one that is set aside waits until it is back
    for (const entry of this.returnedSingles.values()) if (!entry.isAside) return entry;
    return undefined;
  }

  private entryOf(address: IpAddress): Entry | undefined {
    for (const [prefixLength, ofLength] of this.byPrefix) {
      const entry = ofLength.get(prefixOf(address, prefixLength));
      if (entry !== undefined) return entry;
    }
    return undefined;
  }
}

/** Free in a unit: never given before first. It moves past those that are in use, so a full unit is told at once. */
function nextOf(entry: Entry): IpAddress | undefined {
  const returned = entry.returned.values().next().value;
  if (returned !== undefined && entry.returned.size >= RETURNED_MAX) return returned;
  skipUsed(entry);
  return entry.next < entry.unit.size ? entry.unit.first.plus(entry.next) : returned;
}

function hasFree(entry: Entry): boolean {
  if (entry.returned.size > 0) return true;
  skipUsed(entry);
  return entry.next < entry.unit.size;
}

function skipUsed(entry: Entry): void {
  for (; entry.next < entry.unit.size; entry.next += 1n) {
    const key = entry.unit.first.plus(entry.next).toString();
    if (!entry.uses.has(key) && !entry.returned.has(key)) return;
  }
}

function freeIn({ unit, uses }: Entry): number {
  const usable = unit.size - firstOffset(unit);
  const isUsable = (address: IpAddress) => address.value - unit.first.value >= firstOffset(unit);
  let used = 0;
  for (const { address } of uses.values()) if (isUsable(address)) used += 1;
  const count = usable - BigInt(used);
  return count > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(count);
}

function prefixOf(address: IpAddress, prefixLength: number): bigint {
  return address.value >> BigInt((address.family === 4 ? 32 : 128) - prefixLength);
}

/** The first address of an IPv6 block is its subnet-router anycast address (RFC 4291 section 2.6.1): never given to a pod. */
function firstOffset(unit: Cidr): bigint {
  return unit.family === 6 && !unit.isSingle ? 1n : 0n;
}
