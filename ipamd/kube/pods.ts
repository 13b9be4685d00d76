import type { PodUid } from "../../common/ids.ts";

/** A pod that the scheduler has bound to this node, as the API server has it. */
export type BoundPod = {
  readonly uid: PodUid;
  readonly namespace: string;
  readonly name: string;
  /** It uses the node's own network: it never needs an address. */
  readonly hostNetwork: boolean;
  /** It has ended for good, or is being deleted: it will never need one any more. */
  readonly finished: boolean;
};

/** Pods of this node. What it tells may keep an address, and never frees one. */
export interface PodSource {
  /** Undefined while nobody has told yet: then only ADDs that wait are known of. */
  list(): readonly BoundPod[] | undefined;
  /** Calls back behind every change; several of one moment may come as one. */
  subscribe(listener: () => void): Disposable;
}
