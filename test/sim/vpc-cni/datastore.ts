import type { Random } from "../random.ts";
import { BLOCK_SIZE } from "../subnet.ts";
import type { PoolStats, VpcCniSettings } from "./targets.ts";

/** Younger interfaces are not removed (`minENILifeTime`). */
const MIN_ENI_LIFE_MS = 60_000;
/** IP_COOLDOWN_PERIOD. */
export const COOLDOWN_MS = 30_000;

type Slot = { readonly address: number; pod: number | undefined; unassignedAt: number };
/** One address, or a prefix. */
type StoredCidr = {
  readonly first: number;
  readonly isPrefix: boolean;
  readonly slots: readonly Slot[];
  assigned: number;
};

/** An interface that amazon-vpc-cni gives addresses of. */
export type StoredEni<Handle> = {
  readonly handle: Handle;
  readonly isPrimary: boolean;
  readonly createdAt: number;
  readonly cidrs: Map<number, StoredCidr>;
  assigned: number;
  total: number;
};

type Place<Handle> = { readonly eni: StoredEni<Handle>; readonly cidr: StoredCidr; readonly slot: Slot };

/**
 * amazon-vpc-cni's datastore (pkg/ipamd/datastore/data_store.go): which addresses there are and which pod has which. It looks for a free address in
 * the order of Go's maps, which begins at a random place; so pods spread over interfaces.
 */
export class Datastore<Handle> {
  readonly enis: StoredEni<Handle>[] = [];
  private readonly places = new Map<number, Place<Handle>>();
  private readonly random: Random;
  private total = 0;
  private assigned = 0;

  constructor(random: Random) {
    this.random = random;
  }

  stats(): PoolStats {
    let [prefixes, freePrefixes] = [0, 0];
    for (const { cidrs } of this.enis) {
      for (const { isPrefix, assigned } of cidrs.values()) {
        if (!isPrefix) break;
        prefixes += 1;
        if (assigned === 0) freePrefixes += 1;
      }
    }
    return { total: this.total, assigned: this.assigned, prefixes, freePrefixes };
  }

  addEni(handle: Handle, isPrimary: boolean, now: number): StoredEni<Handle> {
    const eni = { handle, isPrimary, createdAt: now, cidrs: new Map(), assigned: 0, total: 0 };
    this.enis.push(eni);
    return eni;
  }

  addCidr(eni: StoredEni<Handle>, first: number, isPrefix: boolean): void {
    const size = isPrefix ? BLOCK_SIZE : 1;
    const slots = Array.from({ length: size }, (_, offset) => ({
      address: first + offset,
      pod: undefined,
      unassignedAt: Number.NEGATIVE_INFINITY,
    }));
    eni.cidrs.set(first, { first, isPrefix, slots, assigned: 0 });
    eni.total += size;
    this.total += size;
  }

  /** An address that no pod has and that has cooled; undefined when there is none. */
  assign(pod: number, now: number): number | undefined {
    for (const eni of this.rotated(this.enis)) {
      if (eni.assigned === eni.total) continue;
      for (const cidr of this.rotated([...eni.cidrs.values()])) {
        const slot = cidr.slots.find((one) => one.pod === undefined && !isCooling(one, now));
        if (slot === undefined) continue;
        slot.pod = pod;
        this.count(eni, cidr, 1);
        this.places.set(pod, { eni, cidr, slot });
        return slot.address;
      }
    }
    return undefined;
  }

  unassign(pod: number, now: number): void {
    const place = this.places.get(pod);
    if (place === undefined) return;
    this.places.delete(pod);
    place.slot.pod = undefined;
    place.slot.unassignedAt = now;
    this.count(place.eni, place.cidr, -1);
  }

  /** First addresses of what no pod has; cooling ones too. */
  freeable(eni: StoredEni<Handle>): number[] {
    return [...eni.cidrs.values()].filter(({ assigned }) => assigned === 0).map(({ first }) => first);
  }

  removeCidr(eni: StoredEni<Handle>, first: number): { readonly isPrefix: boolean } | undefined {
    const cidr = eni.cidrs.get(first);
    if (cidr === undefined || cidr.assigned > 0) return undefined;
    eni.cidrs.delete(first);
    eni.total -= cidr.slots.length;
    this.total -= cidr.slots.length;
    return cidr;
  }

  /** Takes one out that may be removed (`getDeletableENI`); undefined when there is none. */
  takeDeletable(settings: VpcCniSettings, now: number): StoredEni<Handle> | undefined {
    const found = this.rotated(this.enis).find((eni) => this.isDeletable(eni, settings, now));
    if (found === undefined) return undefined;
    this.enis.splice(this.enis.indexOf(found), 1);
    this.total -= found.total;
    return found;
  }

  private isDeletable(eni: StoredEni<Handle>, settings: VpcCniSettings, now: number): boolean {
    if (eni.isPrimary || eni.assigned > 0 || now - eni.createdAt < MIN_ENI_LIFE_MS) return false;
    if ([...eni.cidrs.values()].some(({ slots }) => slots.some((slot) => isCooling(slot, now)))) return false;
    const others = this.enis.filter((other) => other !== eni);
    const total = others.reduce((sum, other) => sum + other.total, 0);
    const assigned = others.reduce((sum, other) => sum + other.assigned, 0);
    if (settings.warmIp !== 0 && total - assigned < settings.warmIp) return false;
    if (settings.minimumIp !== 0 && total < settings.minimumIp) return false;
    if (settings.warmPrefix === undefined) return true;
    const prefixes = others.flatMap(({ cidrs }) => [...cidrs.values()]);
    return prefixes.filter((cidr) => cidr.assigned === 0).length >= settings.warmPrefix;
  }

  private count(eni: StoredEni<Handle>, cidr: StoredCidr, change: number): void {
    cidr.assigned += change;
    eni.assigned += change;
    this.assigned += change;
  }

  private rotated<T>(list: readonly T[]): T[] {
    const start = Math.floor(this.random.next() * list.length);
    return [...list.slice(start), ...list.slice(0, start)];
  }
}

function isCooling({ unassignedAt }: Slot, now: number): boolean {
  return now - unassignedAt < COOLDOWN_MS;
}
