import type { PodRef } from "../../cni/ipam.ts";

/** An event as `kubectl describe` shows it. Reasons are CamelCase and stable; messages are for people, with every value. */
export type KubeEvent = {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  /** What sets it apart from others of its reason and its pod or node: those are told although one was told lately. */
  readonly about?: string;
};

/** A condition of the node, such as `PodAddressesAvailable`. It changes its time only when its status does. */
export type NodeCondition = {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
};

/** Where events and conditions go. Never throws and never waits: what cannot be delivered is logged by the one who delivers. */
export interface EventSink {
  onPod(pod: PodRef, event: KubeEvent): void;
  onNode(event: KubeEvent): void;
  condition(condition: NodeCondition): void;
}
