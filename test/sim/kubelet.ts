import type { NodeAgent } from "./node-agent.ts";
import type { PlannedPod } from "./planned-pods.ts";
import { Random, type Spread } from "./random.ts";
import type { Tally } from "./tally.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** From the binding until the node's daemons have it by their watch. */
const WATCH_MS: Spread = { median: 100, p99: 250 };
/** From the binding to the first ADD: kubelet's own watch, volumes, the sandbox. */
const SANDBOX_MS: Spread = { median: 450, p99: 1_500 };
/** A scheduler binds what waited for a node within this time. */
const BINDING_MS = 2_000;
/** kubelet repeats a failed sandbox after `backOffPeriod` with jitter 0.5 (pkg/kubelet/pod_workers.go). */
const RETRY_MS = { least: 10_000, most: 15_000 } as const;

export type KubeletOptions = {
  readonly agent: NodeAgent;
  /** Whether the cloud routes an address to this node now. */
  readonly isRoutedHere: (address: number) => boolean;
  readonly clock: VirtualClock;
  readonly tally: Tally;
  readonly seed: number;
};

/**
 * kubelet and containerd of one node: pods are bound once it is Ready, ADD is called and repeated, DEL ends them. A pod that was to be bound while the node was not
 * Ready waits from the moment at which ADD would have been called: a daemon that is late lets pods wait as one without addresses does.
 */
export class Kubelet {
  private readonly options: KubeletOptions;
  private readonly early: PodLife[] = [];
  private isReady = false;

  constructor(options: KubeletOptions) {
    this.options = options;
  }

  plan(pods: readonly PlannedPod[]): void {
    const { clock } = this.options;
    for (const pod of pods) {
      clock.at(pod.bindAt, () => {
        const life = new PodLife(pod, this.options);
        life.expectAdd();
        if (this.isReady) life.bind();
        else this.early.push(life);
      });
    }
  }

  /** The node is Ready: what waits for it is bound within two seconds. */
  nodeReady(): void {
    this.isReady = true;
    for (const life of this.early.splice(0)) life.bindSoon();
  }
}

class PodLife {
  private readonly pod: PlannedPod;
  private readonly options: KubeletOptions;
  private readonly random: Random;
  private readonly sandboxMs: number;
  /** From the binding on: there are many pods, and few at a time. */
  private asking: AbortController | undefined;
  private isOver = false;
  private address: number | undefined;

  constructor(pod: PlannedPod, options: KubeletOptions) {
    this.pod = pod;
    this.options = options;
    this.random = new Random(options.seed, "pod", pod.id);
    this.sandboxMs = this.random.spread(SANDBOX_MS);
  }

  expectAdd(): void {
    const { clock, tally } = this.options;
    clock.after(this.sandboxMs, () => {
      if (!this.isOver) tally.podAsks(this.pod.id);
    });
    clock.at(this.pod.endAt, () => this.end());
  }

  bindSoon(): void {
    this.options.clock.after(this.random.between(0, BINDING_MS), () => this.bind());
  }

  bind(): void {
    const { clock, agent } = this.options;
    if (this.isOver) return;
    const asking = new AbortController();
    this.asking = asking;
    clock.after(this.random.spread(WATCH_MS), () => agent.podBound(this.pod));
    clock.after(this.sandboxMs, () => {
      this.ask(asking.signal).catch((error: unknown) => clock.fail(error));
    });
  }

  private end(): void {
    const { agent, tally } = this.options;
    this.isOver = true;
    this.asking?.abort(new Error("the pod was deleted"));
    if (this.asking !== undefined) agent.podGone(this.pod);
    if (this.address === undefined) {
      tally.podServed(this.pod.id);
    } else {
      tally.unuse(this.address);
      agent.remove(this.pod);
    }
  }

  private async ask(signal: AbortSignal): Promise<void> {
    const { agent, clock } = this.options;
    while (!signal.aborted) {
      const address = await agent.add(this.pod, signal).catch(() => undefined);
      if (address !== undefined) return this.take(address);
      const pauseMs = this.random.between(RETRY_MS.least, RETRY_MS.most);
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  private take(address: number): void {
    const { agent, tally, isRoutedHere } = this.options;
    if (this.isOver) {
      agent.remove(this.pod);
      return;
    }
    if (!isRoutedHere(address)) throw new Error(`node ${this.pod.node} gave ${address}, which it has not`);
    this.address = address;
    tally.use(address, this.pod.id);
    tally.podServed(this.pod.id);
  }
}
