/** The parts of a daemon that hold addresses, over a kernel in memory; for tests of any of them. */
import type { Clock } from "../common/clock.ts";
import { type FaultPoints, noFaultPoints } from "../common/fault-points.ts";
import type { Family } from "../common/ip.ts";
import type { MemoryKernel } from "../common/kernel/memory/kernel.ts";
import { memoryLogger } from "../common/log.ts";
import { Adoption } from "../ipamd/adopt.ts";
import type { HostNetwork } from "../ipamd/host-network/host-network.ts";
import { Journal } from "../ipamd/journal.ts";
import { LeaseBook } from "../ipamd/lease-book.ts";
import { Pool } from "../ipamd/pool.ts";
import { Uplinks } from "../ipamd/uplinks.ts";

/** The host's rules and tables have tests of their own. */
const nothingToWrite: HostNetwork = {
  apply: async () => [],
  applyForward: async () => [],
  rememberedCidrs: async () => [],
};

/** Nothing is held yet. Families: IPv4 alone, unless said otherwise. */
export function poolParts(options: {
  readonly kernel: MemoryKernel;
  readonly clock: Clock;
  readonly families?: readonly Family[];
  readonly points?: FaultPoints;
  readonly demandChanged?: () => void;
  readonly useExisting?: () => boolean;
}) {
  const {
    kernel,
    clock,
    families = [4],
    points = noFaultPoints,
    demandChanged = () => undefined,
    useExisting = () => false,
  } = options;
  const { log } = memoryLogger();
  const [pool, uplinks, journal] = [new Pool(), new Uplinks(kernel.host), new Journal(kernel, points)];
  const book = new LeaseBook({
    pool,
    journal,
    clock,
    log,
    families,
    cooldownMs: () => 30_000,
    uplink: (slot) => uplinks.get(slot),
    podMtuBytes: () => undefined,
    forgetConnections: async () => undefined,
    demandChanged,
    limit: () => undefined,
  });
  const hostNetwork = nothingToWrite;
  const adoption = new Adoption({
    kernel,
    hostNetwork,
    uplinks,
    pool,
    journal,
    book: () => book,
    clock,
    log,
    useExisting,
  });
  return { pool, uplinks, journal, book, adoption, log };
}
