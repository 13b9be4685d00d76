import type { PodRef } from "../../cni/ipam.ts";
import type { EventSink, KubeEvent, NodeCondition } from "./events.ts";

/** Keeps every event, and each condition as it is now. For tests. */
export class MemoryEvents implements EventSink {
  readonly pods: (KubeEvent & { readonly pod: PodRef })[] = [];
  readonly node: KubeEvent[] = [];
  /** By type. */
  readonly conditions = new Map<string, NodeCondition>();

  onPod(pod: PodRef, event: KubeEvent): void {
    this.pods.push({ ...event, pod });
  }

  onNode(event: KubeEvent): void {
    this.node.push(event);
  }

  condition(condition: NodeCondition): void {
    this.conditions.set(condition.type, condition);
  }
}
