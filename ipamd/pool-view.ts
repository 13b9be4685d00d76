import type { LeaseBook } from "./lease-book.ts";
import type { Pool } from "./pool.ts";
import type { ProblemBoard } from "./problems.ts";
import type { Reconciler } from "./reconcile.ts";
import { addressesOf } from "./recovery.ts";
import type { Uplinks } from "./uplinks.ts";

/** What `/pool` shows: the pool by uplink, who has which address, and what stops it from growing, what is wrong on the node. */
export function poolView(parts: {
  readonly uplinks: Uplinks;
  readonly pool: Pool;
  readonly book: LeaseBook;
  readonly reconciler: Reconciler;
  readonly problems: ProblemBoard;
}): object {
  const { uplinks, pool, book, reconciler, problems } = parts;
  const rows = pool.summary();
  return {
    uplinks: uplinks.list().map(({ slot, linkName, interfaceId, poolKey, addresses }) => ({
      slot,
      link: linkName,
      interfaceId,
      poolKey,
      own: addresses.map(({ address }) => address.toString()),
      units: pool.units(slot).map(String),
      setAside: pool.unitsAside(slot).map(String),
      releasing: pool.releasing(slot).map(String),
      families: rows
        .filter((row) => row.slot === slot)
        .map(({ family, free, leased, cooling }) => ({ family, free, leased, cooling })),
    })),
    leases: book.ready().map((lease) => ({
      containerId: lease.attachment.containerId,
      ifname: lease.attachment.ifname,
      ...lease.pod,
      addresses: addressesOf(lease).map(String),
      slot: lease.slot,
    })),
    cooling: pool.addressesIn("cooling").map(String),
    waiting: book.waiting().length,
    limit: reconciler.limit(),
    problems: problems.list(),
  };
}
