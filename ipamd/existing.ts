/**
 * Units that were on an interface before we managed it. They stay out of the pool unless the setting use-existing-addresses lets pods have them; and
 * they never go back to the cloud, as the planner and the providers refuse to release them. When the setting is turned off, nothing more is given of
 * them, and each is forgotten once no pod has an address of it.
 */
import type { Cidr } from "../common/ip.ts";
import type { Logger } from "../common/log.ts";
import type { CloudInterface } from "../providers/provider.ts";
import type { Journal } from "./journal.ts";
import type { Pool } from "./pool.ts";
import type { Uplink } from "./uplink.ts";

export type ExistingUnitsDeps = {
  readonly pool: Pool;
  readonly journal: Journal;
  readonly log: Logger;
  /** The setting, now. */
  readonly useExisting: () => boolean;
};

export class ExistingUnits {
  private readonly deps: ExistingUnitsDeps;
  /** Held, and not wanted any more. */
  private readonly unwanted = new Map<string, { readonly slot: number; readonly unit: Cidr }>();

  constructor(deps: ExistingUnitsDeps) {
    this.deps = deps;
  }

  /** The interface, its units being those that pods may have. */
  offered<One extends Pick<CloudInterface, "units" | "foreignUnits" | "ownership">>(one: One): One {
    if (!this.deps.useExisting() || one.ownership === "foreign") return one;
    return { ...one, units: [...one.units, ...one.foreignUnits] };
  }

  /** Sets aside what is held of the interface's foreign units and not offered any more. Repeatable. */
  withdraw({ slot }: Uplink, { units, foreignUnits }: CloudInterface): void {
    const { pool, log } = this.deps;
    const isIn = (list: readonly Cidr[], unit: Cidr) => list.some((other) => other.equals(unit));
    for (const unit of pool.units(slot)) {
      const key = unit.toString();
      if (isIn(units, unit)) this.unwanted.delete(key);
      if (isIn(units, unit) || !isIn(foreignUnits, unit)) continue;
      if (pool.setAside(slot, unit))
        log.info({ unit: key, slot }, "nothing more is given of a unit that was here before us");
      this.unwanted.set(key, { slot, unit });
    }
    this.dropUnused();
  }

  /** Forgets what no pod uses any more. Cheap. */
  dropUnused(): void {
    const { pool, journal, log } = this.deps;
    for (const [key, { slot, unit }] of this.unwanted) {
      if (pool.isInUse(unit)) continue;
      this.unwanted.delete(key);
      // it may have been given up with its uplink, or moved, by now
      if (!pool.units(slot).some((held) => held.equals(unit))) continue;
      pool.drop(slot, unit);
      journal.drop(slot, unit);
      log.info({ unit: key, slot }, "unit forgotten: it was here before us, and pods do not get such");
    }
  }
}
