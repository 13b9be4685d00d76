import type { PodRef } from "../../cni/ipam.ts";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { EventSink, KubeEvent, NodeCondition } from "./events.ts";

/** The same event of the same thing is told again after this long. */
const AGAIN_AFTER_MS = 60_000;

const LEVELS = { Normal: "info", Warning: "warn" } as const;

/** Events and conditions as lines of the log: an event once a minute for each pod, a condition when its status or reason changes. */
export class LogEvents implements EventSink {
  private readonly clock: Clock;
  private readonly log: Logger;
  /** When each was told, the oldest first. */
  private readonly toldAt = new Map<string, number>();
  private readonly conditions = new Map<string, string>();

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Logger }) {
    this.clock = clock;
    this.log = log;
  }

  onPod(pod: PodRef, event: KubeEvent): void {
    const name = `${pod.namespace ?? ""}/${pod.name ?? ""}`;
    this.tell("an event of a pod", pod.uid ?? name, event, { pod: name });
  }

  onNode(event: KubeEvent): void {
    this.tell("an event of this node", "", event, {});
  }

  condition({ type, status, reason, message }: NodeCondition): void {
    const state = `${status} ${reason}`;
    if (this.conditions.get(type) === state) return;
    this.conditions.set(type, state);
    this.log.info({ condition: type, status, reason, message }, "a condition of this node");
  }

  /** By reason: a message has values in it that change. */
  private tell(
    what: string,
    about: string,
    { type, reason, message, about: aspect = "" }: KubeEvent,
    fields: { readonly pod?: string },
  ): void {
    const key = `${about} ${type} ${reason} ${aspect}`;
    this.forget();
    if (this.toldAt.has(key)) return;
    this.toldAt.set(key, this.clock.now());
    this.log[LEVELS[type]]({ ...fields, reason, message }, what);
  }

  private forget(): void {
    const before = this.clock.now() - AGAIN_AFTER_MS;
    for (const [key, at] of this.toldAt) {
      if (at > before) return;
      this.toldAt.delete(key);
    }
  }
}
