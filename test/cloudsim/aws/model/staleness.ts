/**
 * Eventual consistency: a describe may answer from a copy of the account that has not heard of the newest writes. Each interface is
 * remembered as it was after each change; a describe shows its newest form that is old enough for the kind of that change. Writes always
 * act on what is true.
 */
import type { InterfaceId } from "../../../../common/ids.ts";
import type { Account } from "./account.ts";
import { type NetworkInterface, unitsOf } from "./resources.ts";

/** What a change did to an interface; of several at once the first of this list. */
export type ChangeKind = "create" | "delete" | "attachment" | "units" | "tags" | "attributes";

/** How long describes do not know of a change of each kind, in milliseconds; a kind that is absent shows at once. */
export type Lags = Readonly<Partial<Record<ChangeKind, number>>> & {
  /** Up to this much more, drawn anew by each describe: one may know what the next one does not, as with several copies. Default 0. */
  readonly jitterMs?: number;
};

type Version = {
  readonly at: number;
  readonly kind: ChangeKind;
  /** Undefined once deleted. */
  readonly state: NetworkInterface | undefined;
};

export class Staleness {
  private readonly account: Account;
  private lags: Lags | undefined;
  private readonly versions = new Map<InterfaceId, Version[]>();

  constructor(account: Account) {
    this.account = account;
    account.watch(() => this.record());
  }

  /** Switched on, or changed: what there is now shows at once, what is changed from now on shows later. */
  set(lags: Lags): void {
    this.clear();
    this.lags = lags;
    for (const [id, current] of this.account.interfaces) {
      this.versions.set(id, [{ at: Number.NEGATIVE_INFINITY, kind: "create", state: copyOf(current) }]);
    }
  }

  /** Every describe shows what is true. */
  clear(): void {
    this.lags = undefined;
    this.versions.clear();
  }

  /** The interfaces as one describe sees them now, in order of creation. */
  seen(): readonly NetworkInterface[] {
    const { lags, account } = this;
    if (lags === undefined) return [...account.interfaces.values()];
    const jitterMs = lags.jitterMs ?? 0;
    const until = account.timers.now() - (jitterMs > 0 ? account.sideRandom.below(jitterMs + 1) : 0);
    return [...this.versions.values()].flatMap(
      (versions) => versions.findLast(({ at, kind }) => at + (lags[kind] ?? 0) <= until)?.state ?? [],
    );
  }

  private record(): void {
    if (this.lags === undefined) return;
    const { interfaces } = this.account;
    for (const id of new Set([...this.versions.keys(), ...interfaces.keys()])) {
      this.recordOne(id, interfaces.get(id));
    }
  }

  private recordOne(id: InterfaceId, current: NetworkInterface | undefined): void {
    const versions = this.versions.get(id) ?? [];
    const kind = changeBetween(versions.at(-1)?.state, current);
    if (kind === undefined) return;
    const state = current === undefined ? undefined : copyOf(current);
    versions.push({ at: this.account.timers.now(), kind, state });
    this.versions.set(id, versions);
  }
}

function copyOf(networkInterface: NetworkInterface): NetworkInterface {
  const { attachment, tags } = networkInterface;
  return {
    ...networkInterface,
    tags: new Map(tags),
    ...(attachment === undefined ? {} : { attachment: { ...attachment } }),
  };
}

function changeBetween(
  before: NetworkInterface | undefined,
  after: NetworkInterface | undefined,
): ChangeKind | undefined {
  if (before === undefined) return after === undefined ? undefined : "create";
  if (after === undefined) return "delete";
  if (JSON.stringify(before.attachment) !== JSON.stringify(after.attachment)) return "attachment";
  if (unitsOf(before).join() !== unitsOf(after).join()) return "units";
  if (JSON.stringify([...before.tags]) !== JSON.stringify([...after.tags])) return "tags";
  return attributesOf(before) === attributesOf(after) ? undefined : "attributes";
}

function attributesOf({ description, sourceDestCheck, groups, publicIpv4 }: NetworkInterface): string {
  return JSON.stringify([description, sourceDestCheck, groups.map(({ id }) => id), publicIpv4?.toString()]);
}
