/** What to tell of pods that wait for an address: once each, unless the reason changes, and when they have one at last. No I/O and no clock. */
import type { PodRef } from "../cni/ipam.ts";
import type { KubeEvent } from "./kube/events.ts";
import type { PoolLimit } from "./pool-limit.ts";

/** Waiting for less is usual: an interface takes some seconds. */
export const TOLD_AFTER_MS = 5_000;
const AGAIN_AFTER_MS = 600_000;
/** Another text of the same reason: a cloud's words may differ each time. */
const OTHER_WORDS_AFTER_MS = 60_000;
/** kubelet asks again within minutes; a pod that has not been seen for so long has gone. */
const FORGOTTEN_AFTER_MS = 600_000;

export type PodEvent = { readonly pod: PodRef; readonly event: KubeEvent };

/** Of one pod, over all its ADDs. */
type Story = {
  readonly since: number;
  lastSeen: number;
  told: { readonly at: number; readonly limit: PoolLimit | undefined } | undefined;
};

export class WaitingNews {
  private readonly stories = new Map<string, Story>();

  /** What is to be told of those who wait now. Pods without a name or uid are passed over: nobody could say whose event it is. */
  look(
    waiting: readonly { readonly pod: PodRef; readonly since: number }[],
    limit: PoolLimit | undefined,
    now: number,
  ): PodEvent[] {
    const events = waiting.flatMap(({ pod, since }) => {
      const key = keyOf(pod);
      if (key === undefined) return [];
      const story = this.stories.get(key) ?? { since, lastSeen: now, told: undefined };
      this.stories.set(key, story);
      story.lastSeen = now;
      if (now - story.since < TOLD_AFTER_MS || !isNews(story.told, limit, now)) return [];
      story.told = { at: now, limit };
      return [{ pod, event: waitsFor(now - story.since, limit) }];
    });
    this.forget(now);
    return events;
  }

  /** A pod has its address. Told of those alone of whom it was told that they wait. */
  served(pod: PodRef, now: number): PodEvent | undefined {
    const key = keyOf(pod) ?? "";
    const story = this.stories.get(key);
    this.stories.delete(key);
    if (story?.told === undefined) return undefined;
    const message = `has its address, after ${seconds(now - story.since)}`;
    return { pod, event: { type: "Normal", reason: "AddressAssigned", message } };
  }

  /** When somebody who waits is to be told of, if nothing else happens. */
  nextAt(): number | undefined {
    const untold = [...this.stories.values()].filter(({ told }) => told === undefined);
    return untold.length === 0 ? undefined : Math.min(...untold.map(({ since }) => since + TOLD_AFTER_MS));
  }

  private forget(now: number): void {
    for (const [key, { lastSeen }] of this.stories)
      if (now - lastSeen >= FORGOTTEN_AFTER_MS) this.stories.delete(key);
  }
}

function isNews(told: Story["told"], limit: PoolLimit | undefined, now: number): boolean {
  if (told === undefined) return true;
  const age = now - told.at;
  if (age >= AGAIN_AFTER_MS) return true;
  // between two tries nothing is known to stand in the way
  if (limit === undefined || told.limit?.message === limit.message) return false;
  return told.limit?.reason !== limit.reason || age >= OTHER_WORDS_AFTER_MS;
}

function waitsFor(ms: number, limit: PoolLimit | undefined): KubeEvent {
  const why = limit?.message ?? "nothing is known to stand in the way, and the cloud has been asked";
  return {
    type: "Warning",
    reason: "WaitingForAddress",
    message: `has waited ${seconds(ms)} for an address: ${why}`,
    about: limit?.reason ?? "",
  };
}

function keyOf({ uid, namespace, name }: PodRef): string | undefined {
  if (uid !== undefined) return uid;
  return name === undefined ? undefined : `${namespace ?? ""}/${name}`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
