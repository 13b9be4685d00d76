import type { VirtualClock } from "./virtual-clock.ts";

/** What is below this of a figure is not shown. */
export const FIGURE_STEP = 0.001;

/** What one strategy cost. The names are those of the JSON output. */
export type Figures = {
  readonly waitP50Ms: number;
  readonly waitP99Ms: number;
  readonly callsPerPod: number;
  /** Addresses held for pods and not used by one, mean over nodes and time. */
  readonly wastePerNode: number;
  readonly throttled: number;
};

/** A point of a plot: totals of the fleet at one time. */
export type Sample = {
  readonly atMs: number;
  readonly nodes: number;
  readonly used: number;
  readonly held: number;
  readonly waiting: number;
};

/** Counts while a simulation runs, from begin() on. */
export class Tally {
  readonly samples: Sample[] = [];
  /** From a node's first daemon to its being Ready. */
  readonly readyMs: number[] = [];
  pods = 0;
  private readonly waits: number[] = [];
  private readonly clock: VirtualClock;
  private readonly inUse = new Map<number, number>();
  private held = 0;
  private nodes = 0;
  /** Pods without an address, and when they asked first. */
  private readonly waiting = new Map<number, number>();
  private changedAt = 0;
  private wasted = 0;
  private nodeTime = 0;

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  /** What came before was warming up; who waits now counts. */
  begin(): void {
    this.advance();
    this.wasted = this.nodeTime = 0;
    this.pods = this.waiting.size;
    this.waits.length = this.readyMs.length = this.samples.length = 0;
  }

  nodeStarted(): void {
    this.advance();
    this.nodes += 1;
  }

  heldChanged(change: number): void {
    this.advance();
    this.held += change;
  }

  /** A pod's first ADD. */
  podAsks(pod: number): void {
    this.pods += 1;
    this.waiting.set(pod, this.clock.now());
  }

  /** It has its address, or is gone without one: then its wait is the least that it would have been. */
  podServed(pod: number): void {
    const askedAt = this.waiting.get(pod);
    if (askedAt !== undefined) this.waits.push(this.clock.now() - askedAt);
    this.waiting.delete(pod);
  }

  /** Throws when another pod has the address: that is what must never happen. */
  use(address: number, pod: number): void {
    const other = this.inUse.get(address);
    if (other !== undefined) throw new Error(`address ${address} was given to pods ${other} and ${pod}`);
    this.advance();
    this.inUse.set(address, pod);
  }

  unuse(address: number): void {
    this.advance();
    this.inUse.delete(address);
  }

  sample(): void {
    const { nodes, held } = this;
    const atMs = this.clock.now();
    this.samples.push({ atMs, nodes, used: this.inUse.size, held, waiting: this.waiting.size });
  }

  /** At the end: whoever waits still is counted with the wait so far. */
  figures(account: { readonly calls: number; readonly throttled: number }): Figures {
    this.advance();
    for (const pod of [...this.waiting.keys()]) this.podServed(pod);
    const sorted = Float64Array.from(this.waits).sort();
    return {
      waitP50Ms: Math.round(quantile(sorted, 0.5)),
      waitP99Ms: Math.round(quantile(sorted, 0.99)),
      callsPerPod: round(account.calls / Math.max(1, this.pods)),
      wastePerNode: round(this.wasted / Math.max(1, this.nodeTime)),
      throttled: account.throttled,
    };
  }

  private advance(): void {
    const now = this.clock.now();
    const passed = now - this.changedAt;
    this.wasted += (this.held - this.inUse.size) * passed;
    this.nodeTime += this.nodes * passed;
    this.changedAt = now;
  }
}

/** Nearest rank; 0 of nothing. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

function round(value: number): number {
  return Math.round(value / FIGURE_STEP) / (1 / FIGURE_STEP);
}
