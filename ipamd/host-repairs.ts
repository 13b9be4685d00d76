/**
 * Puts the host back as it must be, whole or one pod at a time, and ends leases whose link is gone. What it does is repeatable; when, is decided by
 * the start and by the guard.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { DyingLinks } from "../cni/dying-links.ts";
import type { Lease } from "../cni/ipam.ts";
import { podLink } from "../cni/pod-link.ts";
import { planPodNetwork } from "../cni/pod-network.ts";
import { readPodsState, repair } from "../cni/repair.ts";
import { DYING_GROUP } from "../common/constants.ts";
import { ignoring } from "../common/kernel/errors.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Logger } from "../common/log.ts";
import type { Adoption } from "./adopt.ts";
import { type LeaseBook, leaseFields } from "./lease-book.ts";
import type { ProblemBoard } from "./problems.ts";
import type { Recovered } from "./recovery.ts";

/** How long a look at all pods keeps calls waiting. */
const AT_ONCE_MS = 5;

export type HostRepairsDeps = {
  readonly kernel: Kernel;
  readonly adoption: Adoption;
  readonly book: LeaseBook;
  readonly dyingLinks: DyingLinks;
  readonly problems: ProblemBoard;
  readonly log: Logger;
  /** The link of an uplink is gone: the cloud should be asked. */
  readonly uplinkLost: () => void;
  /** A lease has ended without a DEL. */
  readonly leaseLost: (lease: Lease) => void;
};

export class HostRepairs {
  private readonly deps: HostRepairsDeps;

  constructor(deps: HostRepairsDeps) {
    this.deps = deps;
  }

  /** Rules, uplinks, nft table, sysctls; then the journal and every lease. Gives what had to be written. What goes on failing becomes a problem. */
  everything(): Promise<readonly string[]> {
    return this.deps.problems.attempt(
      "host-network",
      "refused",
      "the host's network cannot be put in order",
      () => this.everythingNow(),
    );
  }

  /** The host's side of the pods with these links. Gives what had to be written. */
  podLinks(names: readonly string[]): readonly string[] {
    return this.pods(names.flatMap((name) => this.deps.book.findByLink(name) ?? []));
  }

  /** The host's side of these pods. What is looked at for all together is read once. */
  pods(leases: readonly Lease[]): readonly string[] {
    if (leases.length === 0) return [];
    const state = readPodsState(this.deps.kernel);
    return leases.flatMap((lease) => repair(this.deps.kernel, lease, state));
  }

  /** The link of a lease is gone, by the kernel's word: the lease ends. */
  podLinkGone(linkName: string): void {
    const { kernel, book, log } = this.deps;
    // the usual: its DEL has ended the lease
    if (book.findByLink(linkName) === undefined) return;
    // the news may be of an earlier link of that name, whose place this attachment's new one has taken
    if (kernel.host.links.find(linkName) !== undefined) return;
    const lease = book.linkGone(linkName);
    if (lease === undefined) return;
    const changes = planPodNetwork(lease).genuine.map((element) => ({ op: "remove", element }) as const);
    // somebody may have removed the table: the guard is about to put it back, without these
    ignoring(["ENOENT"], () => kernel.nft.change(changes));
    log.info(leaseFields(lease), "pod gone without a DEL; its lease has ended");
    this.deps.leaseLost(lease);
  }

  /** Removes what a crash left half done. */
  cleanUp(recovered: Recovered): void {
    const { kernel, dyingLinks } = this.deps;
    for (const { index, name } of recovered.dyingLinks) {
      ignoring(["ENODEV"], () => kernel.host.links.change(index, { group: DYING_GROUP }));
      dyingLinks.add(name);
    }
    for (const route of recovered.strayRoutes) kernel.host.routes.remove(route);
    if (recovered.strayGenuine.length > 0) {
      kernel.nft.change(recovered.strayGenuine.map((element) => ({ op: "remove", element })));
    }
  }

  private async everythingNow(): Promise<readonly string[]> {
    const { adoption } = this.deps;
    this.endLostLeases();
    if (adoption.missLostLinks()) this.deps.uplinkLost();
    const written = await adoption.applyHost();
    return [...written, ...adoption.restoreJournal(), ...(await this.everyPod())];
  }

  /** As pods(), for all of them, a few at a time: calls that come meanwhile are served between. */
  private async everyPod(): Promise<string[]> {
    const { kernel, book } = this.deps;
    const state = readPodsState(kernel);
    const written: string[] = [];
    let until = performance.now() + AT_ONCE_MS;
    for (const { attachment } of book.ready()) {
      // it may have ended meanwhile
      const lease = book.findByLink(podLink(attachment).hostName);
      if (lease !== undefined) written.push(...repair(kernel, lease, state));
      if (performance.now() < until) continue;
      await turn();
      until = performance.now() + AT_ONCE_MS;
    }
    return written;
  }

  /** Leases whose link went while nobody saw it: events were lost. */
  private endLostLeases(): void {
    const { kernel, book } = this.deps;
    const names = new Set(kernel.host.links.list("veth").map(({ name }) => name));
    for (const lease of book.ready()) {
      const { hostName } = podLink(lease.attachment);
      if (!names.has(hostName)) this.podLinkGone(hostName);
    }
  }
}
