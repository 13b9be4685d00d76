/**
 * Keeps the pool as the plan wants it: observe the cloud, adopt what it says, plan, act, record. One pass at a time; a pass is started by
 * demand, by a new link, or by time. When the cloud does not answer, nothing is changed and held addresses go on being given.
 */
import type { Clock } from "../common/clock.ts";
import { describeError } from "../common/errors.ts";
import { DEFAULT_POOL, type InterfaceId, type SubnetId } from "../common/ids.ts";
import type { Family } from "../common/ip.ts";
import type { Logger } from "../common/log.ts";
import { CloudError } from "../providers/errors.ts";
import type { CloudInterface, CloudNetwork, CloudView } from "../providers/provider.ts";
import type { Adoption } from "./adopt.ts";
import { CONFIRM_AFTER_MS } from "./misses.ts";
import { type Action, creationToken, plan } from "./plan.ts";
import type { Pool } from "./pool.ts";
import type { Uplinks } from "./uplinks.ts";

/** Free addresses per family to hold beyond demand. Fixed until the warm pool's settings come. */
export const SPARE = 2;
/** Changes of one moment are planned together. */
const COALESCE_MS = 20;
/** How often the cloud is asked though nothing seems to have changed: someone may have changed it behind us. */
const DESCRIBE_EVERY_MS = 60_000;
/** While an interface is being attached. */
const ARRIVING_EVERY_MS = 250;
/** And how often the cloud is then asked whether it is attached. */
const ARRIVING_DESCRIBE_EVERY_MS = 2_000;
/** While something that we hold is missing from its last answer: as soon as a second one can confirm it. */
const IN_DOUBT_DESCRIBE_EVERY_MS = CONFIRM_AFTER_MS;
/** While something is gone for good and no pod holds it back any more. */
const UNUSED_DESCRIBE_EVERY_MS = 1_000;
/** While devices come that it may know by now. */
const DOUBTED_DESCRIBE_EVERY_MS = 5_000;
const FULL_SUBNET_FOR_MS = 60_000;
const RETRY_MS = { first: 500, max: 60_000 } as const;

export type ReconcilerDeps = {
  readonly network: CloudNetwork;
  readonly adoption: Adoption;
  readonly pool: Pool;
  readonly uplinks: Uplinks;
  readonly waiting: () => number;
  /** Told after each pass: what it failed with, or undefined. */
  readonly passed: (error: unknown) => void;
  readonly families: readonly Family[];
  readonly clock: Clock;
  readonly log: Logger;
};

export class Reconciler {
  private readonly deps: ReconcilerDeps;
  private view: CloudView | undefined;
  private describedAt = Number.NEGATIVE_INFINITY;
  /** Its last answer may be wrong: ask before anything else. */
  private isStale = false;
  /** It may be, for what anybody can set off: ask when the last time is long enough ago. */
  private isDoubted = false;
  private readonly fullSubnets = new Map<SubnetId, number>();
  private limitText: string | undefined;
  private wake: (() => void) | undefined;
  private kicked = false;
  private failures = 0;
  private readonly first = Promise.withResolvers<void>();

  constructor(deps: ReconcilerDeps) {
    this.deps = deps;
  }

  /** Something changed: look soon. Cheap, may be called any number of times. */
  kick(): void {
    this.kicked = true;
    this.wake?.();
  }

  /** The cloud may have changed: look at it again before planning. */
  kickFresh(): void {
    this.isStale = true;
    this.kick();
  }

  /** As kickFresh(), for what anybody can set off: the cloud is asked once for all that comes within a few seconds. */
  kickFreshLater(): void {
    this.isDoubted = true;
    this.kick();
  }

  /** What the cloud said last; undefined before its first answer. */
  get cloudView(): CloudView | undefined {
    return this.view;
  }

  /** Why the pool cannot grow now, for people. */
  limit(): string | undefined {
    return this.limitText;
  }

  /** Resolves after the first pass in which the cloud answered and the primary uplink was there. */
  get initialised(): Promise<void> {
    return this.first.promise;
  }

  /** Runs until the signal aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.kicked = false;
      const pauseMs = await this.guardedPass(signal);
      await this.pause(pauseMs, signal);
    }
  }

  private async guardedPass(signal: AbortSignal): Promise<number> {
    try {
      const pauseMs = await this.pass(signal);
      this.failures = 0;
      this.deps.passed(undefined);
      return pauseMs;
    } catch (error) {
      if (signal.aborted) return 0;
      this.limitText = describeError(error);
      this.deps.passed(error);
      this.deps.log.warn({ err: error, failures: this.failures }, "pool not reconciled");
      this.isStale = true;
      this.failures += 1;
      return (
        Math.min(RETRY_MS.max, RETRY_MS.first * 2 ** Math.min(this.failures - 1, 10)) *
        (0.75 + Math.random() / 2)
      );
    }
  }

  /** One look and one round of actions. Gives the time until the next look when nothing happens before. */
  private async pass(signal: AbortSignal): Promise<number> {
    const { network, clock, pool } = this.deps;
    if (this.view === undefined || this.isStale || this.untilDescribeMs() <= 0) {
      // before it answers: what is asked for meanwhile it may not know yet
      this.isStale = this.isDoubted = false;
      this.view = await network.describe(signal);
      this.describedAt = clock.now();
      await this.deps.adoption.adopt(this.view, signal);
    }
    if (this.deps.uplinks.list().some(({ isPrimary }) => isPrimary)) this.first.resolve();
    const capabilities = await network.capabilities(signal);
    const { actions, limit } = plan({
      key: DEFAULT_POOL,
      families: this.deps.families,
      waiting: this.deps.waiting(),
      spare: SPARE,
      shelves: pool.summary(),
      view: this.view,
      capabilities,
      slotOf: (id) => this.deps.uplinks.byInterface(id)?.slot,
      lost: new Set(this.deps.adoption.lostUplinks().map(({ interfaceId }) => interfaceId)),
      fullSubnets: this.currentlyFull(),
    });
    this.limitText = limit;
    await this.act(actions, signal);
    if (this.isArriving()) return ARRIVING_EVERY_MS;
    return this.isDoubted ? this.untilDescribeMs() : this.describeEveryMs();
  }

  private async act(actions: readonly Action[], signal: AbortSignal): Promise<void> {
    const byInterface = Map.groupBy(actions, (action) =>
      action.kind === "assign" ? action.interfaceId : "new",
    );
    // one writer per interface; interfaces side by side
    const outcomes = await Promise.allSettled(
      [...byInterface.values()].map(async (list) => {
        for (const action of list) await this.perform(action, signal);
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  private async perform(action: Action, signal: AbortSignal): Promise<void> {
    try {
      if (action.kind === "assign") {
        const units = await this.deps.network.assignUnits(action.interfaceId, action.request, signal);
        this.deps.log.info({ interfaceId: action.interfaceId, units: units.map(String) }, "units assigned");
        if (this.view !== undefined) this.view = withUnits(this.view, action.interfaceId, units);
        this.deps.adoption.holdUnits(action.interfaceId, units);
      } else {
        const token = creationToken(this.view, action);
        const created = await this.deps.network.createInterface(
          { ...action, poolKey: action.key, securityGroupIds: [], token },
          signal,
        );
        this.deps.log.info({ interfaceId: created.id, state: created.state }, "interface created");
        this.kickFresh();
      }
    } catch (error) {
      this.noteLimit(action, error);
      throw error;
    }
  }

  private noteLimit(action: Action, error: unknown): void {
    // the outcome may be unknown: the next pass begins by asking
    this.isStale = true;
    if (!(error instanceof CloudError) || error.code !== "subnet-exhausted") return;
    const subnet =
      action.kind === "create"
        ? error.subnetIds[0]
        : this.view?.interfaces.find(({ id }) => id === action.interfaceId)?.subnet.id;
    if (subnet !== undefined) this.fullSubnets.set(subnet, this.deps.clock.now() + FULL_SUBNET_FOR_MS);
  }

  private currentlyFull(): ReadonlySet<SubnetId> {
    const now = this.deps.clock.now();
    for (const [subnet, until] of this.fullSubnets) if (until <= now) this.fullSubnets.delete(subnet);
    return new Set(this.fullSubnets.keys());
  }

  private untilDescribeMs(): number {
    return this.describedAt + this.describeEveryMs() - this.deps.clock.now();
  }

  private describeEveryMs(): number {
    if (this.isArriving()) return ARRIVING_DESCRIBE_EVERY_MS;
    if (this.deps.adoption.hasUnusedLosses) return UNUSED_DESCRIBE_EVERY_MS;
    if (this.isDoubted) return DOUBTED_DESCRIBE_EVERY_MS;
    return this.deps.adoption.isInDoubt ? IN_DOUBT_DESCRIBE_EVERY_MS : DESCRIBE_EVERY_MS;
  }

  private isArriving(): boolean {
    const known = (id: InterfaceId) => this.deps.uplinks.byInterface(id) !== undefined;
    return (
      this.view?.interfaces.some(
        ({ id, ownership, state }) => ownership !== "foreign" && isComing(state) && !known(id),
      ) ?? false
    );
  }

  private async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.kicked && ms > 0) {
      const woken = new AbortController();
      this.wake = () => woken.abort();
      await this.deps.clock.sleep(ms, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
      this.wake = undefined;
    }
    if (this.failures === 0 || !this.kicked)
      return void (await this.deps.clock.sleep(COALESCE_MS, signal).catch(() => undefined));
    // demand does not shorten the wait after a failure below its first step
    await this.deps.clock.sleep(RETRY_MS.first, signal).catch(() => undefined);
  }
}

function withUnits(
  view: CloudView,
  id: InterfaceId,
  units: CloudView["interfaces"][number]["units"],
): CloudView {
  return {
    ...view,
    interfaces: view.interfaces.map((one) =>
      one.id === id ? { ...one, units: [...one.units, ...units] } : one,
    ),
  };
}

/** Attached by the cloud's word, or soon: its link shows, or will. */
function isComing(state: CloudInterface["state"]): boolean {
  return state === "attaching" || state === "attached";
}
