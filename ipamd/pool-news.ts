/**
 * What the cluster is told of the pool: events of pods that wait, of permissions that lack, and the node's condition. The pool's own work only takes note
 * here; telling has a loop of its own, so that nothing waits for whoever is told, and nothing fails by him.
 */
import type { PodRef } from "../cni/ipam.ts";
import type { Clock } from "../common/clock.ts";
import type { Logger } from "../common/log.ts";
import { AddressesCondition, type PoolState } from "./addresses-condition.ts";
import type { EventSink, NodeCondition } from "./kube/events.ts";
import { PermissionNews } from "./permission-news.ts";
import { type PodEvent, WaitingNews } from "./waiting-news.ts";

/** How long nothing need be looked at when nothing happens. While somebody waits the pool looks around by itself. */
const IDLE_MS = 60_000;
/** Between two looks: what happens many times in a moment is looked at once. */
const PACE_MS = 500;
/** News that wait to be told; more would only be of the past. */
const QUEUE_MAX = 1_000;

export type PoolNewsDeps = {
  readonly events: EventSink;
  readonly waiting: () => readonly { readonly pod: PodRef; readonly since: number }[];
  /** Undefined before the cloud's first answer. */
  readonly state: () => PoolState | undefined;
  readonly clock: Clock;
  readonly log: Logger;
};

export class PoolNews {
  private readonly deps: PoolNewsDeps;
  private readonly pods = new WaitingNews();
  private readonly permissions = new PermissionNews();
  private readonly condition = new AddressesCondition();
  private readonly untold: (() => void)[] = [];
  private wake: (() => void) | undefined;
  /** Of the last event of the node. */
  private toldReason: string | undefined;
  private isWanted = true;
  private isFailing = false;

  constructor(deps: PoolNewsDeps) {
    this.deps = deps;
  }

  /** Something has changed. Cheap, may be called any number of times. */
  changed(): void {
    this.isWanted = true;
    this.wake?.();
  }

  /** A call for the pool has failed. */
  failed(error: unknown): void {
    const event = this.permissions.failed(error, this.deps.clock.now());
    if (event !== undefined) this.tell(() => this.deps.events.onNode(event));
  }

  /** A pod has its address. */
  served(pod: PodRef): void {
    const news = this.pods.served(pod, this.deps.clock.now());
    if (news !== undefined) this.tellOfPod(news);
  }

  /** Tells until the signal aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.isWanted = false;
      this.look();
      this.flush();
      await this.sleep(PACE_MS, signal);
      await this.sleepOrWake(this.untilNextMs(), signal);
    }
  }

  private look(): void {
    const { clock, waiting, state, events } = this.deps;
    const now = clock.now();
    const pool = state();
    for (const news of this.pods.look(waiting(), pool?.limit, now)) this.tellOfPod(news);
    const condition = pool && this.condition.look(pool, now);
    if (condition === undefined) return;
    this.tell(() => events.condition(condition));
    this.tellOfNode(condition);
  }

  /** An event for each new reason. */
  private tellOfNode({ status, reason, message }: NodeCondition): void {
    const isNews = status === "False" && reason !== this.toldReason;
    this.toldReason = status === "False" ? reason : undefined;
    if (isNews) this.tell(() => this.deps.events.onNode({ type: "Warning", reason, message }));
  }

  private tellOfPod({ pod, event }: PodEvent): void {
    this.tell(() => this.deps.events.onPod(pod, event));
  }

  private tell(news: () => void): void {
    if (this.untold.length >= QUEUE_MAX) this.untold.shift();
    this.untold.push(news);
    this.changed();
  }

  private flush(): void {
    for (const news of this.untold.splice(0)) {
      try {
        news();
        this.isFailing = false;
      } catch (err) {
        if (!this.isFailing) this.deps.log.warn({ err }, "events cannot be told");
        this.isFailing = true;
      }
    }
  }

  private untilNextMs(): number {
    const times = [this.pods.nextAt(), this.condition.nextAt()].filter((at) => at !== undefined);
    return Math.max(0, Math.min(IDLE_MS, ...times.map((at) => at - this.deps.clock.now())));
  }

  private async sleepOrWake(ms: number, signal: AbortSignal): Promise<void> {
    if (this.isWanted || ms === 0) return;
    const woken = new AbortController();
    this.wake = () => woken.abort();
    await this.sleep(ms, AbortSignal.any([signal, woken.signal]));
    this.wake = undefined;
  }

  private async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.deps.clock.sleep(ms, signal).catch(() => undefined);
  }
}
