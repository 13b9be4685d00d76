import type { EventSink } from "./events.ts";
import type { NodeSource } from "./node.ts";
import type { PodSource } from "./pods.ts";

/** What a daemon knows of its cluster, and where it tells what. */
export type KubeSide = { readonly pods: PodSource; readonly node: NodeSource; readonly events: EventSink };
