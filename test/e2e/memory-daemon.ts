/** The parts of a daemon that ADD and DEL need, over a kernel in memory and two units. */
import { setTimeout as delay } from "node:timers/promises";
import type { AddDeps } from "../../cni/add.ts";
import { AttachmentDesk } from "../../cni/attachment-desk.ts";
import { DyingLinks } from "../../cni/dying-links.ts";
import { systemClock } from "../../common/clock.ts";
import type { FaultPoints } from "../../common/fault-points.ts";
import { type Attachment, type ContainerId, DEFAULT_POOL } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { MemoryKernel } from "../../common/kernel/memory/kernel.ts";
import type { Adoption } from "../../ipamd/adopt.ts";
import type { Journal } from "../../ipamd/journal.ts";
import type { LeaseBook } from "../../ipamd/lease-book.ts";
import type { Pool } from "../../ipamd/pool.ts";
import type { Uplinks } from "../../ipamd/uplinks.ts";
import { testTable } from "../conformance/nft-table.ts";
import { poolParts } from "../pool-parts.ts";

export const NETNS = "/run/netns/recorded";
export const attachment: Attachment = { containerId: "aa01" as ContainerId, ifname: "eth0" };
export const units = ["10.0.0.16/28", "2001:db8::/80"].map((text) => Cidr.parse(text));

export type MemoryDaemon = {
  readonly deps: AddDeps;
  readonly kernel: MemoryKernel;
  readonly journal: Journal;
  readonly book: LeaseBook;
  readonly pool: Pool;
  readonly uplinks: Uplinks;
  readonly adoption: Adoption;
};

/** Every write reaches `points`. */
export async function memoryDaemon(points: FaultPoints, held = units): Promise<MemoryDaemon> {
  const kernel = new MemoryKernel();
  await kernel.nft.load(testTable);
  kernel.createNetns(NETNS);
  const { log, ...parts } = poolParts({ kernel, clock: systemClock, families: [4, 6], points });
  parts.pool.addUplink(1, DEFAULT_POOL);
  for (const unit of held) parts.pool.hold(1, unit);
  const desk = new AttachmentDesk(systemClock, log);
  const dyingLinks = new DyingLinks({
    removeGroup: async () => {
      // as the real thread, which waits for an RCU grace period
      await delay(5);
      return kernel.slow.removeLinkGroup(4101, "cw");
    },
    clock: systemClock,
    log,
    stopping: new AbortController().signal,
  });
  const dropOlderDels = async () => undefined;
  const deps = { kernel, points, ipam: parts.book, desk, dyingLinks, dropOlderDels, bornAt: 0 };
  return { deps, kernel, ...parts };
}
