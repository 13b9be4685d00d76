/**
 * Units on their way back to the cloud, until nobody can mistake them for ours: a settling time after the cloud's own word, or after the first of its
 * lists that does not have them. Until then callers on this node fail fast, and an older list gives nothing back to the pool. No I/O.
 */
import type { Cidr } from "../common/ip.ts";

/** How long lists of the cloud may lag behind its word. */
export const SETTLE_MS = 60_000;

export class Releases {
  private readonly goneSince = new Map<string, number>();

  /** The cloud says that it has taken it. */
  released(unit: Cidr, now: number): void {
    this.goneSince.set(unit.toString(), now);
  }

  /** It is here again, or nothing of ours any more. */
  settled(unit: Cidr): void {
    this.goneSince.delete(unit.toString());
  }

  /** What is on its way back; anything else has been dropped, with its interface for example. */
  keepOnly(units: readonly Cidr[]): void {
    const names = new Set(units.map(String));
    for (const name of this.goneSince.keys()) if (!names.has(name)) this.goneSince.delete(name);
  }

  /** A list of the cloud does not have it. */
  omitted(unit: Cidr, now: number): void {
    if (!this.goneSince.has(unit.toString())) this.goneSince.set(unit.toString(), now);
  }

  /** True when it may be forgotten. */
  isOver(unit: Cidr, now: number): boolean {
    const since = this.goneSince.get(unit.toString());
    return since !== undefined && now - since >= SETTLE_MS;
  }

  /** When the first of them may be forgotten; undefined when there is none. */
  get nextAt(): number | undefined {
    const times = [...this.goneSince.values()];
    return times.length === 0 ? undefined : Math.min(...times) + SETTLE_MS;
  }
}
