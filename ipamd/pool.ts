/**
 * The addresses this node holds and what each is doing. No I/O and no clock: the journal records, the reconciler acts. Pools have keys from
 * the start (a set of subnets and of security groups); an uplink belongs to one key.
 */
import type { PoolKey } from "../common/ids.ts";
import type { Cidr, Family, IpAddress } from "../common/ip.ts";
import { UnitBook, type UnitUse } from "./unit-book.ts";

/** An uplink's part of the pool. */
type Shelf = {
  readonly slot: number;
  readonly key: PoolKey;
  readonly books: Readonly<Record<Family, UnitBook>>;
  /** Units on their way back to the cloud: nothing is taken from them. */
  readonly releasing: Map<string, Cidr>;
};

/** One address per wanted family, all on one uplink. */
export type Assigned = { readonly slot: number; readonly addresses: readonly IpAddress[] };

export type ShelfSummary = {
  readonly slot: number;
  readonly key: PoolKey;
  readonly family: Family;
  readonly units: number;
  readonly free: number;
  readonly leased: number;
  readonly cooling: number;
};

export class Pool {
  private readonly shelves = new Map<number, Shelf>();

  /** Declares an uplink. Idempotent; throws when the slot has another key. */
  addUplink(slot: number, key: PoolKey): void {
    const shelf = this.shelves.get(slot);
    if (shelf === undefined) {
      this.shelves.set(slot, {
        slot,
        key,
        books: { 4: new UnitBook(), 6: new UnitBook() },
        releasing: new Map(),
      });
    } else if (shelf.key !== key) {
      throw new Error(`uplink ${slot} belongs to pool ${shelf.key}, not ${key}`);
    }
  }

  /** Idempotent. Throws for an undeclared slot, and for a unit that overlaps one of another uplink. */
  hold(slot: number, unit: Cidr): void {
    const clash = this.overlapping(slot, unit);
    if (clash !== undefined)
      throw new Error(`unit ${unit} of uplink ${slot} overlaps ${clash.unit} of uplink ${clash.slot}`);
    this.shelf(slot).books[unit.family].hold(unit);
  }

  /** The unit is another uplink's from now on, with what its addresses are doing. Throws as hold() does. */
  move(unit: Cidr, from: number, to: number): void {
    const uses = this.shelf(from).books[unit.family].takeOut(unit);
    this.shelf(from).releasing.delete(unit.toString());
    this.hold(to, unit);
    for (const { address, use } of uses) this.shelf(to).books[unit.family].set(address, use);
  }

  /** The held unit of another uplink that has addresses in common with this one. */
  overlapping(slot: number, unit: Cidr): { readonly slot: number; readonly unit: Cidr } | undefined {
    for (const [other, shelf] of this.shelves) {
      const found =
        other === slot ? undefined : shelf.books[unit.family].heldUnits().find((held) => held.overlaps(unit));
      if (found !== undefined) return { slot: other, unit: found };
    }
    return undefined;
  }

  /** Forgets an uplink that holds no unit. Idempotent; throws when it holds one. */
  removeUplink(slot: number): void {
    const held = [...this.units(slot), ...this.releasing(slot)];
    if (held.length > 0) throw new Error(`uplink ${slot} still holds ${held.map(String).join(" ")}`);
    this.shelves.delete(slot);
  }

  /** Gives no address of the unit until putBack(): whether the cloud still routes it here is in doubt. True when that is new. */
  setAside(slot: number, unit: Cidr): boolean {
    return this.shelf(slot).books[unit.family].setAside(unit, true);
  }

  /** The doubt is over. True when there was one. */
  putBack(slot: number, unit: Cidr): boolean {
    return this.shelf(slot).books[unit.family].setAside(unit, false);
  }

  /** True when an address of the unit is leased or cooling. */
  isInUse(unit: Cidr): boolean {
    return [...this.shelves.values()].some(({ books }) => books[unit.family].isInUse(unit));
  }

  /** Removes a unit none of whose addresses is leased or cooling. */
  drop(slot: number, unit: Cidr): void {
    const shelf = this.shelf(slot);
    shelf.books[unit.family].drop(unit);
    shelf.releasing.delete(unit.toString());
  }

  /** From now on nothing is taken from the unit. */
  startRelease(slot: number, unit: Cidr): void {
    const shelf = this.shelf(slot);
    shelf.books[unit.family].drop(unit);
    shelf.releasing.set(unit.toString(), unit);
  }

  /** It stays after all: its addresses are free to give. Nothing when it was not being released. */
  cancelRelease(slot: number, unit: Cidr): void {
    const shelf = this.shelf(slot);
    if (shelf.releasing.delete(unit.toString())) shelf.books[unit.family].hold(unit);
  }

  /**
   * Takes one free address per family from one uplink of the key that has all of them, the one with most pods first, so that others become empty;
   * undefined when none has.
   */
  assign(key: PoolKey, families: readonly Family[]): Assigned | undefined {
    for (const shelf of this.ofKey(key).sort((a, b) => usedOf(b) - usedOf(a) || a.slot - b.slot)) {
      if (!families.every((family) => shelf.books[family].hasFree())) continue;
      const addresses = families.map((family) => shelf.books[family].take());
      if (addresses.every((address) => address !== undefined)) return { slot: shelf.slot, addresses };
      // a count that promised what take() could not give would be a bug of UnitBook
      throw new Error(`uplink ${shelf.slot} counts free addresses that it does not have`);
    }
    return undefined;
  }

  /** Records that an address is leased, cooling or excluded, as found in the kernel. False when no uplink holds it. */
  mark(address: IpAddress, use: "leased" | "cooling" | "excluded"): boolean {
    const book = this.bookOf(address);
    book?.set(address, use);
    return book !== undefined;
  }

  /** Leased to cooling. Idempotent. */
  cool(address: IpAddress): void {
    const book = this.bookOf(address);
    if (book?.use(address) === "leased") book.set(address, "cooling");
  }

  /** Leased or cooling to free. Idempotent. */
  free(address: IpAddress): void {
    const book = this.bookOf(address);
    if (book?.use(address) !== "excluded") book?.free(address);
  }

  use(address: IpAddress): "free" | "leased" | "cooling" | "excluded" | undefined {
    const book = this.bookOf(address);
    return book === undefined ? undefined : (book.use(address) ?? "free");
  }

  /** The uplink that holds an address. */
  slotOf(address: IpAddress): number | undefined {
    for (const shelf of this.shelves.values())
      if (shelf.books[address.family].holds(address)) return shelf.slot;
    return undefined;
  }

  units(slot: number): Cidr[] {
    const shelf = this.shelves.get(slot);
    return shelf === undefined ? [] : [...shelf.books[4].heldUnits(), ...shelf.books[6].heldUnits()];
  }

  /** Of those, the ones that are set aside. */
  unitsAside(slot: number): Cidr[] {
    const shelf = this.shelves.get(slot);
    return shelf === undefined ? [] : [...shelf.books[4].unitsAside(), ...shelf.books[6].unitsAside()];
  }

  releasing(slot: number): Cidr[] {
    return [...(this.shelves.get(slot)?.releasing.values() ?? [])];
  }

  addressesIn(use: "leased" | "cooling" | "excluded"): IpAddress[] {
    return [...this.shelves.values()].flatMap(({ books }) => [
      ...books[4].addressesIn(use),
      ...books[6].addressesIn(use),
    ]);
  }

  /** What the units of the uplinks of a key are doing, by slot. */
  onUplinks(
    key: PoolKey,
  ): { readonly slot: number; readonly units: readonly UnitUse[]; readonly releasing: readonly Cidr[] }[] {
    return this.ofKey(key)
      .sort((a, b) => a.slot - b.slot)
      .map(({ slot, books, releasing }) => ({
        slot,
        units: [...books[4].summary(), ...books[6].summary()],
        releasing: [...releasing.values()],
      }));
  }

  /** One row per uplink and family, by slot. */
  summary(): ShelfSummary[] {
    return [...this.shelves.values()].flatMap(({ slot, key, books }) =>
      ([4, 6] as const).map((family) => ({
        slot,
        key,
        family,
        units: books[family].heldUnits().length,
        free: books[family].freeCount(),
        leased: books[family].addressesIn("leased").length,
        cooling: books[family].addressesIn("cooling").length,
      })),
    );
  }

  private ofKey(key: PoolKey): Shelf[] {
    return [...this.shelves.values()].filter((shelf) => shelf.key === key);
  }

  private shelf(slot: number): Shelf {
    const shelf = this.shelves.get(slot);
    if (shelf === undefined) throw new Error(`no uplink has slot ${slot}`);
    return shelf;
  }

  private bookOf(address: IpAddress): UnitBook | undefined {
    const slot = this.slotOf(address);
    return slot === undefined ? undefined : this.shelves.get(slot)?.books[address.family];
  }
}

function usedOf({ books }: Shelf): number {
  return books[4].usedCount + books[6].usedCount;
}
