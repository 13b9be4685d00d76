/** What a strategy runs on one node, as kubelet and the API server see it. */
export type SimPod = {
  readonly id: number;
  /** Index of its node. */
  readonly node: number;
};

export interface NodeAgent {
  /** Starts the daemon of a node that has just booted. Resolves when the node becomes Ready. */
  start(): Promise<void>;
  /** The daemon's process ends and starts again. */
  restart(): void;
  /** The API server has the pod on this node, or has it no more. */
  podBound(pod: SimPod): void;
  podGone(pod: SimPod): void;
  /** One ADD: the pod's address; rejects when the runtime is to try again. */
  add(pod: SimPod, signal: AbortSignal): Promise<number>;
  /** DEL. */
  remove(pod: SimPod): void;
  stop(): void;
}
