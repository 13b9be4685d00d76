/**
 * Brings what the cloud says onto this host: uplinks for attached interfaces, units into the journal and the pool. Strong facts remove, weak
 * ones only set aside: a unit that one answer omits stays until a second answer omits it too and no pod has it.
 */

import { planPodNetwork } from "../cni/pod-network.ts";
import type { InterfaceId } from "../common/ids.ts";
import type { Cidr } from "../common/ip.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Logger } from "../common/log.ts";
import type { CloudInterface, CloudView } from "../providers/provider.ts";
import type { HostNetwork } from "./host-network/host-network.ts";
import type { Journal } from "./journal.ts";
import type { LeaseBook } from "./lease-book.ts";
import type { Pool } from "./pool.ts";
import type { Uplink } from "./uplink.ts";
import type { Uplinks } from "./uplinks.ts";

/** Answers in a row that must omit a unit before it is given up. */
const MISSES_MAX = 2;

export type AdoptionDeps = {
  readonly kernel: Kernel;
  readonly hostNetwork: HostNetwork;
  readonly uplinks: Uplinks;
  readonly pool: Pool;
  readonly journal: Journal;
  readonly book: () => LeaseBook;
  readonly log: Logger;
};

export class Adoption {
  private readonly deps: AdoptionDeps;
  private readonly misses = new Map<string, number>();
  private cidrs: readonly Cidr[] = [];

  constructor(deps: AdoptionDeps) {
    this.deps = deps;
  }

  /** The network's CIDRs in force: the cloud's last word, or what the host remembers. */
  get networkCidrs(): readonly Cidr[] {
    return this.cidrs;
  }

  /** From the journal, before the cloud has spoken. */
  restoreCidrs(cidrs: readonly Cidr[]): void {
    this.cidrs = cidrs;
  }

  /** Repeatable. Throws KernelError; what was done stays, and the next call goes on from there. */
  async adopt(view: CloudView, signal: AbortSignal): Promise<void> {
    if (view.networkCidrs.length > 0) this.cidrs = view.networkCidrs;
    const links = this.deps.kernel.host.links.list();
    const carried: [Uplink, CloudInterface][] = [];
    for (const one of view.interfaces) {
      if (one.ownership === "foreign" || one.state !== "attached") continue;
      const isNew = this.deps.uplinks.byInterface(one.id) === undefined;
      const uplink = this.deps.uplinks.ensure(one, links);
      if (uplink === undefined) continue;
      this.deps.pool.addUplink(uplink.slot, uplink.poolKey);
      if (isNew) this.tell(uplink);
      carried.push([uplink, one]);
    }
    signal.throwIfAborted();
    await this.applyHost();
    for (const [uplink, one] of carried) this.compareUnits(uplink, one);
    this.deps.book().serveWaiters();
  }

  /** Units that the cloud has just given to an interface of ours. Repeatable. */
  holdUnits(id: InterfaceId, units: readonly Cidr[]): void {
    const uplink = this.deps.uplinks.byInterface(id);
    if (uplink === undefined) return;
    for (const unit of units) this.hold(uplink, unit);
    this.deps.book().serveWaiters();
  }

  /** Lays the host's network down for the uplinks and units of now; gives what it wrote. */
  applyHost(): Promise<readonly string[]> {
    const { uplinks, pool, book, hostNetwork, kernel } = this.deps;
    const wanted = () => {
      // one whose link went (detached by hand) must not keep the others from being put in order
      const there = uplinks.list().filter(({ linkIndex }) => kernel.host.links.find(linkIndex) !== undefined);
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

  private compareUnits(uplink: Uplink, cloud: CloudInterface): void {
    const said = new Set(cloud.units.map(String));
    for (const unit of cloud.units) this.hold(uplink, unit);
    for (const unit of this.deps.pool.units(uplink.slot)) {
      if (said.has(unit.toString())) this.misses.delete(unit.toString());
      else this.miss(uplink, unit);
    }
  }

  private hold(uplink: Uplink, unit: Cidr): void {
    const { pool, journal, kernel, log } = this.deps;
    const held = pool.units(uplink.slot).some((other) => other.equals(unit));
    if (held || pool.releasing(uplink.slot).some((other) => other.equals(unit))) return;
    // an address that the host itself has is nobody's to give (aws-33)
    const clash = kernel.host.addresses.list().find(({ address }) => unit.contains(address));
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

  private miss(uplink: Uplink, unit: Cidr): void {
    const key = unit.toString();
    const misses = (this.misses.get(key) ?? 0) + 1;
    this.misses.set(key, misses);
    const { pool, journal, log } = this.deps;
    const inUse = [...pool.addressesIn("leased"), ...pool.addressesIn("cooling")].some((address) =>
      unit.contains(address),
    );
    if (misses < MISSES_MAX || inUse) {
      log.warn(
        { unit: key, interfaceId: uplink.interfaceId, misses, inUse },
        "the cloud does not list a unit that we hold",
      );
      return;
    }
    this.misses.delete(key);
    pool.drop(uplink.slot, unit);
    journal.drop(uplink.slot, unit);
    log.warn({ unit: key, interfaceId: uplink.interfaceId }, "unit given up: the cloud took it away");
  }
}
