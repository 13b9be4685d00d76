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
import { isKernelsOwn } from "./host-network/apply.ts";
import { RepairPace } from "./repair-pace.ts";

/** What a repair does, and what the guard must know; given by the daemon. All repeatable. */
export type Repairs = {
  /** Rules, uplinks, nft table, sysctls, FORWARD accepts; then the journal and every lease. Gives what had to be written. */
  readonly everything: () => Promise<readonly string[]>;
  /** The FORWARD accepts alone. Gives what had to be written. */
  readonly forwardAccepts: () => Promise<readonly string[]>;
  /** Pods' links: routes, neighbours, addresses, genuine pairs. All names at once, as much is read for all together. Gives what had to be written. */
  readonly podLinks: (linkNames: readonly string[]) => readonly string[];
  /** The link of a lease is gone. */
  readonly podLinkGone: (linkName: string) => void;
  /** A link that is neither a pod's nor an uplink's came, changed or went. */
  readonly otherLink: (change: "set" | "gone", link: Link) => void;
  /** Undefined for a link that carries no pods. */
  readonly roleOf: (link: Link) => "pod" | "uplink" | undefined;
  /** True for the link of a secondary uplink, which is ours whole. */
  readonly isSecondary: (linkIndex: number) => boolean;
  /** True for an address that pods may have: on a host link it is damage. */
  readonly isOfPool: (address: IpAddress) => boolean;
  /** True for one of those that no pod has: what a link loses of it is no damage. */
  readonly isUnused: (address: IpAddress) => boolean;
  /** True for a parameter that is not what we need it to be. */
  readonly isWrongParameter: (event: ParameterEvent) => boolean;
  /** True for the link of a lease, or an uplink, that is down or is not as we have made it. */
  readonly isDamaged: (link: Link) => boolean;
};

export type ParameterEvent = Extract<KernelEvent, { kind: "parameter" }>;

export type GuardDeps = {
  readonly kernel: Pick<Kernel, "events" | "host">;
  readonly repairs: Repairs;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whole looks at the host; label `why`: `event` or `time`. */
  readonly looked: Counter;
  readonly repaired: Counter;
};

/** What comes in one burst is repaired once, and told once. */
const GATHER_MS = 20;
/** What sends no event (some sysctls, the legacy xtables) is looked at this often. */
const LOOK_EVERY_MS = 10_000;

export class Guard {
  private readonly deps: GuardDeps;
  private readonly pace = new RepairPace();
  private readonly damagedPods = new Set<string>();
  private damage: string | undefined;
  private forwardDamage: string | undefined;
  private culprit: string | undefined;
  /** When the first thing was noticed that is not repaired yet. */
  private noticedAt: number | undefined;
  private wake: (() => void) | undefined;
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
      await this.waitForDamage(signal);
      await clock.sleep(GATHER_MS, signal).catch(() => undefined);
      if (signal.aborted) break;
      const isFight = this.pace.isFight(this.noticedAt ?? clock.now());
      const wasNeeded = await this.repair(isFight);
      await clock.sleep(this.pace.pauseAfter(isFight, wasNeeded, clock.now()), signal).catch(() => undefined);
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
        this.noticeNeighbour(event.neighbour.linkIndex, event.neighbour.address);
        break;
      case "parameter":
        if (this.deps.repairs.isWrongParameter(event)) this.damaged("a kernel parameter was set");
        break;
      case "nft":
        this.damaged("nft table of ours changed", event.processName);
        break;
      case "forward":
        this.forwardDamaged(event);
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
    } else if (repairs.roleOf(link) === undefined) {
      repairs.otherLink(change, link);
    } else if (change === "gone" || repairs.isDamaged(link)) {
      this.damaged(`uplink ${link.name} ${change}`);
    }
  }

  private noticeAddress(change: "set" | "gone", { address, linkIndex, scope }: LinkAddress): void {
    if (change === "gone") this.noticeLoss(linkIndex, `address ${address} removed`);
    else if (this.deps.repairs.isOfPool(address)) this.damaged(`address ${address} added`);
    // the kernel's own are of link scope
    else if ((scope ?? 0) === 0 && this.isSecondary(linkIndex))
      this.damaged(`address ${address} added to a secondary uplink`);
  }

  /** Something of a link went. With the link itself, or with a pod that goes, it is no damage. */
  private noticeLoss(linkIndex: number, what: string): void {
    const link = this.deps.kernel.host.links.find(linkIndex);
    const role = link && this.deps.repairs.roleOf(link);
    if (link !== undefined && role === "pod") this.podDamaged(link.name);
    else if (role === "uplink") this.damaged(what);
  }

  /** Of pods we made every entry that matters; those of other links are the kernel's own. */
  private noticeNeighbour(linkIndex: number, address: IpAddress): void {
    // the kernel's own for groups, and what it learned of a pod's link-local address, come and go: with more than a hundred pods all the time
    // and those of a pod that is gone went with it: a question about its link would wait behind the removal of the link
    if (!this.deps.repairs.isOfPool(address) || this.deps.repairs.isUnused(address)) return;
    const link = this.deps.kernel.host.links.find(linkIndex);
    if (link !== undefined && this.deps.repairs.roleOf(link) === "pod") this.podDamaged(link.name);
  }

  private noticeRoute(change: "set" | "gone", route: Route): void {
    const { table, destination, linkIndex } = route;
    if (change === "gone" && route.protocol !== PROTOCOL) return;
    if (change === "gone" && table === PODS_TABLE && linkIndex !== undefined) {
      if (!this.deps.repairs.isUnused(destination.address))
        this.noticeLoss(linkIndex, `route ${destination} removed`);
    }
    // one of another may have taken the place of ours, of which no removal is told
    else if (isOurTable(table)) this.damaged(`route ${destination} ${change} in ${table}`);
    // the node's own traffic would leave by it
    else if (change === "set" && isOfNodesTraffic(route) && this.isSecondary(linkIndex))
      this.damaged(`route ${destination} added to main`);
  }

  private isSecondary(linkIndex: number | undefined): boolean {
    return linkIndex !== undefined && this.deps.repairs.isSecondary(linkIndex);
  }

  private podDamaged(linkName: string): void {
    this.damagedPods.add(linkName);
    this.noticed();
  }

  private forwardDamaged({ families, processName }: Extract<KernelEvent, { kind: "forward" }>): void {
    this.forwardDamage ??= `xtables FORWARD of ${families.map((family) => `IPv${family}`).join(" and ")} changed`;
    this.noticed(processName);
  }

  /** Has everything looked at soon. */
  look(why: string): void {
    this.damaged(why);
  }

  private damaged(what: string, processName?: string): void {
    this.damage ??= what;
    this.noticed(processName);
  }

  private noticed(processName?: string): void {
    this.culprit ??= processName;
    this.noticedAt ??= this.deps.clock.now();
    this.wake?.();
  }

  /** Repairs what was noticed; everything, when nothing was. True when something had to be written, or could not be. */
  private async repair(isFight: boolean): Promise<boolean> {
    const { log } = this.deps;
    const noticed = this.takeNoticed();
    try {
      const written = await this.write(noticed);
      if (written.length > 0)
        this.tell({ what: whatOf(noticed), by: noticed.by, restored: written }, isFight);
      return written.length > 0;
    } catch (error) {
      log.warn({ err: error, what: whatOf(noticed) }, "repair failed");
      this.damaged(noticed.what ?? "a repair failed");
      return true;
    }
  }

  private takeNoticed(): Noticed {
    const noticed = {
      what: this.damage,
      forward: this.forwardDamage,
      by: this.culprit,
      pods: [...this.damagedPods],
    };
    this.damage = this.forwardDamage = this.culprit = this.noticedAt = undefined;
    this.damagedPods.clear();
    return noticed;
  }

  private async write({ what, forward, pods }: Noticed): Promise<readonly string[]> {
    const { repairs, looked } = this.deps;
    const written = pods.length === 0 ? [] : repairs.podLinks(pods);
    const isTime = what === undefined && forward === undefined && pods.length === 0;
    if (what !== undefined || isTime) {
      looked.add({ why: isTime ? "time" : "event" });
      return [...written, ...(await repairs.everything())];
    }
    return forward === undefined ? written : [...written, ...(await repairs.forwardAccepts())];
  }

  /** With who it probably was, when nft says so. A fight is told of when it begins, not once per repair. */
  private tell(fields: object, isFight: boolean): void {
    const { log, repaired } = this.deps;
    repaired.add();
    log[isFight ? "debug" : "warn"](fields, "the host's network was changed behind us; restored");
  }

  /** Resolves when something was noticed, or it is time to look. */
  private async waitForDamage(signal: AbortSignal): Promise<void> {
    if (this.noticedAt !== undefined) return;
    const woken = new AbortController();
    this.wake = () => woken.abort();
    await this.deps.clock
      .sleep(LOOK_EVERY_MS, AbortSignal.any([signal, woken.signal]))
      .catch(() => undefined);
    this.wake = undefined;
  }
}

type Noticed = {
  readonly what: string | undefined;
  readonly forward: string | undefined;
  readonly by: string | undefined;
  readonly pods: readonly string[];
};

function whatOf({ what, forward, pods }: Noticed): string {
  if (what !== undefined) return what;
  if (forward !== undefined) return forward;
  return pods.length === 0 ? "what sends no event" : `pod links ${pods.join(" ")} changed`;
}

function isOurTable(table: number): boolean {
  return table >= PODS_TABLE && table <= PODS_TABLE + SLOT_MAX;
}

/** Not what the kernel makes of every IPv6 link, which stays. */
function isOfNodesTraffic({ table, destination }: Route): boolean {
  return table === MAIN_TABLE && !isKernelsOwn(destination);
}
