/**
 * Brings what the cloud says onto this host: uplinks for attached interfaces, units into the journal and the pool. Strong facts remove, weak
 * ones only set aside (losses.ts).
 */

import { planPodNetwork } from "../cni/pod-network.ts";
import type { Clock } from "../common/clock.ts";
import type { InterfaceId } from "../common/ids.ts";
import type { Cidr } from "../common/ip.ts";
import type { LinkAddress } from "../common/kernel/addresses.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Link } from "../common/kernel/links.ts";
import type { Logger } from "../common/log.ts";
import type { CloudInterface, CloudView } from "../providers/provider.ts";
import { ExistingUnits } from "./existing.ts";
import type { HostNetwork } from "./host-network/host-network.ts";
import type { Journal } from "./journal.ts";
import type { LeaseBook } from "./lease-book.ts";
import { Losses } from "./losses.ts";
import { CONFIRM_AFTER_MS } from "./misses.ts";
import type { Pool } from "./pool.ts";
import type { PoolHost } from "./pool-host.ts";
import type { OrphanUnit } from "./recovery.ts";
import { Releases } from "./releases.ts";
import type { Uplink } from "./uplink.ts";
import type { Uplinks } from "./uplinks.ts";

export type AdoptionDeps = {
  readonly kernel: Kernel;
  readonly hostNetwork: HostNetwork;
  readonly uplinks: Uplinks;
  readonly pool: Pool;
  readonly journal: Journal;
  readonly book: () => LeaseBook;
  readonly clock: Clock;
  readonly log: Logger;
  /** Pods may have what was on an interface before us. */
  readonly useExisting: () => boolean;
};

/** What the host's links have, asked for at the first need. */
type ListOnce = () => readonly LinkAddress[];

/** How soon the cloud is asked again when its answer is all that is waited for. */
const UNUSED_AGAIN_MS = 1_000;

export class Adoption implements PoolHost {
  private readonly deps: AdoptionDeps;
  private readonly losses: Losses;
  private readonly releases = new Releases();
  private readonly existing: ExistingUnits;
  /** Interfaces that are being deleted at our request. */
  private readonly leaving = new Set<InterfaceId>();
  private cidrs: readonly Cidr[] = [];
  private orphans: readonly OrphanUnit[] = [];

  constructor(deps: AdoptionDeps) {
    this.deps = deps;
    this.losses = new Losses(deps);
    this.existing = new ExistingUnits(deps);
  }

  askAgainAfterMs(): number | undefined {
    // something is gone for good and no pod holds it back any more
    if (this.losses.areUnused) return UNUSED_AGAIN_MS;
    return this.losses.areOpen ? CONFIRM_AFTER_MS : undefined;
  }

  /** The network's CIDRs in force: the cloud's last word, or what the host remembers. */
  get networkCidrs(): readonly Cidr[] {
    return this.cidrs;
  }

  /** From the journal, before the cloud has spoken: CIDRs, and units whose uplink only the cloud can tell. */
  restore(cidrs: readonly Cidr[], orphans: readonly OrphanUnit[]): void {
    this.cidrs = cidrs;
    this.orphans = orphans;
  }

  async adopt(said: CloudView, signal: AbortSignal): Promise<void> {
    const links = this.deps.kernel.host.links.list();
    const view = {
      ...said,
      interfaces: said.interfaces.map((one) => this.asHere(this.existing.offered(one), links)),
    };
    if (view.networkCidrs.length > 0) this.cidrs = view.networkCidrs;
    const carried = view.interfaces.flatMap((one): [Uplink, CloudInterface][] => {
      const uplink = this.ensureUplink(one, links);
      return uplink === undefined ? [] : [[uplink, one]];
    });
    for (const uplink of this.deps.uplinks.list()) {
      if (!carried.some(([{ slot }]) => slot === uplink.slot)) this.missUplink(uplink, view);
    }
    signal.throwIfAborted();
    await this.applyHost();
    for (const [uplink, one] of carried) this.missUnits(uplink, one);
    for (const [uplink, one] of carried) this.existing.withdraw(uplink, one);
    for (const [uplink, one] of carried) this.noteReleases(uplink, one);
    const hostAddresses = this.listHostAddressesOnce();
    for (const [uplink, one] of carried) this.holdListed(uplink, one, hostAddresses);
    this.orphans = this.orphans.filter((orphan) => this.isStillOrphan(orphan, view));
    this.deps.book().serveWaiters();
  }

  /** An uplink whose link is here works, though a list may lag behind and still say that it is being attached. */
  private asHere(one: CloudInterface, links: readonly Link[]): CloudInterface {
    if (one.state !== "attaching" || this.deps.uplinks.byInterface(one.id) === undefined) return one;
    return links.some(({ mac }) => mac === one.mac) ? { ...one, state: "attached" } : one;
  }

  async arrived(one: CloudInterface): Promise<boolean> {
    const uplink = this.ensureUplink(one, this.deps.kernel.host.links.list());
    if (uplink === undefined) return false;
    await this.applyHost();
    this.holdUnits(one.id, this.existing.offered(one).units);
    return true;
  }

  holdUnits(id: InterfaceId, units: readonly Cidr[]): void {
    const uplink = this.deps.uplinks.byInterface(id);
    if (uplink === undefined) return;
    const hostAddresses = this.listHostAddressesOnce();
    for (const unit of units) {
      this.losses.unitGiven(uplink, unit);
      // the cloud has given again what it had just taken back
      if (this.isReleasing(uplink, unit)) this.keep(uplink, unit);
      this.hold(uplink, unit, hostAddresses);
    }
    this.deps.book().serveWaiters();
  }

  startRelease(id: InterfaceId, units: readonly Cidr[]): readonly Cidr[] {
    const { uplinks, pool, journal } = this.deps;
    const uplink = uplinks.byInterface(id);
    if (uplink === undefined) return [];
    return units.filter((unit) => {
      if (this.isReleasing(uplink, unit)) return true;
      if (!this.holds(uplink, unit) || pool.isInUse(unit)) return false;
      pool.startRelease(uplink.slot, unit);
      journal.startRelease(unit);
      return true;
    });
  }

  cancelRelease(id: InterfaceId, units: readonly Cidr[]): void {
    const uplink = this.deps.uplinks.byInterface(id);
    if (uplink === undefined) return;
    for (const unit of units) if (this.isReleasing(uplink, unit)) this.keep(uplink, unit);
    this.deps.book().serveWaiters();
  }

  released(_id: InterfaceId, units: readonly Cidr[]): void {
    for (const unit of units) this.releases.released(unit, this.deps.clock.now());
  }

  async interfaceLeaving(id: InterfaceId): Promise<void> {
    this.leaving.add(id);
    await this.applyHost();
  }

  async interfaceStays(id: InterfaceId): Promise<void> {
    this.leaving.delete(id);
    await this.applyHost();
  }

  interfaceDeleted(id: InterfaceId): void {
    this.leaving.delete(id);
    const uplink = this.deps.uplinks.byInterface(id);
    if (uplink === undefined) return;
    for (const unit of this.deps.pool.releasing(uplink.slot)) this.releases.settled(unit);
    this.losses.interfaceDeleted(uplink);
  }

  lostInterfaces(): ReadonlySet<InterfaceId> {
    return new Set(this.lostUplinks().map(({ interfaceId }) => interfaceId));
  }

  /** Stops giving addresses of uplinks whose link is gone. True when there is a new one: the cloud should be asked. */
  missLostLinks(): boolean {
    const lost = this.lostUplinks().filter(({ interfaceId }) => !this.leaving.has(interfaceId));
    return lost.filter((uplink) => this.losses.linkMissed(uplink)).length > 0;
  }

  /** Uplinks whose link is not on this host now. */
  lostUplinks(): Uplink[] {
    const { uplinks, kernel } = this.deps;
    return uplinks.list().filter(({ linkIndex }) => kernel.host.links.find(linkIndex) === undefined);
  }

  /** Lays the host's network down for the uplinks and units of now; gives what it wrote. */
  applyHost(): Promise<readonly string[]> {
    const { uplinks, pool, book, hostNetwork } = this.deps;
    const wanted = () => {
      // one whose link went (detached by hand) must not keep the others from being put in order
      const lost = new Set(this.lostUplinks().map(({ slot }) => slot));
      const there = uplinks
        .list()
        .filter(({ slot, interfaceId }) => !lost.has(slot) && !this.leaving.has(interfaceId));
      return {
        uplinks: there,
        units: new Map(there.map(({ slot }) => [slot, [...pool.units(slot), ...pool.releasing(slot)]])),
        networkCidrs: this.cidrs,
      };
    };
    const genuine = () =>
      book()
        .ready()
        .flatMap((lease) => planPodNetwork(lease).genuine);
    return hostNetwork.apply(wanted, genuine);
  }

  /** Puts back what the journal lost of held units and claimed addresses; gives what it wrote. Repeatable. */
  restoreJournal(): readonly string[] {
    const { uplinks, pool, journal, book } = this.deps;
    const slots = uplinks.list().map(({ slot }) => slot);
    return journal.restore({
      held: slots.flatMap((slot) => pool.units(slot)),
      releasing: slots.flatMap((slot) => pool.releasing(slot)),
      claimed: book().claimed(),
    });
  }

  private tell({ slot, linkName, interfaceId }: Uplink): void {
    this.deps.log.info({ slot, link: linkName, interfaceId }, "uplink ready");
  }

  /** Undefined for one that carries no pods, and while its link has not shown. */
  private ensureUplink(one: CloudInterface, links: readonly Link[]): Uplink | undefined {
    if (whyNot(one) !== undefined) return undefined;
    const isNew = this.deps.uplinks.byInterface(one.id) === undefined;
    const uplink = this.deps.uplinks.ensure(one, links);
    if (uplink === undefined) return undefined;
    this.deps.pool.addUplink(uplink.slot, uplink.poolKey);
    if (isNew) this.tell(uplink);
    return uplink;
  }

  private missUplink(uplink: Uplink, view: CloudView): void {
    const cloud = view.interfaces.find(({ id }) => id === uplink.interfaceId);
    const why = cloud === undefined ? "the cloud does not list it" : whyNot(cloud);
    if (why !== undefined) {
      this.losses.interfaceMissed(uplink, why);
    } else if (cloud !== undefined) {
      this.losses.linkMissed(uplink);
      this.missUnits(uplink, cloud);
    }
  }

  /** Before anything is held: a unit may be another interface's by now. */
  private missUnits(uplink: Uplink, cloud: CloudInterface): void {
    this.losses.interfaceSeen(cloud.id);
    const said = new Set([...cloud.units, ...cloud.foreignUnits].map(String));
    for (const unit of this.deps.pool.units(uplink.slot)) {
      if (!said.has(unit.toString())) this.losses.unitMissed(uplink, unit);
    }
  }

  forgetReleased(): void {
    const { uplinks, pool, journal, clock, log } = this.deps;
    this.existing.dropUnused();
    if (this.releases.nextAt === undefined) return;
    this.releases.keepOnly(uplinks.list().flatMap(({ slot }) => pool.releasing(slot)));
    for (const { slot } of uplinks.list()) {
      for (const unit of pool.releasing(slot)) {
        if (!this.releases.isOver(unit, clock.now())) continue;
        this.releases.settled(unit);
        pool.drop(slot, unit);
        journal.drop(slot, unit);
        log.info({ unit: unit.toString(), slot }, "unit forgotten: the cloud has it back");
      }
    }
  }

  get nextForgetAt(): number | undefined {
    return this.releases.nextAt;
  }

  /** What the cloud's list says of units on their way back. */
  private noteReleases(uplink: Uplink, cloud: CloudInterface): void {
    for (const unit of this.deps.pool.releasing(uplink.slot))
      if (!cloud.units.some((other) => other.equals(unit)))
        this.releases.omitted(unit, this.deps.clock.now());
  }

  private isReleasing({ slot }: Uplink, unit: Cidr): boolean {
    return this.deps.pool.releasing(slot).some((other) => other.equals(unit));
  }

  private keep({ slot }: Uplink, unit: Cidr): void {
    this.releases.settled(unit);
    this.deps.journal.cancelRelease(unit);
    this.deps.pool.cancelRelease(slot, unit);
  }

  private holdListed(uplink: Uplink, cloud: CloudInterface, hostAddresses: ListOnce): void {
    for (const unit of cloud.units) {
      this.hold(uplink, unit, hostAddresses);
      if (this.holds(uplink, unit)) this.losses.unitSeen(uplink, unit);
    }
  }

  /** Held by an uplink again, or not the cloud's any more: then its routes go, and callers are not refused what others may have now. */
  private isStillOrphan({ unit, releasing }: OrphanUnit, view: CloudView): boolean {
    const { pool, uplinks, journal, log } = this.deps;
    const isUnit = (other: Cidr) => other.equals(unit);
    const slot = uplinks.list().find((uplink) => pool.units(uplink.slot).some(isUnit))?.slot;
    if (slot !== undefined) {
      if (releasing && !pool.isInUse(unit)) pool.startRelease(slot, unit);
      return false;
    }
    if (view.interfaces.some(({ units }) => units.some(isUnit))) return true;
    journal.forget(unit);
    log.info(
      { unit: unit.toString() },
      "routes removed of a unit that the cloud took away while nobody looked",
    );
    return false;
  }

  private hold(uplink: Uplink, unit: Cidr, hostAddresses: ListOnce): void {
    const { pool, journal, log } = this.deps;
    if (this.holds(uplink, unit) || this.isReleasing(uplink, unit)) return;
    this.endReleaseElsewhere(uplink, unit);
    const elsewhere = pool.overlapping(uplink.slot, unit);
    if (elsewhere !== undefined) {
      this.takeOver(uplink, unit, elsewhere);
      return;
    }
    // an address that the host itself has is nobody's to give (aws-33)
    const clash = hostAddresses().find(({ address }) => unit.contains(address));
    if (clash !== undefined) {
      log.warn(
        { unit: unit.toString(), address: clash.address.toString() },
        "unit left out: the host has one of its addresses",
      );
      return;
    }
    journal.hold(uplink.slot, unit);
    pool.hold(uplink.slot, unit);
    this.deps.book().unitHeld(unit);
  }

  /** For units that come together: a cold start brings dozens. */
  private listHostAddressesOnce(): ListOnce {
    let listed: readonly LinkAddress[] | undefined;
    return () => {
      listed ??= this.deps.kernel.host.addresses.list();
      return listed;
    };
  }

  /** The cloud has given it to this interface: its way back from another one is over. */
  private endReleaseElsewhere({ slot }: Uplink, unit: Cidr): void {
    const { uplinks, pool, journal } = this.deps;
    for (const other of uplinks.list()) {
      if (other.slot === slot) continue;
      for (const leaving of pool.releasing(other.slot).filter((one) => one.overlaps(unit))) {
        this.releases.settled(leaving);
        pool.drop(other.slot, leaving);
        journal.drop(other.slot, leaving);
      }
    }
  }

  /** The cloud's positive word that another interface has it now is a strong fact. What only overlaps waits until the other is given up. */
  private takeOver(uplink: Uplink, unit: Cidr, from: { readonly slot: number; readonly unit: Cidr }): void {
    const { pool, journal, log } = this.deps;
    const fields = { unit: unit.toString(), slot: uplink.slot, from: from.slot };
    if (!from.unit.equals(unit)) {
      log.warn({ ...fields, other: from.unit.toString() }, "unit left out: another uplink has some of it");
      return;
    }
    journal.move(unit, from.slot, uplink.slot);
    pool.move(unit, from.slot, uplink.slot);
    this.deps.book().unitHeld(unit);
    log.info(fields, "unit moved: the cloud routes it to another interface");
  }

  private holds({ slot }: Uplink, unit: Cidr): boolean {
    return this.deps.pool.units(slot).some((other) => other.equals(unit));
  }
}

/** Why an interface carries no pods; undefined when it does. */
function whyNot({ ownership, state }: CloudInterface): string | undefined {
  if (ownership === "foreign") return "it is tagged as not ours";
  return state === "attached" ? undefined : `the cloud says ${state}`;
}
