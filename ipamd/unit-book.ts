import type { Cidr, IpAddress } from "../common/ip.ts";

/** What an address of a unit is doing. Free ones are not recorded: a /80 has 2^48. */
export type Use = "leased" | "cooling" | "excluded";

type Entry = { readonly unit: Cidr; next: bigint; isAside: boolean };

/** A /80 has more addresses than anybody can remember: with so many given back, the one that has been free longest is late enough. */
const RETURNED_MAX = 1_024;

/**
 * The addresses of one family on one uplink: units that are held, and what is not free of them. Addresses never given before come first, while few
 * have been given back; then the one that has been free longest, so that reuse is late.
 */
export class UnitBook {
  private readonly units = new Map<string, Entry>();
  /** The same by prefix length and prefix: an address's unit is found without a look at all of them. */
  private readonly byPrefix = new Map<number, Map<bigint, Entry>>();
  private readonly uses = new Map<string, { readonly address: IpAddress; use: Use }>();
  /** Given before and free again, longest free first. May hold addresses of units that are held no more: checked when taken. */
  private readonly returned = new Map<string, IpAddress>();

  /** Idempotent. */
  hold(unit: Cidr): void {
    const key = unit.toString();
    if (this.units.has(key)) return;
    const entry = { unit, next: firstOffset(unit), isAside: false };
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
    for (const { address, use } of this.uses.values()) {
      if (use !== "excluded" && unit.contains(address)) {
        throw new Error(`unit ${unit} cannot be dropped: ${address} is ${use}`);
      }
    }
    if (this.units.delete(unit.toString()))
      this.byPrefix.get(unit.prefixLength)?.delete(prefixOf(unit.first, unit.prefixLength));
  }

  /** Forgets a unit, and gives what its addresses were doing: for another book. Nothing when it is not held. */
  takeOut(unit: Cidr): { readonly address: IpAddress; readonly use: Use }[] {
    const uses = [...this.uses.values()].filter(({ address }) => unit.contains(address));
    for (const { address } of uses) this.uses.delete(address.toString());
    this.drop(unit);
    return uses;
  }

  /** A free address, now leased; undefined when there is none. */
  take(): IpAddress | undefined {
    const address = this.nextFree();
    if (address !== undefined) this.set(address, "leased");
    return address;
  }

  hasFree(): boolean {
    return this.nextFree() !== undefined;
  }

  private nextFree(): IpAddress | undefined {
    const returned = this.returned.size < RETURNED_MAX ? undefined : this.nextReturned();
    return returned ?? this.nextFresh() ?? this.nextReturned();
  }

  /** Records what an address does, whatever it did before: what the kernel shows at start. */
  set(address: IpAddress, use: Use): void {
    const key = address.toString();
    this.uses.set(key, { address, use });
    this.returned.delete(key);
  }

  use(address: IpAddress): Use | undefined {
    return this.uses.get(address.toString())?.use;
  }

  /** Makes an address free again. Idempotent. */
  free(address: IpAddress): void {
    const key = address.toString();
    if (this.uses.delete(key)) this.returned.set(key, address);
  }

  holds(address: IpAddress): boolean {
    return this.entryOf(address) !== undefined;
  }

  heldUnits(): Cidr[] {
    return [...this.units.values()].map(({ unit }) => unit);
  }

  /** Addresses with that use, in no order. */
  addressesIn(use: Use): IpAddress[] {
    return [...this.uses.values()].filter((entry) => entry.use === use).map(({ address }) => address);
  }

  /** How many could be taken now; saturates at 2^53 - 1. */
  freeCount(): number {
    let count = 0n;
    for (const { unit, isAside } of this.units.values()) if (!isAside) count += unit.size - firstOffset(unit);
    for (const { address } of this.uses.values()) if (this.isUsable(address)) count -= 1n;
    return count > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(count);
  }

  private nextFresh(): IpAddress | undefined {
    for (const entry of this.units.values()) {
      if (entry.isAside) continue;
      for (; entry.next < entry.unit.size; entry.next += 1n) {
        const address = entry.unit.first.plus(entry.next);
        const key = address.toString();
        if (!this.uses.has(key) && !this.returned.has(key)) return address;
      }
    }
    return undefined;
  }

  private nextReturned(): IpAddress | undefined {
    for (const [key, address] of this.returned) {
      if (this.isUsable(address)) return address;
      // it waits until its unit is back
      if (!this.entryOf(address)?.isAside) this.returned.delete(key);
    }
    return undefined;
  }

  private isUsable(address: IpAddress): boolean {
    const entry = this.entryOf(address);
    if (entry === undefined || entry.isAside) return false;
    return address.value - entry.unit.first.value >= firstOffset(entry.unit);
  }

  private entryOf(address: IpAddress) {
    for (const [prefixLength, ofLength] of this.byPrefix) {
      const entry = ofLength.get(prefixOf(address, prefixLength));
      if (entry !== undefined) return entry;
    }
    return undefined;
  }
}

function prefixOf(address: IpAddress, prefixLength: number): bigint {
  return address.value >> BigInt((address.family === 4 ? 32 : 128) - prefixLength);
}

/** The first address of an IPv6 block is its subnet-router anycast address (RFC 4291 section 2.6.1): never given to a pod. */
function firstOffset(unit: Cidr): bigint {
  return unit.family === 6 && !unit.isSingle ? 1n : 0n;
}
