import type { EventSink } from "./events.ts";
import type { NodeSource } from "./node.ts";
import type { PodSource } from "./pods.ts";

/** What a daemon knows of its cluster, and where it tells what. */
export type KubeSide = { readonly pods: PodSource; readonly node: NodeSource; readonly events: EventSink };

const nothing: Disposable = { [Symbol.dispose]: () => undefined };

/** No cluster has told anything, and nobody is told: only ADDs that wait are known of. */
export const unknownKube: KubeSide = {
  pods: { list: () => undefined, subscribe: () => nothing },
  node: { labels: () => new Map(), maxPods: () => undefined, subscribe: () => nothing },
  events: { onPod: () => undefined, onNode: () => undefined, condition: () => undefined },
};
