/**
 * Follows pods' own ends of their pairs: a chained plugin, or a privileged pod, may give its end another hardware address, and then the
 * host's permanent entries lead nowhere. The pod's namespace is not entered: what it lost inside by setting its link down stays lost.
 */

import type { Lease } from "../cni/ipam.ts";
import { isPodLinkName } from "../cni/pod-link.ts";
import type { Clock } from "../common/clock.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Link } from "../common/kernel/links.ts";
import type { Logger } from "../common/log.ts";

export type PodEndsDeps = {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly leaseOf: (linkName: string) => Lease | undefined;
  readonly leases: () => readonly Lease[];
  /** Puts the host's side of leases in order. Gives what had to be written. */
  readonly repair: (leases: readonly Lease[]) => readonly string[];
};

/** A pod that changes its end all the time costs no more than this. What is noticed meanwhile is done then. */
const PAUSE_MS = 500;

export class PodEnds {
  private readonly deps: PodEndsDeps;
  private readonly noticed = new Map<number, Link>();
  private lookAtAll = false;
  private wake: (() => void) | undefined;

  constructor(deps: PodEndsDeps) {
    this.deps = deps;
  }

  /** Until the signal aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    using _ = this.deps.kernel.events.subscribe((event) => {
      if (event.kind === "peer") this.notice(event.link);
    });
    const aborted = () => this.wake?.();
    signal.addEventListener("abort", aborted);
    while (!signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.wake = resolve;
      if (this.noticed.size === 0 && !this.lookAtAll) await promise;
      if (signal.aborted || !this.follow()) continue;
      await this.deps.clock.sleep(PAUSE_MS, signal).catch(() => undefined);
    }
  }

  private notice(link: Link | undefined): void {
    // the host's own ends are told of too
    if (link !== undefined && isPodLinkName(link.name)) return;
    if (link?.peerIndex === undefined) this.lookAtAll = true;
    else this.noticed.set(link.peerIndex, link);
    this.wake?.();
  }

  /** True when it was work. */
  private follow(): boolean {
    const { log } = this.deps;
    const [all, noticed] = [this.lookAtAll, [...this.noticed.values()]];
    this.lookAtAll = false;
    this.noticed.clear();
    try {
      const changed = all ? this.deps.leases() : noticed.flatMap((link) => this.changedLease(link));
      const written = changed.length === 0 ? [] : this.deps.repair(changed);
      if (written.length > 0)
        log.info({ restored: written }, "a pod's hardware address was changed; the host follows");
      return all || changed.length > 0;
    } catch (err) {
      log.warn({ err }, "the host's side of a pod could not be put in order");
      return true;
    }
  }

  private changedLease({ peerIndex = 0, mac }: Link): Lease[] {
    const { host } = this.deps.kernel;
    const name = host.links.find(peerIndex)?.name;
    const lease = name === undefined ? undefined : this.deps.leaseOf(name);
    if (lease === undefined) return [];
    const entries = host.neighbours.list(peerIndex);
    // a link that was set down has none, and is the guard's to repair and to tell of
    const isOther = entries.length > 0 && !entries.some((neighbour) => neighbour.mac === mac);
    return isOther ? [lease] : [];
  }
}
