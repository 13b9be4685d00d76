/** What of the host carries pods, and which of the kernel's news about it are damage. Looks into our own books only. */
import { parseLeaseAlias } from "../cni/lease-alias.ts";
import { podLink } from "../cni/pod-link.ts";
import type { Family } from "../common/ip.ts";
import type { Link } from "../common/kernel/links.ts";
import type { ParameterEvent, Repairs } from "./guard.ts";
import { isUplinkLink } from "./host-network/apply.ts";
import type { LeaseBook } from "./lease-book.ts";
import type { Pool } from "./pool.ts";
import { formatUplinkAlias } from "./uplink.ts";
import type { Uplinks } from "./uplinks.ts";

export type DamageBooks = {
  readonly uplinks: Uplinks;
  readonly book: LeaseBook;
  readonly pool: Pool;
  readonly families: readonly Family[];
};

/** rp_filter of uplinks. */
const LOOSE = 2;

/** The part of the guard's repairs that only knows. */
export function knowDamage(
  books: DamageBooks,
): Pick<Repairs, "roleOf" | "isSecondary" | "isOfPool" | "isUnused" | "isWrongParameter" | "isDamaged"> {
  const { uplinks, book, pool } = books;
  return {
    roleOf: (link) => {
      if (book.findByLink(link.name) !== undefined) return "pod";
      return uplinks.byLink(link) === undefined ? undefined : "uplink";
    },
    isSecondary: (index) =>
      uplinks.list().some(({ linkIndex, isPrimary }) => linkIndex === index && !isPrimary),
    isOfPool: (address) => pool.slotOf(address) !== undefined,
    isUnused: (address) => ["free", "cooling"].includes(pool.use(address) ?? ""),
    isWrongParameter: (event) => isWrongParameter(books, event),
    isDamaged: (link) => isDamagedUplink(books, link) || isDamagedPodLink(books, link),
  };
}

function isWrongParameter({ uplinks, families }: DamageBooks, event: ParameterEvent): boolean {
  const { scope, family, linkIndex, rpFilter, forwarding } = event;
  if (scope === "all") return forwarding === false && families.includes(family);
  const isUplink = uplinks.list().some((uplink) => uplink.linkIndex === linkIndex);
  return isUplink && rpFilter !== undefined && rpFilter !== LOOSE;
}

function isDamagedUplink({ uplinks }: DamageBooks, link: Link): boolean {
  const uplink = uplinks.byLink(link);
  return uplink !== undefined && !isUplinkLink(link, formatUplinkAlias(uplink));
}

function isDamagedPodLink({ book }: DamageBooks, link: Link): boolean {
  const lease = book.findByLink(link.name);
  if (lease === undefined) return false;
  // the kernel tells of a link's birth late: down and without an alias is how it was then
  if (link.alias === undefined) return link.up;
  const record = parseLeaseAlias(link.alias);
  if (record === undefined) return true;
  // told of while its ADD ran, which has finished since
  if (record.state === "made") return false;
  return !link.up || link.mac !== podLink(lease.attachment).hostMac;
}
