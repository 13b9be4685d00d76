/**
 * Keeps the pool as the plan wants it: look at the cloud when that is due, plan, act. A pass never waits for what it has begun, so that demand which
 * comes meanwhile is planned at once; whatever ends starts another pass. When the cloud does not answer, nothing is changed, and held addresses go on
 * being given.
 */
import type { Clock } from "../common/clock.ts";
import { DEFAULT_POOL, type InterfaceId } from "../common/ids.ts";
import type { Family } from "../common/ip.ts";
import type { Logger } from "../common/log.ts";
import type { CloudInterface, CloudNetwork, CloudView } from "../providers/provider.ts";
import { BeingMade } from "./being-made.ts";
import { CloudWatch } from "./cloud-watch.ts";
import { CloudWrites } from "./cloud-writes.ts";
import { creationToken } from "./creation-token.ts";
import { Idleness } from "./idleness.ts";
import { ObstacleBook, type ObstacleView } from "./obstacles.ts";
import type { Action, Plan, Shelf } from "./plan/facts.ts";
import { plan } from "./plan/plan.ts";
import type { Pool } from "./pool.ts";
import type { PoolHost } from "./pool-host.ts";
import { limitOfFailure, limitOfPlan, type PoolLimit } from "./pool-limit.ts";
import type { PoolSettings } from "./settings.ts";
import { ToldOnce } from "./told-once.ts";
import type { Uplink } from "./uplink.ts";
import { withAttached, withInterface, withoutInterface, withoutUnits, withUnits } from "./view-changes.ts";

/** Changes of one moment are planned together: until nothing has come for a step, but not longer than the limit. */
const COALESCE_MS = { step: 50, max: 200 } as const;
/** Of a node that has just begun, whose pods come by the dozen: one call for all of them, as the calls of many new nodes wait for each other. */
const COALESCE_FRESH_MS = { step: 300, max: 1_500 } as const;
/** While an interface is on its way: how often its link is looked for. */
const ARRIVING_EVERY_MS = 250;
/** EC2 attaches within seconds, and at times within a minute. */
const OVERDUE_MS = 120_000;
/** And how often the cloud is asked what has become of it. */
const ARRIVING_DESCRIBE_EVERY_MS = 15_000;
/** Growth within this time counts as one that goes on. */
const AHEAD_MS = 60_000;
const AHEAD_MAX = 16;
/** A new node's first pods come within this time, or are not coming soon. */
const FRESH_MS = 30_000;
/** While something may have to be given back. */
const SURPLUS_EVERY_MS = 15_000;
const RETRY_MS = { first: 500, max: 60_000 } as const;

export type ReconcilerDeps = {
  readonly network: CloudNetwork;
  readonly host: PoolHost;
  readonly pool: Pool;
  readonly uplinks: { list(): readonly Pick<Uplink, "slot" | "interfaceId" | "isPrimary">[] };
  /** Pods that need an address and have none. */
  readonly pending: () => number;
  /** True when pods are known before they ask. */
  readonly knowsPods: () => boolean;
  /** Pods that kubelet accepts; undefined while nobody has told. */
  readonly maxPods: () => number | undefined;
  readonly settings: () => PoolSettings;
  readonly families: readonly Family[];
  /** Told after each pass: what it failed with, or undefined. */
  readonly passed: (error: unknown) => void;
  /** Told each plan. */
  readonly planned: (plan: Plan) => void;
  /** Told what an action failed with. */
  readonly failed: (action: Action, error: unknown) => void;
  /** Told each action that is done. */
  readonly succeeded?: (action: Action) => void;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
};

export class Reconciler {
  private readonly deps: ReconcilerDeps;
  private readonly watch: CloudWatch;
  private readonly writes: CloudWrites;
  private readonly obstacles: ObstacleBook;
  private readonly idleness = new Idleness();
  private readonly told: ToldOnce;
  /** Nodes that became idle together do not give back together. */
  private readonly patience: number;
  private view: CloudView | undefined;
  private lastPlan: Plan | undefined;
  /** Of the last pass, when it failed. */
  private failure: PoolLimit | undefined;
  /** Of the last plan. */
  private planLimit: PoolLimit | undefined;
  private describedAt: number | undefined;
  private wake: (() => void) | undefined;
  private kicks = 0;
  private failures = 0;
  private readonly beingMade = new BeingMade();
  private isGlancing = false;
  /** What own writes have changed since the cloud was last asked; each may be done twice. */
  private readonly meanwhile: ((view: CloudView) => CloudView)[] = [];
  /** Interfaces whose link has not shown. */
  private readonly unseen = new Idleness();
  private readonly bornAt: number;
  /** When the cloud was asked for more, lately. */
  private readonly grewAt: number[] = [];
  private readonly first = Promise.withResolvers<void>();

  constructor(deps: ReconcilerDeps) {
    this.deps = deps;
    this.bornAt = deps.clock.now();
    this.watch = new CloudWatch(deps.random);
    this.told = new ToldOnce(deps.clock);
    this.obstacles = new ObstacleBook(deps.clock, deps.random);
    this.patience = 1 + deps.random() / 4;
    this.writes = new CloudWrites({
      network: deps.network,
      host: deps.host,
      log: deps.log,
      written: {
        created: (one) => {
          this.beingMade.made(one.id);
          this.update((view) => withInterface(view, one));
        },
        assigned: (id, units) => this.update((view) => withUnits(view, id, units)),
        released: (id, units) => this.update((view) => withoutUnits(view, id, units)),
        deleted: (id) => this.update((view) => withoutInterface(view, id)),
      },
    });
  }

  /** Something changed: look soon. Cheap, may be called any number of times. */
  kick(): void {
    this.kicks += 1;
    this.wake?.();
  }

  /** The cloud may have changed: look at it again before planning. */
  kickFresh(): void {
    this.watch.stale();
    this.kick();
  }

  /** As kickFresh(), for what anybody can set off: the cloud is asked once for all that comes within a few seconds. */
  kickFreshLater(): void {
    this.watch.doubted();
    this.kick();
  }

  /** An interface is on its way that the cloud may not have told of yet. */
  get isCreating(): boolean {
    return this.writes.running.some(({ kind }) => kind === "create");
  }

  /** What the cloud said last; undefined before its first answer. */
  get cloudView(): CloudView | undefined {
    return this.view;
  }

  /** Why the pool cannot grow now. */
  obstruction(): PoolLimit | undefined {
    return this.failure ?? this.planLimit;
  }

  /** The same, for people. */
  limit(): string | undefined {
    return this.obstruction()?.message;
  }

  /** What is held, wanted and done. The plan and the cloud's last answer are absent before its first one. */
  report(): {
    readonly plan: Plan | undefined;
    readonly running: readonly Action[];
    readonly obstacles: readonly ObstacleView[];
    readonly describedAgoMs: number | undefined;
  } {
    const describedAgoMs =
      this.describedAt === undefined ? undefined : Math.round(this.deps.clock.now() - this.describedAt);
    return {
      plan: this.lastPlan,
      running: this.writes.running,
      obstacles: this.obstacles.list(),
      describedAgoMs,
    };
  }

  /** Resolves after the first pass in which the cloud answered and the primary uplink was there. */
  get initialised(): Promise<void> {
    return this.first.promise;
  }

  /** Runs until the signal aborts, and what it has begun has ended. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const seen = this.kicks;
      const pauseMs = await this.guardedPass(signal);
      await this.pause(pauseMs, seen, signal);
    }
    await this.writes.settled();
  }

  private async guardedPass(signal: AbortSignal): Promise<number> {
    const { passed, log, random } = this.deps;
    try {
      const pauseMs = await this.pass(signal);
      this.failures = 0;
      this.failure = undefined;
      this.told.works("pass");
      passed(undefined);
      return pauseMs;
    } catch (error) {
      if (signal.aborted) return 0;
      this.failure = limitOfFailure(error);
      passed(error);
      const level = this.told.level("pass", error);
      log[level]({ err: error, failures: this.failures }, "pool not reconciled");
      this.watch.stale();
      this.failures += 1;
      const backoffMs = RETRY_MS.first * 2 ** Math.min(this.failures - 1, 10);
      return Math.min(RETRY_MS.max, backoffMs) * (0.75 + random() / 2);
    }
  }

  /** One look and one plan. Gives the time until the next when nothing happens before. */
  private async pass(signal: AbortSignal): Promise<number> {
    const { clock, network, uplinks } = this.deps;
    await this.look(signal);
    const { view } = this;
    if (view === undefined) return this.watch.pauseMs(clock.now(), undefined);
    this.deps.host.forgetReleased();
    await this.takeArrivals(view);
    if (uplinks.list().some(({ isPrimary }) => isPrimary)) this.first.resolve();
    const capabilities = await network.capabilities(signal);
    const settings = this.deps.settings();
    const made = plan({
      key: DEFAULT_POOL,
      families: this.deps.families,
      pending: this.deps.pending(),
      ahead: this.ahead(),
      isAnnounced: this.deps.knowsPods(),
      isFresh: this.isFresh,
      maxPods: this.deps.maxPods(),
      settings: { ...settings, releaseAfterMs: settings.releaseAfterMs * this.patience },
      shelves: this.shelves(),
      view: this.view ?? view,
      capabilities,
      lost: this.deps.host.lostInterfaces(),
      overdue: this.overdue(this.view ?? view),
      obstacles: this.obstacles.current(settings),
      running: this.writes.running,
      beingMade: this.beingMade.now(this.isCreating),
    });
    this.lastPlan = made;
    this.planLimit = limitOfPlan(made, this.obstacles.list(), settings);
    this.deps.planned(made);
    if (made.actions.some(({ kind }) => kind === "assign" || kind === "create"))
      this.grewAt.push(clock.now());
    for (const action of made.actions) this.begin(action, signal);
    return this.pauseMs(made);
  }

  /** Asks the cloud, or glances at the metadata, when that is due. */
  private async look(signal: AbortSignal): Promise<void> {
    const { network, clock, host } = this.deps;
    this.watch.reading(this.deps.settings());
    const due = this.watch.ask(clock.now(), this.soonerMs());
    if (due === "glance") this.glance(signal);
    if (due !== "describe") return;
    this.watch.describing(clock.now());
    this.meanwhile.length = 0;
    const answer = await network.describe(signal);
    // what our writes have changed meanwhile may not be in it
    const view = this.meanwhile.reduce((known, how) => how(known), answer);
    this.beingMade.listed(view.interfaces, this.view?.interfaces ?? [], this.isCreating);
    this.view = view;
    this.describedAt = clock.now();
    await host.adopt(view, signal);
  }

  /** Nobody waits for it: metadata that does not answer delays no pod. */
  private glance(signal: AbortSignal): void {
    if (this.isGlancing) return;
    this.isGlancing = true;
    this.watch.glancing(this.deps.clock.now());
    void this.deps.network
      .glance(signal)
      .catch((err: unknown) => {
        this.deps.log.debug({ err }, "the metadata was not to be had");
        return undefined;
      })
      .then((text) => {
        this.isGlancing = false;
        this.watch.glanced(text);
        this.kick();
      });
  }

  /** Its link is a strong fact: the cloud need not be asked whether it has attached it. */
  private async takeArrivals(view: CloudView): Promise<void> {
    for (const one of this.arriving(view)) {
      if (!(await this.deps.host.arrived({ ...one, state: "attached" }))) continue;
      this.update((now) => withAttached(now, one.id));
    }
  }

  /** Interfaces whose links should have shown long ago. */
  private overdue(view: CloudView): ReadonlySet<InterfaceId> {
    const coming = this.arriving(view).map(({ id }) => id);
    const waited = this.unseen.observe(
      coming.map((name) => ({ name, isUsed: false })),
      this.deps.clock.now(),
    );
    return new Set(coming.filter((id) => (waited.get(id) ?? 0) > OVERDUE_MS));
  }

  /** True while a link may show at any moment. */
  private get isArriving(): boolean {
    const { view } = this;
    return view !== undefined && this.arriving(view).length > this.overdue(view).size;
  }

  private arriving({ interfaces }: CloudView): CloudInterface[] {
    const known = new Set(this.deps.uplinks.list().map(({ interfaceId }) => interfaceId));
    return interfaces.filter(
      ({ id, ownership, state }) =>
        ownership !== "foreign" && (state === "attaching" || state === "attached") && !known.has(id),
    );
  }

  private shelves(): Shelf[] {
    const { pool, uplinks, clock } = this.deps;
    const interfaceOf = new Map(uplinks.list().map(({ slot, interfaceId }) => [slot, interfaceId]));
    const rows = pool.onUplinks(DEFAULT_POOL);
    const isUsed = ({ leased, cooling }: { leased: number; cooling: number }) => leased + cooling > 0;
    const idle = this.idleness.observe(
      rows.flatMap(({ slot, units }) => [
        { name: `uplink ${slot}`, isUsed: units.some(isUsed) },
        ...units.map((fact) => ({ name: fact.unit.toString(), isUsed: isUsed(fact) })),
      ]),
      clock.now(),
    );
    return rows.flatMap(({ slot, units, releasing }): Shelf[] => {
      const interfaceId = interfaceOf.get(slot);
      if (interfaceId === undefined) return [];
      const facts = units.map((fact) => ({ ...fact, idleMs: idle.get(fact.unit.toString()) ?? 0 }));
      return [{ slot, interfaceId, units: facts, releasing, idleMs: idle.get(`uplink ${slot}`) ?? 0 }];
    });
  }

  private get isFresh(): boolean {
    return this.deps.clock.now() - this.bornAt < FRESH_MS;
  }

  /** Pods that come one by one bring a call each: the more calls have just followed each other, the more the next one asks for. */
  private ahead(): number {
    const now = this.deps.clock.now();
    while (this.grewAt.length > 0 && now - (this.grewAt[0] ?? now) > AHEAD_MS) this.grewAt.shift();
    return Math.min(AHEAD_MAX, 2 ** this.grewAt.length - 1);
  }

  private begin(action: Action, signal: AbortSignal): void {
    const ordinal = this.writes.running.filter(({ kind }) => kind === "create").length;
    const token = creationToken(this.view, action, ordinal);
    this.writes.start(action, token, signal, (error) => {
      if (error === undefined) {
        this.obstacles.done(action);
        this.told.works(action.kind);
        this.deps.succeeded?.(action);
        this.watch.changed();
      } else if (!signal.aborted) {
        this.deps.failed(action, error);
        const level = this.told.level(action.kind, error);
        this.deps.log[level]({ err: error, action: action.kind }, "the cloud did not do what the pool needs");
        if (this.obstacles.note(action, error)) this.watch.stale();
      }
      this.kick();
    });
  }

  /** How long after the last answer the next one should come, for what is in doubt. */
  private soonerMs(): number | undefined {
    const doubt = this.deps.host.askAgainAfterMs();
    if (!this.isArriving) return doubt;
    return Math.min(doubt ?? Number.POSITIVE_INFINITY, ARRIVING_DESCRIBE_EVERY_MS);
  }

  private pauseMs({ count }: Plan): number {
    const { clock, host } = this.deps;
    const held = count.leased + count.cooling + count.free;
    return Math.min(
      this.watch.pauseMs(clock.now(), this.soonerMs()),
      this.obstacles.nextEndMs() ?? Number.POSITIVE_INFINITY,
      this.isArriving ? ARRIVING_EVERY_MS : Number.POSITIVE_INFINITY,
      held > count.target ? SURPLUS_EVERY_MS : Number.POSITIVE_INFINITY,
      ...[host.nextForgetAt, this.bornAt + FRESH_MS].flatMap((at) =>
        at === undefined || at <= clock.now() ? [] : [at - clock.now()],
      ),
    );
  }

  private update(how: (view: CloudView) => CloudView): void {
    this.meanwhile.push(how);
    if (this.view !== undefined) this.view = how(this.view);
  }

  private async pause(ms: number, seen: number, signal: AbortSignal): Promise<void> {
    if (this.kicks === seen && ms > 0) {
      const woken = new AbortController();
      this.wake = () => woken.abort();
      await this.sleep(ms, AbortSignal.any([signal, woken.signal]));
      this.wake = undefined;
    }
    // demand does not shorten the wait after a failure below its first step
    if (this.failures > 0 && this.kicks !== seen) return this.sleep(RETRY_MS.first, signal);
    await this.coalesce(signal);
  }

  private async coalesce(signal: AbortSignal): Promise<void> {
    const { step, max } = this.deps.knowsPods() && this.isFresh ? COALESCE_FRESH_MS : COALESCE_MS;
    for (let waited = 0; waited < max && !signal.aborted; waited += step) {
      const before = this.kicks;
      await this.sleep(step, signal);
      if (this.kicks === before) return;
    }
  }

  private async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.deps.clock.sleep(ms, signal).catch(() => undefined);
  }
}
