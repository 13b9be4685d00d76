/**
 * Holds what is ours against others: network managers, DHCP clients, guest agents and people remove rules, flush tables, set links down, add our
 * pool's addresses to the host. Kernel events say so; a repair follows within a moment, but never faster than a rate, so that two agents
 * that disagree do not burn a core.
 */

import { isPodLinkName } from "../cni/pod-link.ts";
import type { Clock } from "../common/clock.ts";
import { MAIN_TABLE, PODS_TABLE, PROTOCOL, SLOT_MAX } from "../common/constants.ts";
import type { IpAddress } from "../common/ip.ts";
import type { LinkAddress } from "../common/kernel/addresses.ts";
import type { KernelEvent } from "../common/kernel/events.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Link } from "../common/kernel/links.ts";
import type { Route } from "../common/kernel/routes.ts";
import type { Logger } from "../common/log.ts";
import type { Counter } from "../common/metrics.ts";

/** What a repair does; given by the daemon. All repeatable. */
export type Repairs = {
  /** Rules, uplinks, nft table, sysctls; then the journal and every lease. Gives what had to be written. */
  readonly everything: () => Promise<readonly string[]>;
  /** One pod's link: routes, neighbours, address, genuine pairs. Gives what had to be written. */
  readonly podLink: (linkName: string) => readonly string[];
  /** The link of a lease is gone. */
  readonly podLinkGone: (linkName: string) => void;
  /** A link appeared or changed that may be an interface being attached. */
  readonly linkAppeared: () => void;
  /** True for the link of an uplink. */
  readonly isUplink: (linkName: string) => boolean;
  /** True for an address that pods may have: on a host link it is damage. */
  readonly isOfPool: (address: IpAddress) => boolean;
  /** True for the link of a lease. */
  readonly isPodLink: (linkName: string) => boolean;
  /** True for a parameter that is not what we need it to be. */
  readonly isWrongParameter: (event: ParameterEvent) => boolean;
  /** True for the link of a lease that is down or has another hardware address than we gave it. */
  readonly isDamaged: (link: Link) => boolean;
};

export type ParameterEvent = Extract<KernelEvent, { kind: "parameter" }>;

export type GuardDeps = {
  readonly kernel: Kernel;
  readonly repairs: Repairs;
  readonly clock: Clock;
  readonly log: Logger;
  readonly repaired: Counter;
};

/** The pause after a repair. It doubles while damage is done again sooner than that, and starts anew when it is not. */
const REPAIR_EVERY_MS = { first: 50, max: 5_000 } as const;
/** What comes in one burst is repaired once, and told once. */
const GATHER_MS = 20;
/** What sends no event (some sysctls, xtables) is looked at this often. */
const LOOK_EVERY_MS = 10_000;

export class Guard {
  private readonly deps: GuardDeps;
  private readonly damagedPods = new Set<string>();
  private damage: string | undefined;
  private culprit: string | undefined;
  private wake: (() => void) | undefined;
  private pauseMs: number = REPAIR_EVERY_MS.first;
  private subscription: Disposable | undefined;

  constructor(deps: GuardDeps) {
    this.deps = deps;
  }

  /** Notices what happens from now on; run() repairs it. Call it before the kernel is read: what happens while that is worked on is not missed. */
  watch(): void {
    this.subscription ??= this.deps.kernel.events.subscribe((event) => this.notice(event));
  }

  /** Watches and repairs until the signal aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    this.watch();
    const { clock } = this.deps;
    while (!signal.aborted) {
      const idleSince = clock.now();
      const looked = await this.waitForDamage(signal);
      const idleMs = clock.now() - idleSince;
      await clock.sleep(GATHER_MS, signal).catch(() => undefined);
      const isFight = idleMs < this.pauseMs;
      const wasNeeded = !signal.aborted && (await this.repair(looked, isFight));
      if (!isFight) this.pauseMs = REPAIR_EVERY_MS.first;
      // what a repair itself sets off is looked at, and is no new damage
      else if (wasNeeded) this.pauseMs = Math.min(REPAIR_EVERY_MS.max, this.pauseMs * 2);
      await clock.sleep(this.pauseMs, signal).catch(() => undefined);
    }
    this.subscription?.[Symbol.dispose]();
  }

  private notice(event: KernelEvent): void {
    switch (event.kind) {
      case "link":
        this.noticeLink(event.change, event.link);
        break;
      case "address":
        this.noticeAddress(event.change, event.address);
        break;
      case "route":
        this.noticeRoute(event.change, event.route);
        break;
      case "rule":
        if (event.change === "gone" && event.rule.protocol === PROTOCOL)
          this.damaged(`rule ${event.rule.priority} removed`);
        break;
      case "neighbour":
        this.noticeNeighbour(event.neighbour.linkIndex);
        break;
      case "parameter":
        if (this.deps.repairs.isWrongParameter(event)) this.damaged("a kernel parameter was set");
        break;
      case "nft":
        this.damaged("nft table of ours changed", event.processName);
        break;
      case "lost":
        this.damaged("events of the kernel were lost");
    }
  }

  private noticeLink(change: "set" | "gone", link: Link): void {
    const { repairs } = this.deps;
    if (isPodLinkName(link.name)) {
      if (change === "gone") repairs.podLinkGone(link.name);
      else if (repairs.isDamaged(link)) this.podDamaged(link.name);
    } else if (repairs.isUplink(link.name)) {
      this.damaged(`uplink ${link.name} ${change}`);
    } else if (change === "set") {
      repairs.linkAppeared();
    }
  }

  private noticeAddress(change: "set" | "gone", { address, linkIndex }: LinkAddress): void {
    if (change === "gone") this.noticeLoss(linkIndex, `address ${address} removed`);
    else if (this.deps.repairs.isOfPool(address)) this.damaged(`address ${address} added`);
  }

  /** Something of a link went. With the link itself, or with a pod that goes, it is no damage. */
  private noticeLoss(linkIndex: number, what: string): void {
    const { kernel, repairs } = this.deps;
    const name = kernel.host.links.find(linkIndex)?.name;
    if (name === undefined) return;
    if (repairs.isPodLink(name)) this.podDamaged(name);
    else if (repairs.isUplink(name)) this.damaged(what);
  }

  /** Of pods we made every entry that matters; those of other links are the kernel's own. */
  private noticeNeighbour(linkIndex: number): void {
    const name = this.deps.kernel.host.links.find(linkIndex)?.name;
    if (name !== undefined && this.deps.repairs.isPodLink(name)) this.podDamaged(name);
  }

  private noticeRoute(change: "set" | "gone", { table, destination, linkIndex }: Route): void {
    if (change === "gone" && table === PODS_TABLE && linkIndex !== undefined)
      this.noticeLoss(linkIndex, `route ${destination} removed`);
    else if (change === "gone" && isOurTable(table)) this.damaged(`route ${destination} removed`);
    // a default or connected route through a secondary uplink would take the node's own traffic
    else if (change === "set" && table === MAIN_TABLE) this.damaged(`route ${destination} added to main`);
  }

  private podDamaged(linkName: string): void {
    this.damagedPods.add(linkName);
    this.wake?.();
  }

  /** Has everything looked at soon. */
  look(why: string): void {
    this.damaged(why);
  }

  private damaged(what: string, processName?: string): void {
    this.damage ??= what;
    this.culprit ??= processName;
    this.wake?.();
  }

  /** True when something had to be written, or could not be. */
  private async repair(looked: boolean, isFight: boolean): Promise<boolean> {
    const { repairs, log } = this.deps;
    const [what, who, pods] = [this.damage, this.culprit, [...this.damagedPods]];
    this.damage = undefined;
    this.culprit = undefined;
    this.damagedPods.clear();
    try {
      const written = pods.flatMap((pod) => repairs.podLink(pod));
      if (what !== undefined || looked) written.push(...(await repairs.everything()));
      if (written.length > 0) this.tell({ what: what ?? whatOf(pods), by: who, restored: written }, isFight);
      return written.length > 0;
    } catch (error) {
      log.warn({ err: error, what }, "repair failed");
      this.damage ??= what ?? "a repair failed";
      return true;
    }
  }

  /** With who it probably was, when nft says so. A fight is told of when it begins, not once per repair. */
  private tell(fields: object, isFight: boolean): void {
    const { log, repaired } = this.deps;
    repaired.add();
    log[isFight ? "debug" : "warn"](fields, "the host's network was changed behind us; restored");
  }

  /** Resolves with true when nothing was noticed but it is time to look. */
  private async waitForDamage(signal: AbortSignal): Promise<boolean> {
    if (this.damage !== undefined || this.damagedPods.size > 0) return false;
    const woken = new AbortController();
    this.wake = () => woken.abort();
    await this.deps.clock
      .sleep(LOOK_EVERY_MS, AbortSignal.any([signal, woken.signal]))
      .catch(() => undefined);
    this.wake = undefined;
    return !woken.signal.aborted;
  }
}

function whatOf(pods: readonly string[]): string {
  return pods.length === 0 ? "what sends no event" : `pod links ${pods.join(" ")} changed`;
}

function isOurTable(table: number): boolean {
  return table >= PODS_TABLE && table <= PODS_TABLE + SLOT_MAX;
}
