import { Listeners } from "../../common/listeners.ts";
import type { BoundPod, PodSource } from "./pods.ts";

/** Pods that the program itself names; unknown until it does. */
export class MemoryPods implements PodSource {
  private pods: readonly BoundPod[] | undefined;
  private readonly listeners = new Listeners();

  constructor(pods?: readonly BoundPod[]) {
    this.pods = pods;
  }

  list(): readonly BoundPod[] | undefined {
    return this.pods;
  }

  subscribe(listener: () => void): Disposable {
    return this.listeners.add(listener);
  }

  /** These are all pods from now on. */
  set(pods: readonly BoundPod[]): void {
    this.pods = pods;
    this.listeners.tell();
  }
}
