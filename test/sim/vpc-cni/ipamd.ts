/**
 * amazon-vpc-cni's daemon on one node, as published: pkg/ipamd/ipamd.go and docs of aws/amazon-vpc-cni-k8s. One loop, which sleeps 2.5 s, changes the pool,
 * sleeps 2.5 s and compares with the metadata service; an ADD on an empty pool fails at once.
 */
import type { SimInterface } from "../ec2.ts";
import type { InstanceType } from "../instance-types.ts";
import type { NodeAgent, SimPod } from "../node-agent.ts";
import type { Random } from "../random.ts";
import { BLOCK_SIZE } from "../subnet.ts";
import type { VirtualClock } from "../virtual-clock.ts";
import { hasEc2Code, type Units, type VpcCniCalls } from "./calls.ts";
import { Datastore, type StoredEni } from "./datastore.ts";
import {
  ipTargetState,
  isTooHigh,
  isTooLow,
  mayRemoveEni,
  prefixesNeeded,
  type VpcCniSettings,
} from "./targets.ts";

/** Half of `ipPoolMonitorInterval`. */
const HALF_LOOP_MS = 2_500;
const DECREASE_EVERY_MS = 30_000;
const RECONCILE_EVERY_MS = 60_000;
/** After a subnet had no room (`insufficientCidrErrorCooldown`). */
const INSUFFICIENT_FOR_MS = 120_000;
/** From the start of the process to its first call, and to a container that runs again. */
const PROCESS_START_MS = 1_500;
const CRASH_LOOP_MS = { first: 10_000, max: 300_000 } as const;
const DESCRIBE_TRIES = 12;
const TAG_TRIES = 5;
const LEAK_SWEEP = { everyMs: 3_600_000, firstMaxMs: 300_000 } as const;

export type VpcCniOptions = {
  readonly settings: VpcCniSettings;
  readonly type: InstanceType;
  readonly maxPods: number;
  readonly calls: VpcCniCalls;
  readonly clock: VirtualClock;
  readonly random: Random;
};

export class VpcCniNode implements NodeAgent {
  readonly store: Datastore<SimInterface>;
  private readonly options: VpcCniOptions;
  private readonly perEni: number;
  private readonly unitsPerEni: number;
  private serving = false;
  private stopped = false;
  /** Grows with every start of the process: what an earlier one began ends. */
  private life = 0;
  private decreasedAt = Number.NEGATIVE_INFINITY;
  private actedAt = 0;
  private insufficientAt = Number.NEGATIVE_INFINITY;

  constructor(options: VpcCniOptions) {
    this.options = options;
    this.store = new Datastore(options.random);
    this.unitsPerEni = options.type.addressesPerInterface - 1;
    this.perEni = this.unitsPerEni * (this.asPrefixes ? BLOCK_SIZE : 1);
  }

  async start(): Promise<void> {
    const { clock } = this.options;
    this.life += 1;
    const { life } = this;
    for (let crashes = 1; ; crashes += 1) {
      await clock.sleep(PROCESS_START_MS);
      try {
        await this.initialise();
        break;
      } catch {
        // the process exits, and kubelet starts it again
        await clock.sleep(crashPauseMs(crashes));
      }
      if (this.isOver(life)) return;
    }
    if (this.isOver(life)) return;
    this.serving = true;
    this.scheduleUpdate(life);
    this.scheduleSweep(life, this.options.random.next() * LEAK_SWEEP.firstMaxMs);
  }

  restart(): void {
    this.serving = false;
    void this.start();
  }

  podBound(): void {
    // it does not watch pods
  }

  podGone(): void {
    // nor their end
  }

  async add(pod: SimPod): Promise<number> {
    const address = this.serving ? this.store.assign(pod.id, this.options.clock.now()) : undefined;
    if (address === undefined) throw new Error("failed to assign an IP address to container");
    return address;
  }

  remove(pod: SimPod): void {
    this.store.unassign(pod.id, this.options.clock.now());
  }

  stop(): void {
    this.stopped = true;
  }

  /** `nodeInit`: interfaces and their tags, then one growth, before anything is served. */
  async initialise(): Promise<void> {
    const { calls } = this.options;
    await this.persist(DESCRIBE_TRIES, 10, () => calls.describe());
    if (this.store.enis.length === 0) {
      await this.persist(TAG_TRIES, 500, () => calls.tag());
      this.adoptUnknown();
    }
    if (this.isLow()) await this.increase();
  }

  /** `updateIPPoolIfRequired`: one step of the loop. */
  async update(): Promise<void> {
    const { settings, clock } = this.options;
    const stats = this.store.stats();
    if (this.isLow()) {
      await this.increase().catch(() => undefined);
    } else if (isTooHigh(settings, stats) && clock.now() - this.decreasedAt > DECREASE_EVERY_MS) {
      await this.decrease();
      this.decreasedAt = this.actedAt = clock.now();
    }
    if (mayRemoveEni(settings, stats, this.perEni)) await this.removeEni();
  }

  private get asPrefixes(): boolean {
    return this.options.settings.warmPrefix !== undefined;
  }

  private isOver(life: number): boolean {
    return this.stopped || life !== this.life;
  }

  private isLow(): boolean {
    return isTooLow(this.options.settings, this.store.stats(), {
      perEni: this.perEni,
      maxPods: this.options.maxPods,
    });
  }

  private scheduleUpdate(life: number): void {
    const { clock } = this.options;
    clock.after(HALF_LOOP_MS, () => {
      if (this.isOver(life)) return;
      if (this.isAtRest()) this.scheduleCompare(life);
      else void this.update().then(() => this.scheduleCompare(life));
    });
  }

  private scheduleCompare(life: number): void {
    const { clock } = this.options;
    clock.after(HALF_LOOP_MS, () => {
      if (this.isOver(life)) return;
      if (clock.now() - this.actedAt <= RECONCILE_EVERY_MS) this.scheduleUpdate(life);
      else void this.compare().then(() => this.scheduleUpdate(life));
    });
  }

  /** The usual case, found out without a promise: there are thousands of nodes. */
  private isAtRest(): boolean {
    const { settings } = this.options;
    const stats = this.store.stats();
    const mayHaveIdleEni =
      mayRemoveEni(settings, stats, this.perEni) &&
      this.store.enis.some(({ isPrimary, assigned }) => !isPrimary && assigned === 0);
    return !this.isLow() && !isTooHigh(settings, stats) && !mayHaveIdleEni;
  }

  /** Addresses on interfaces that are there first, else one new interface (`increaseDatastorePool`). */
  private async increase(): Promise<void> {
    const { clock } = this.options;
    if (clock.now() - this.insufficientAt < INSUFFICIENT_FOR_MS) return;
    try {
      if (await this.growEni()) this.actedAt = clock.now();
      else if (this.store.enis.length < this.maxEni()) await this.addEni();
    } catch (error) {
      if (!hasEc2Code(error, "InsufficientCidrBlocks", "InsufficientFreeAddressesInSubnet")) throw error;
      this.insufficientAt = clock.now();
    }
  }

  private maxEni(): number {
    return Math.min(
      this.options.settings.maxEni ?? Number.POSITIVE_INFINITY,
      this.options.type.interfacesMax,
    );
  }

  /** `tryAssignIPs`, `tryAssignPrefixes`: all that is missing, and when that is refused, one. */
  private async growEni(): Promise<boolean> {
    const wanted = this.unitsWanted();
    if (wanted === 0) return false;
    const eni = this.store.enis.find(({ cidrs }) => cidrs.size < this.unitsPerEni);
    if (eni === undefined) return false;
    const { calls } = this.options;
    const count = Math.min(this.unitsPerEni - eni.cidrs.size, wanted);
    const given = await calls
      .assign(eni.handle, count, this.asPrefixes)
      .catch(() => calls.assign(eni.handle, 1, this.asPrefixes));
    this.keep(eni, given);
    return true;
  }

  private async addEni(): Promise<void> {
    const count = Math.min(this.unitsWanted(), this.unitsPerEni);
    if (count === 0) return;
    try {
      await this.options.calls.allocate(count, this.asPrefixes);
      this.adoptUnknown();
      this.actedAt = this.options.clock.now();
    } catch (error) {
      // a failure here is no failure of the node
      if (hasEc2Code(error, "InsufficientCidrBlocks", "InsufficientFreeAddressesInSubnet")) throw error;
    }
  }

  private unitsWanted(): number {
    const { settings } = this.options;
    if (this.asPrefixes) return prefixesNeeded(settings, this.store.stats());
    return ipTargetState(settings, this.store.stats())?.short ?? this.unitsPerEni;
  }

  /** `tryUnassignCidrsFromAll`. */
  private async decrease(): Promise<void> {
    const { settings, calls } = this.options;
    const stats = this.store.stats();
    const state = ipTargetState(settings, stats);
    let over = state?.over ?? Math.max(stats.freePrefixes - (settings.warmPrefix ?? 0), 0);
    for (const eni of [...this.store.enis]) {
      if (over <= 0) return;
      const units = this.dropFree(eni, over);
      const count = units.singles.length + units.prefixes.length;
      if (count === 0) continue;
      over -= count;
      await calls.unassign(eni.handle, units).catch(() => undefined);
    }
  }

  private dropFree(eni: StoredEni<SimInterface>, countMax: number): Units {
    const units = { singles: [] as number[], prefixes: [] as number[] };
    for (const first of this.store.freeable(eni).slice(0, countMax)) {
      const removed = this.store.removeCidr(eni, first);
      if (removed !== undefined) (removed.isPrefix ? units.prefixes : units.singles).push(first);
    }
    return units;
  }

  private async removeEni(): Promise<void> {
    const { settings, clock, calls } = this.options;
    const eni = this.store.takeDeletable(settings, clock.now());
    if (eni !== undefined) await calls.free(eni.handle).catch(() => undefined);
  }

  /** `nodeIPPoolReconcile`: metadata is free; EC2 is asked only when it shows something else. */
  private async compare(): Promise<void> {
    const { calls, clock } = this.options;
    if (this.unknown().length > 0 || this.store.enis.some((eni) => this.differs(eni))) {
      try {
        await calls.describe();
      } catch {
        return;
      }
      this.adoptUnknown();
      for (const eni of this.store.enis) this.adoptUnits(eni);
    }
    this.actedAt = clock.now();
  }

  private unknown(): SimInterface[] {
    const known = new Set(this.store.enis.map(({ handle }) => handle));
    return this.options.calls.attached().filter((one) => !known.has(one));
  }

  private adoptUnknown(): void {
    for (const one of this.unknown()) {
      const eni = this.store.addEni(one, one.isPrimary, this.options.clock.now());
      this.keep(eni, { singles: [...one.singles], prefixes: [...one.blocks] });
    }
  }

  private differs({ handle, cidrs }: StoredEni<SimInterface>): boolean {
    return handle.singles.size + handle.blocks.size !== cidrs.size;
  }

  /** What an unassignment that failed left on the interface is its own again. */
  private adoptUnits(eni: StoredEni<SimInterface>): void {
    this.keep(eni, { singles: [...eni.handle.singles], prefixes: [...eni.handle.blocks] });
  }

  private keep(eni: StoredEni<SimInterface>, { singles, prefixes }: Units): void {
    for (const first of singles) if (!eni.cidrs.has(first)) this.store.addCidr(eni, first, false);
    for (const first of prefixes) if (!eni.cidrs.has(first)) this.store.addCidr(eni, first, true);
  }

  private scheduleSweep(life: number, inMs: number): void {
    const { clock, calls } = this.options;
    clock.after(inMs, () => {
      if (this.isOver(life)) return;
      void calls.describe().catch(() => undefined);
      this.scheduleSweep(life, LEAK_SWEEP.everyMs);
    });
  }

  private async persist(tries: number, firstMs: number, work: () => Promise<void>): Promise<void> {
    let pauseMs = firstMs;
    for (let done = 1; ; done += 1) {
      try {
        return await work();
      } catch (error) {
        if (done >= tries) throw error;
      }
      await this.options.clock.sleep(pauseMs);
      pauseMs = Math.min(60_000, pauseMs * 2);
    }
  }
}

/** CrashLoopBackOff: a container that has exited once is started again at once. */
function crashPauseMs(crashes: number): number {
  return crashes === 1 ? 0 : Math.min(CRASH_LOOP_MS.max, CRASH_LOOP_MS.first * 2 ** (crashes - 2));
}
