import { Listeners } from "../../common/listeners.ts";
import type { NodeSource } from "./node.ts";

export type NodeFacts = {
  readonly labels?: Readonly<Record<string, string>>;
  readonly maxPods?: number;
};

/** A node of which the program itself says what is known; nothing, by default. */
export class MemoryNode implements NodeSource {
  private facts: NodeFacts;
  private readonly listeners = new Listeners();

  constructor(facts: NodeFacts = {}) {
    this.facts = facts;
  }

  labels(): ReadonlyMap<string, string> {
    return new Map(Object.entries(this.facts.labels ?? {}));
  }

  maxPods(): number | undefined {
    return this.facts.maxPods;
  }

  subscribe(listener: () => void): Disposable {
    return this.listeners.add(listener);
  }

  /** These are all facts from now on. */
  set(facts: NodeFacts): void {
    this.facts = facts;
    this.listeners.tell();
  }
}
