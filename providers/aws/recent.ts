import type { Clock } from "../../common/clock.ts";
import type { InterfaceId } from "../../common/ids.ts";
import type { Cidr } from "../../common/ip.ts";
import type { Ec2Interface } from "./schema.ts";

/**
 * EC2's lists are eventually consistent: for a while after a write they may tell of the time before it. How long a list's silence about
 * something that EC2 itself confirmed is not believed.
 */
export const YOUNG_MS = 60_000;

type Units = { readonly at: number; readonly unit: Cidr };

/** What EC2 confirmed lately. Confirmations are strong facts, lists that omit them weak ones. */
export class RecentWrites {
  private readonly clock: Clock;
  private readonly made = new Map<InterfaceId, { readonly at: number; readonly interface: Ec2Interface }>();
  private readonly added = new Map<InterfaceId, Units[]>();
  private readonly removed = new Map<InterfaceId, Units[]>();
  /** What EC2 was asked to take, and nobody knows whether it did. */
  private readonly doubts = new Map<InterfaceId, Units[]>();
  private readonly tags = new Map<InterfaceId, ReadonlyMap<string, string>>();
  private readonly deleted = new Set<InterfaceId>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  created(one: Ec2Interface): void {
    this.made.set(one.id, { at: this.made.get(one.id)?.at ?? this.clock.now(), interface: one });
  }

  assigned(id: InterfaceId, units: readonly Cidr[]): void {
    const at = this.clock.now();
    this.added.set(id, [...(this.added.get(id) ?? []), ...units.map((unit) => ({ at, unit }))]);
    this.named(id, units);
  }

  /** The reply to a write names them: they are there, whatever was taken before. */
  named(id: InterfaceId, units: readonly Cidr[]): void {
    for (const known of [this.removed, this.doubts]) known.set(id, without(known.get(id), units));
  }

  released(id: InterfaceId, units: readonly Cidr[]): void {
    const at = this.clock.now();
    this.added.set(id, without(this.added.get(id), units));
    this.doubts.set(id, without(this.doubts.get(id), units));
    this.removed.set(id, [...(this.removed.get(id) ?? []), ...units.map((unit) => ({ at, unit }))]);
  }

  /** They may have been taken: that they were added is no longer a fact, and lists alone tell. */
  doubted(id: InterfaceId, units: readonly Cidr[]): void {
    const at = this.clock.now();
    this.added.set(id, without(this.added.get(id), units));
    const others = without(this.doubts.get(id), units);
    this.doubts.set(id, [...others, ...units.map((unit) => ({ at, unit }))]);
  }

  /** Whether it may have been taken so lately that a list which shows it proves nothing. */
  isDoubted(id: InterfaceId, unit: Cidr): boolean {
    this.forgetOld();
    return this.doubts.get(id)?.some((entry) => entry.unit.equals(unit)) ?? false;
  }

  /** For good: what we tag we never untag, and a record of foreign units that is missed once would be written anew, wrongly. */
  tagged(id: InterfaceId, tags: ReadonlyMap<string, string>): void {
    this.tags.set(id, new Map([...(this.tags.get(id) ?? []), ...tags]));
  }

  /** It is no longer to be shown as attached when a list says that it is not. */
  detached(id: InterfaceId): void {
    const entry = this.made.get(id);
    if (entry === undefined) return;
    const { attachment: _, ...rest } = entry.interface;
    this.made.set(id, { at: entry.at, interface: rest });
  }

  /** For good: EC2 never gives an id twice. */
  gone(id: InterfaceId): void {
    this.deleted.add(id);
    this.made.delete(id);
    this.added.delete(id);
    this.removed.delete(id);
    this.doubts.delete(id);
    this.tags.delete(id);
  }

  isGone(id: InterfaceId): boolean {
    return this.deleted.has(id);
  }

  /** A created interface that is still young, as last known. */
  findYoung(id: InterfaceId): Ec2Interface | undefined {
    this.forgetOld();
    return this.made.get(id)?.interface;
  }

  /** A list as it would be had it seen every recent confirmation. */
  complete(listed: readonly Ec2Interface[]): Ec2Interface[] {
    this.forgetOld();
    const ids = new Set(listed.map((one) => one.id));
    const missing = [...this.made.values()].map((entry) => entry.interface).filter((one) => !ids.has(one.id));
    return [...listed, ...missing]
      .filter((one) => !this.deleted.has(one.id))
      .map((one) => this.withTags(this.withoutRemoved(this.withAdded(this.withAttachment(one)))));
  }

  /** The list may show a young interface as it was before it was attached, or before it was to go with its instance. */
  private withAttachment(one: Ec2Interface): Ec2Interface {
    const attachment = this.made.get(one.id)?.interface.attachment;
    if (attachment === undefined) return one;
    if (one.attachment === undefined) return { ...one, attachment };
    const deleteOnTermination = one.attachment.deleteOnTermination || attachment.deleteOnTermination;
    return { ...one, attachment: { ...one.attachment, deleteOnTermination } };
  }

  private withAdded(one: Ec2Interface): Ec2Interface {
    const missing = (this.added.get(one.id) ?? [])
      .map((entry) => entry.unit)
      .filter((unit) => !one.units.some((known) => known.equals(unit)));
    if (missing.length === 0) return one;
    return { ...one, units: [...one.units, ...missing].sort((a, b) => a.compare(b)) };
  }

  private withoutRemoved(one: Ec2Interface): Ec2Interface {
    const removed = (this.removed.get(one.id) ?? []).map((entry) => entry.unit);
    const units = one.units.filter((unit) => !removed.some((gone) => gone.equals(unit)));
    return units.length === one.units.length ? one : { ...one, units };
  }

  private withTags(one: Ec2Interface): Ec2Interface {
    const ours = this.tags.get(one.id);
    return ours === undefined ? one : { ...one, tags: new Map([...ours, ...one.tags]) };
  }

  private forgetOld(): void {
    const oldest = this.clock.now() - YOUNG_MS;
    for (const [id, entry] of this.made) if (entry.at < oldest) this.made.delete(id);
    for (const units of [this.added, this.removed, this.doubts]) {
      for (const [id, entries] of units) {
        const young = entries.filter((entry) => entry.at >= oldest);
        if (young.length === 0) units.delete(id);
        else units.set(id, young);
      }
    }
  }
}

function without(entries: readonly Units[] = [], units: readonly Cidr[]): Units[] {
  return entries.filter(({ unit }) => !units.some((gone) => gone.equals(unit)));
}
