/**
 * What becomes of units and uplinks that the cloud, or the kernel, does not have any more. At the first doubt nothing more is given of them; they are
 * given up once a second answer confirms it and no pod has an address of them. What is back by then is taken back as it was.
 */

import type { Clock } from "../common/clock.ts";
import type { InterfaceId } from "../common/ids.ts";
import type { Cidr } from "../common/ip.ts";
import { ignoring } from "../common/kernel/errors.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Logger } from "../common/log.ts";
import type { Journal } from "./journal.ts";
import { Misses } from "./misses.ts";
import type { Pool } from "./pool.ts";
import type { Uplink } from "./uplink.ts";
import type { Uplinks } from "./uplinks.ts";

export type LossesDeps = {
  readonly kernel: Kernel;
  readonly uplinks: Uplinks;
  readonly pool: Pool;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
};

export class Losses {
  private readonly deps: LossesDeps;
  private readonly misses = new Misses();

  constructor(deps: LossesDeps) {
    this.deps = deps;
  }

  /** True while something is in doubt: the cloud should be asked again soon. */
  get areOpen(): boolean {
    return this.misses.areOpen;
  }

  /** True when something that is gone has no pod any more: the cloud's next answer gives it up. */
  get areUnused(): boolean {
    const { uplinks, pool } = this.deps;
    return uplinks.list().some(({ slot, interfaceId, isPrimary }) => {
      const units = pool.units(slot);
      const isUnused = (unit: Cidr) => !pool.isInUse(unit);
      if (this.misses.isGone(interfaceId)) return units.every(isUnused) && (!isPrimary || units.length > 0);
      // while the interface itself is in doubt, the next answer gives up nothing of it
      if (this.misses.isMissing(interfaceId)) return false;
      return units.some((unit) => this.misses.isGone(unit.toString()) && isUnused(unit));
    });
  }

  /** The cloud's answer to a write has it. */
  unitGiven({ slot }: Uplink, unit: Cidr): void {
    this.misses.given(unit.toString(), this.deps.clock.now());
    // what somebody took away may be given again at once
    this.deps.pool.putBack(slot, unit);
  }

  /** The cloud lists it. */
  unitSeen(uplink: Uplink, unit: Cidr): void {
    this.misses.settled(unit.toString());
    if (this.deps.pool.putBack(uplink.slot, unit))
      this.deps.log.info({ unit: unit.toString(), ...about(uplink) }, "unit back: the cloud lists it again");
  }

  /** The cloud lists the interface, without the unit. */
  unitMissed(uplink: Uplink, unit: Cidr): void {
    const miss = this.misses.missed(unit.toString(), this.deps.clock.now());
    if (miss === "lag") return;
    const { pool, log } = this.deps;
    const fields = { unit: unit.toString(), ...about(uplink) };
    if (pool.setAside(uplink.slot, unit))
      log.warn(fields, "the cloud does not list a unit that we hold: nothing more is given of it");
    if (miss !== "gone" || pool.isInUse(unit)) return;
    this.drop(uplink.slot, unit);
    log.warn(fields, "unit given up: the cloud took it away");
  }

  /** The cloud lists the interface as one that carries pods. */
  interfaceSeen(id: InterfaceId): void {
    this.misses.settled(id);
  }

  /**
   * The cloud does not list the interface, or not as one that may carry pods. The primary's uplink stays without units, as the node's own packets
   * go by it.
   */
  interfaceMissed(uplink: Uplink, why: string): void {
    const { pool, clock, log } = this.deps;
    const miss = this.misses.missed(uplink.interfaceId, clock.now());
    this.setAside(uplink, why);
    const units = pool.units(uplink.slot);
    if (miss !== "gone" || units.some((unit) => pool.isInUse(unit))) return;
    this.giveUp(uplink);
    if (!uplink.isPrimary) log.warn({ ...about(uplink), why }, "uplink given up");
  }

  /** The cloud has deleted it at our request; no pod has an address of it. */
  interfaceDeleted(uplink: Uplink): void {
    this.giveUp(uplink);
    this.deps.log.info(about(uplink), "uplink removed with its interface");
  }

  private giveUp(uplink: Uplink): void {
    const { pool, uplinks, kernel } = this.deps;
    for (const unit of [...pool.units(uplink.slot), ...pool.releasing(uplink.slot)])
      this.drop(uplink.slot, unit);
    if (uplink.isPrimary) return;
    pool.removeUplink(uplink.slot);
    uplinks.remove(uplink.slot);
    this.misses.settled(uplink.interfaceId);
    // what is somebody else's from now on does not carry our marks
    ignoring(["ENODEV"], () => kernel.host.links.change(uplink.linkIndex, { alias: "", group: 0 }));
  }

  /** Its link is not on this host: no pod's packet gets there. True when that is new. */
  linkMissed(uplink: Uplink): boolean {
    return this.setAside(uplink, "its link is gone");
  }

  private setAside(uplink: Uplink, why: string): boolean {
    const { pool, log } = this.deps;
    const units = pool.units(uplink.slot).filter((unit) => pool.setAside(uplink.slot, unit));
    if (units.length === 0) return false;
    log.warn({ ...about(uplink), why, units: units.map(String) }, "nothing more is given of this uplink");
    return true;
  }

  private drop(slot: number, unit: Cidr): void {
    this.misses.settled(unit.toString());
    this.deps.pool.drop(slot, unit);
    this.deps.journal.drop(slot, unit);
  }
}

function about({ slot, linkName, interfaceId }: Uplink): object {
  return { slot, link: linkName, interfaceId };
}
