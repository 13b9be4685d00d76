/**
 * The kernel is the journal. The type of a route in the pods table is the state of an address; a pod link's alias is its lease; the
 * map that marks packets by source says which uplink holds a unit. Nothing is written to disk, and a reboot starts empty.
 */

import { claimOf } from "../cni/pod-network.ts";
import { readPodsTable } from "../cni/repair.ts";
import { METRIC, PODS_TABLE, PROTOCOL } from "../common/constants.ts";
import { hasCode } from "../common/errors.ts";
import type { FaultPoints } from "../common/fault-points.ts";
import type { Cidr, IpAddress } from "../common/ip.ts";
import { ignoring } from "../common/kernel/errors.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Route } from "../common/kernel/routes.ts";

/** What the routes of the pods table must say, but for those to running pods. */
export type JournalState = {
  readonly held: readonly Cidr[];
  readonly releasing: readonly Cidr[];
  /** Leased and cooling. */
  readonly claimed: readonly IpAddress[];
};

export class Journal {
  private readonly kernel: Kernel;
  private readonly points: FaultPoints;

  constructor(kernel: Kernel, points: FaultPoints) {
    this.kernel = kernel;
    this.points = points;
  }

  /** Reserved from now on, also after a crash. Repeatable. */
  claim(addresses: readonly IpAddress[]): void {
    const claim = () => {
      for (const address of addresses) {
        this.points.reach("journal.claim");
        this.kernel.host.routes.add(claimOf(address));
      }
    };
    try {
      this.kernel.host.together(claim);
    } catch (error) {
      // one by one it can be looked at what is there
      if (!hasCode(error, "EEXIST")) throw error;
      claim();
    }
  }

  /** Free from now on. Idempotent. */
  unclaim(address: IpAddress): void {
    this.points.reach("journal.unclaim");
    // at each end of a cooling period: no list of all that cool for it
    this.kernel.host.routes.remove(claimOf(address), { soleType: true });
  }

  /** The unit is held and free to give, by that uplink. The map comes first: a unit that is not in it would be routed wrongly. */
  hold(slot: number, unit: Cidr): void {
    this.points.reach("journal.hold-map");
    this.kernel.nft.change([{ op: "add", element: { set: "uplink", unit, slot } }]);
    this.points.reach("journal.hold-route");
    this.kernel.host.routes.add(heldRoute(unit));
  }

  /** Another uplink has the unit. One transaction: its packets are marked for one or the other. Repeatable. */
  move(unit: Cidr, from: number, to: number): void {
    this.points.reach("journal.move");
    this.kernel.nft.change([
      { op: "remove", element: { set: "uplink", unit, slot: from } },
      { op: "add", element: { set: "uplink", unit, slot: to } },
    ]);
  }

  /** The unit goes back to the cloud: nothing takes it, callers fail fast. Repeatable. */
  startRelease(unit: Cidr): void {
    this.points.reach("journal.release");
    this.kernel.host.routes.replace(releasingRoute(unit));
    this.kernel.host.routes.remove(heldRoute(unit));
  }

  /** It stays ours after all. Repeatable. */
  cancelRelease(unit: Cidr): void {
    this.points.reach("journal.keep");
    this.kernel.host.routes.replace(heldRoute(unit));
    this.kernel.host.routes.remove(releasingRoute(unit));
  }

  /**
   * Writes again what others removed, or what a crash left unwritten, of the routes that say what addresses are; gives what it wrote, for people.
   * Repeatable: a second call writes nothing.
   */
  restore(state: JournalState): string[] {
    const wanted = [
      ...state.held.map(heldRoute),
      ...state.releasing.map(releasingRoute),
      ...state.claimed.map(claimOf),
    ];
    const actual = new Set(readPodsTable(this.kernel).map(routeName));
    const missing = wanted.filter((route) => !actual.has(routeName(route)));
    for (const route of missing) this.kernel.host.routes.add(route);
    return missing.map((route) => `route +${routeName(route)}`);
  }

  /** The cloud does not list the unit any more. Idempotent. */
  drop(slot: number, unit: Cidr): void {
    this.forget(unit);
    this.points.reach("journal.drop-map");
    // somebody may have removed the table: it comes back without this one
    ignoring(["ENOENT"], () =>
      this.kernel.nft.change([{ op: "remove", element: { set: "uplink", unit, slot } }]),
    );
  }

  /** The routes of a unit that no uplink has. Idempotent. */
  forget(unit: Cidr): void {
    this.points.reach("journal.drop-route");
    this.kernel.host.routes.remove(heldRoute(unit));
    this.kernel.host.routes.remove(releasingRoute(unit));
  }
}

function routeName({ type, destination }: Route): string {
  return `${type} ${destination}`;
}

/** `blackhole` of a unit: held, free to give. */
export function heldRoute(unit: Cidr): Route {
  return { destination: unit, table: PODS_TABLE, type: "blackhole", protocol: PROTOCOL, metric: METRIC.unit };
}

/** `prohibit` of a unit: being released. A metric of its own, so that both can stand for a moment. */
export function releasingRoute(unit: Cidr): Route {
  return { ...heldRoute(unit), type: "prohibit", metric: METRIC.unit - 1 };
}
