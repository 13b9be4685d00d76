/**
 * What this node says of itself: STATUS, the heartbeat by which the shim answers STATUS alone, and the conflist that a runtime takes for
 * readiness. Once pods could be served, an empty pool or a silent cloud takes none of it back: docs/decisions/0008.
 */
import type { Clock } from "../common/clock.ts";
import { trimMemory } from "../common/kernel/libc.ts";
import type { Logger } from "../common/log.ts";
import type { Chain } from "./chain.ts";
import { removeStaleConflist, writeConflist } from "./conflist.ts";
import { keepHeartbeat } from "./heartbeat.ts";
import type { ProblemBoard } from "./problems.ts";

const CONFLIST_LOOK_MS = 5_000;

export type ReadinessDeps = {
  /** The runtime's folder; undefined when somebody else writes the list. */
  readonly conflistDir: string | undefined;
  readonly chain: Chain;
  readonly heartbeatPath: string;
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly problems: ProblemBoard;
  /** Resolves when the cloud has answered and the node's network is laid down. */
  readonly initialised: () => Promise<void>;
  /** Why the pool cannot grow now, for people. */
  readonly limit: () => string | undefined;
  /** Slots that carry pods. */
  readonly slots: () => readonly number[];
};

export class Readiness {
  private readonly deps: ReadinessDeps;
  private servable = false;

  constructor(deps: ReadinessDeps) {
    this.deps = deps;
  }

  /** Call it before the daemon serves. With a folder that cannot be written to, pods that are there are served all the same. */
  async removeStaleConflist(): Promise<void> {
    const { conflistDir: folder, bootId, log } = this.deps;
    if (folder === undefined) return;
    try {
      await removeStaleConflist({ folder, bootId });
    } catch (err) {
      log.warn({ err, folder }, "a conflist of an earlier boot not removed: the runtime may come too early");
    }
  }

  /** Why no pod could be served at all, for people; undefined from the first time on that one could. */
  hindrance(): string | undefined {
    if (this.servable) return undefined;
    return this.deps.limit() ?? "the cloud has not said yet which addresses this node has";
  }

  /** Runs until the signal aborts. `known`: the kernel remembers a node that could serve pods, so the cloud need not say it again. */
  async run(known: boolean, signal: AbortSignal): Promise<void> {
    const beating = known ? this.beat(signal) : undefined;
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    await Promise.race([this.deps.initialised(), aborted]);
    if (signal.aborted) return beating;
    this.deps.log.info({ slots: this.deps.slots() }, "ready for pods");
    trimMemory();
    await Promise.all([beating ?? this.beat(signal), this.keepConflist(signal)]);
  }

  private beat(signal: AbortSignal): Promise<void> {
    this.servable = true;
    const { heartbeatPath: path, clock, log } = this.deps;
    return keepHeartbeat({ path, clock, log }, signal);
  }

  /** Written last, as it is what makes the node ready, and again when somebody has taken it away or a plugin of the chain came or went. */
  private async keepConflist(signal: AbortSignal): Promise<void> {
    const { conflistDir: folder, chain, bootId, clock, log, problems } = this.deps;
    const doing = "the runtime cannot start pods: the conflist cannot be written";
    while (folder !== undefined && !signal.aborted) {
      const { plugins: chained, versions, problems: ofChain } = await chain.look();
      if (signal.aborted) return;
      problems.report("chain", ofChain);
      const written = await problems
        .attempt("conflist", "refused", doing, () => writeConflist({ folder, bootId, chained }, versions))
        .catch(() => false);
      if (written) log.info({ folder, chained: chained.map(({ type }) => type) }, "conflist written");
      await clock.sleep(CONFLIST_LOOK_MS, signal).catch(() => undefined);
    }
  }
}
