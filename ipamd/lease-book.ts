/**
 * Leases: which attachment has which addresses. Implements what the CNI verbs need (cni/ipam.ts) on the pool and the journal, and
 * cools addresses down before they are given again.
 */
import type { Ipam, Lease, PodRef } from "../cni/ipam.ts";
import { podLink } from "../cni/pod-link.ts";
import type { Clock } from "../common/clock.ts";
import { CodedError } from "../common/errors.ts";
import {
  type Attachment,
  attachmentKey,
  type ContainerId,
  DEFAULT_POOL,
  type PoolKey,
} from "../common/ids.ts";
import type { Cidr, Family, IpAddress } from "../common/ip.ts";
import type { Logger } from "../common/log.ts";
import { Cooling } from "./cooling.ts";
import type { Journal } from "./journal.ts";
import type { Assigned, Pool } from "./pool.ts";
import { addressesOf, type Recovered } from "./recovery.ts";
import type { Uplink } from "./uplink.ts";

/** No address could be had in time; the message says which limit was hit. The runtime may try again later. */
export class PoolEmptyError extends CodedError {
  constructor(message: string) {
    super("pool-empty", message, { retry: "later" });
  }
}

export type LeaseBookDeps = {
  readonly pool: Pool;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
  readonly families: readonly Family[];
  readonly cooldownMs: () => number;
  readonly uplink: (slot: number) => Uplink | undefined;
  /** MTU for new pods; undefined means the uplink's. */
  readonly podMtuBytes: () => number | undefined;
  /** Deletes connections that hold an address, before another pod gets it. */
  readonly forgetConnections: (addresses: readonly IpAddress[]) => Promise<unknown>;
  /** Somebody waits, or less is free than before: the reconciler should look. */
  readonly demandChanged: () => void;
  /** Told how long an ADD has waited for its address, 0 for at once, and whether it has one. */
  readonly waited?: (pod: PodRef, ms: number, isServed: boolean) => void;
  /** Why the pool cannot grow just now, for the error of an ADD that waited in vain. */
  readonly limit: () => string | undefined;
};

/** Ethernet's own; only for a lease whose uplink is gone. */
const MTU_FALLBACK_BYTES = 1500;

type Held = { lease: Lease; ready: boolean };
type Waiter = {
  readonly key: PoolKey;
  readonly pod: PodRef;
  /** When it began to wait. */
  readonly since: number;
  readonly serve: (assigned: Assigned) => void;
  readonly fail: (error: unknown) => void;
};

export class LeaseBook implements Ipam {
  private readonly deps: LeaseBookDeps;
  private readonly leases = new Map<string, Held>();
  private readonly byLinkName = new Map<string, string>();
  private readonly waiters = new Set<Waiter>();
  private readonly cooling: Cooling;

  constructor(deps: LeaseBookDeps) {
    this.deps = deps;
    const { clock, log, cooldownMs, forgetConnections } = deps;
    this.cooling = new Cooling({
      clock,
      log,
      cooldownMs,
      forgetConnections,
      setFree: (address) => this.setFree(address),
      freed: () => this.serveWaiters(),
    });
  }

  async reserve(attachment: Attachment, pod: PodRef, signal: AbortSignal): Promise<Lease> {
    signal.throwIfAborted();
    const atOnce = this.assignNow(DEFAULT_POOL);
    if (atOnce !== undefined) this.deps.waited?.(pod, 0, true);
    return this.record(attachment, pod, atOnce ?? (await this.waitTimed(pod, signal)));
  }

  private async waitTimed(pod: PodRef, signal: AbortSignal): Promise<Assigned> {
    const { clock, waited } = this.deps;
    const since = clock.now();
    try {
      const assigned = await this.wait(DEFAULT_POOL, pod, signal);
      waited?.(pod, clock.now() - since, true);
      return assigned;
    } catch (error) {
      waited?.(pod, clock.now() - since, false);
      throw error;
    }
  }

  find(attachment: Attachment): Lease | undefined {
    return this.leases.get(attachmentKey(attachment))?.lease;
  }

  confirm(lease: Lease): void {
    const held = this.leases.get(attachmentKey(lease.attachment));
    if (held !== undefined) held.ready = true;
  }

  release(attachment: Attachment): void {
    const lease = this.forget(attachment);
    if (lease === undefined) return;
    for (const address of addressesOf(lease)) this.cool(address);
  }

  cancel(attachment: Attachment): void {
    const lease = this.forget(attachment);
    if (lease === undefined) return;
    for (const address of addressesOf(lease)) this.setFree(address);
    this.serveWaiters();
  }

  /** True while a container has a lease, also one whose ADD still runs. */
  hasContainer(containerId: ContainerId): boolean {
    return [...this.leases.values()].some(({ lease }) => lease.attachment.containerId === containerId);
  }

  /** The ready lease whose host link has that name. */
  findByLink(linkName: string): Lease | undefined {
    const held = this.leases.get(this.byLinkName.get(linkName) ?? "");
    return held?.ready ? held.lease : undefined;
  }

  /** Takes over what the kernel remembers. */
  restore(recovered: Recovered): void {
    for (const { record, link } of recovered.leases) {
      const addresses = addressesOf(record);
      for (const address of addresses) this.deps.pool.mark(address, "leased");
      const slot = addresses
        .map((address) => this.deps.pool.slotOf(address))
        .find((found) => found !== undefined);
      const lease = this.makeLease(record.attachment, record.pod, addresses, slot, link.mtuBytes);
      this.remember(lease, true);
    }
    for (const address of recovered.cooling) this.cool(address);
  }

  /** The link of a lease is gone, which ends it: the slow path of every DEL that never comes. */
  linkGone(linkName: string): Lease | undefined {
    const key = this.byLinkName.get(linkName);
    const held = key === undefined ? undefined : this.leases.get(key);
    // not ready yet: its ADD is running and undoes itself
    if (held === undefined || !held.ready) return undefined;
    this.release(held.lease.attachment);
    return held.lease;
  }

  /** Every lease that a pod has, in order of ADD. */
  ready(): Lease[] {
    return [...this.leases.values()].filter(({ ready }) => ready).map(({ lease }) => lease);
  }

  /** Addresses that are not free: of leases, also of ADDs that still run, and cooling ones. */
  claimed(): IpAddress[] {
    const leased = [...this.leases.values()].flatMap(({ lease }) => addressesOf(lease));
    return [...leased, ...this.cooling.list()];
  }

  /**
   * A unit has come (back) to the pool: what pods have of it, or had a moment ago, is not free there. After a restart without our nft table a
   * lease is known before its unit is. Repeatable.
   */
  unitHeld(unit: Cidr): void {
    for (const held of this.leases.values())
      for (const address of addressesOf(held.lease))
        if (unit.contains(address)) this.claimFound(held, address);
    for (const address of this.cooling.list())
      if (unit.contains(address)) this.deps.pool.mark(address, "cooling");
  }

  private claimFound(held: Held, address: IpAddress): void {
    this.deps.pool.mark(address, "leased");
    const slot = this.deps.pool.slotOf(address);
    if (slot !== undefined) held.lease = { ...held.lease, slot };
  }

  /** Pods whose ADD waits for an address, in order of arrival, and since when. */
  waiting(): { readonly pod: PodRef; readonly since: number }[] {
    return [...this.waiters].map(({ pod, since }) => ({ pod, since }));
  }

  /** Pods that have a lease, also those whose ADD still runs. */
  served(): PodRef[] {
    return [...this.leases.values()].map(({ lease }) => lease.pod);
  }

  /** A unit became free to give, or an address did: whoever waits is served in order of arrival. */
  serveWaiters(): void {
    for (const waiter of this.waiters) {
      try {
        const assigned = this.assignNow(waiter.key);
        if (assigned === undefined) continue;
        this.waiters.delete(waiter);
        waiter.serve(assigned);
      } catch (error) {
        this.waiters.delete(waiter);
        waiter.fail(error);
      }
    }
  }

  /** Ends cooling periods until the signal aborts: connections of the old pod are forgotten first, then the address is free. */
  runCooling(signal: AbortSignal): Promise<void> {
    return this.cooling.run(signal);
  }

  private cool(address: IpAddress): void {
    this.deps.pool.mark(address, "cooling");
    this.cooling.begin(address);
    this.deps.demandChanged();
  }

  private setFree(address: IpAddress): void {
    this.deps.journal.unclaim(address);
    this.deps.pool.free(address);
    this.deps.demandChanged();
  }

  private assignNow(key: PoolKey): Assigned | undefined {
    const assigned = this.deps.pool.assign(key, this.deps.families);
    if (assigned === undefined) return undefined;
    try {
      this.deps.journal.claim(assigned.addresses);
    } catch (error) {
      for (const address of assigned.addresses) {
        this.deps.journal.unclaim(address);
        this.deps.pool.free(address);
      }
      throw error;
    }
    this.deps.demandChanged();
    return assigned;
  }

  private wait(key: PoolKey, pod: PodRef, signal: AbortSignal): Promise<Assigned> {
    const { promise, resolve, reject } = Promise.withResolvers<Assigned>();
    const waiter: Waiter = { key, pod, since: this.deps.clock.now(), serve: resolve, fail: reject };
    const giveUp = () => {
      if (this.waiters.delete(waiter)) reject(this.abandoned(signal.reason));
    };
    this.waiters.add(waiter);
    signal.addEventListener("abort", giveUp, { once: true });
    this.deps.demandChanged();
    return promise.finally(() => signal.removeEventListener("abort", giveUp));
  }

  private abandoned(reason: unknown): unknown {
    const timedOut = reason instanceof DOMException && reason.name === "TimeoutError";
    if (!timedOut) return reason;
    const limit = this.deps.limit() ?? "the pool is empty and no address came in time";
    return new PoolEmptyError(`no address for this pod: ${limit}`);
  }

  private record(attachment: Attachment, pod: PodRef, assigned: Assigned): Lease {
    const lease = this.makeLease(attachment, pod, assigned.addresses, assigned.slot, undefined);
    this.remember(lease, false);
    return lease;
  }

  private remember(lease: Lease, ready: boolean): void {
    const key = attachmentKey(lease.attachment);
    this.leases.set(key, { lease, ready });
    this.byLinkName.set(podLink(lease.attachment).hostName, key);
  }

  private forget(attachment: Attachment): Lease | undefined {
    const key = attachmentKey(attachment);
    const held = this.leases.get(key);
    this.leases.delete(key);
    this.byLinkName.delete(podLink(attachment).hostName);
    return held?.lease;
  }

  private makeLease(
    attachment: Attachment,
    pod: PodRef,
    addresses: readonly IpAddress[],
    slot: number | undefined,
    mtuBytes: number | undefined,
  ): Lease {
    const ipv4 = addresses.find(({ family }) => family === 4);
    const ipv6 = addresses.find(({ family }) => family === 6);
    const uplink = slot === undefined ? undefined : this.deps.uplink(slot);
    const nodeIpv4 = this.deps.uplink(1)?.addresses.find(({ address }) => address.family === 4)?.address;
    return {
      attachment,
      pod,
      ...(ipv4 === undefined ? {} : { ipv4 }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      mtuBytes: mtuBytes ?? this.deps.podMtuBytes() ?? uplink?.mtuBytes ?? MTU_FALLBACK_BYTES,
      ...(nodeIpv4 === undefined ? {} : { nodeIpv4 }),
      ...(slot === undefined ? {} : { slot }),
    };
  }
}

/** For log lines: what a lease is about. */
export function leaseFields(lease: Lease): Record<string, unknown> {
  return {
    containerId: lease.attachment.containerId,
    ifname: lease.attachment.ifname,
    pod: lease.pod.name === undefined ? undefined : `${lease.pod.namespace ?? ""}/${lease.pod.name}`,
    addresses: addressesOf(lease).map(String),
  };
}
