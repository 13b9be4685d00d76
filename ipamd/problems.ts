/**
 * What is wrong on this node, or at odds with us: gathered here from whoever finds it, told once when it appears and once when it is gone, and
 * shown by /healthz, /pool and a gauge until then.
 */
import type { Clock } from "../common/clock.ts";
import { describeError } from "../common/errors.ts";
import type { Logger } from "../common/log.ts";
import type { Gauge } from "../common/metrics.ts";
import { CloudError } from "../providers/errors.ts";

/**
 * `refused`: pods cannot be served as they must be until somebody acts, and /healthz says 503. `warning`: something of others, or some pods, do
 * not work. `handled`: odd, but it costs nothing.
 */
export type Severity = "refused" | "warning" | "handled";

export type Problem = {
  /** Stable, kebab-case: what alerts are made of. */
  readonly code: string;
  readonly severity: Severity;
  /** For people: which thing it is, with its values, and what to do. The same text for the same problem: it is told once. */
  readonly sentence: string;
};

export type ProblemBoardDeps = {
  readonly clock: Clock;
  readonly log: Logger;
  /** How many there are, by code. */
  readonly gauge: Gauge;
};

const LOG_LEVELS = { refused: "error", warning: "warn", handled: "info" } as const;
/** What fails is tried again soon, and often cures itself: only what goes on failing is a problem. */
const PATIENCE_MS = 10_000;

export class ProblemBoard {
  private readonly deps: ProblemBoardDeps;
  private readonly bySource = new Map<string, readonly Problem[]>();
  private readonly failingSince = new Map<string, number>();

  constructor(deps: ProblemBoardDeps) {
    this.deps = deps;
  }

  /** Everything that is wrong now, the worst first. */
  list(): readonly Problem[] {
    const all = [...this.bySource.values()].flat();
    return (["refused", "warning", "handled"] as const).flatMap((severity) =>
      all.filter((problem) => problem.severity === severity),
    );
  }

  /** These, and no others, are the problems that `source` knows of. Repeatable: what stays is not told again. */
  report(source: string, problems: readonly Problem[]): void {
    const before = this.bySource.get(source) ?? [];
    this.bySource.set(source, problems);
    for (const problem of without(problems, before)) this.tell(problem);
    for (const { code, sentence } of without(before, problems)) {
      this.deps.log.info({ code, sentence }, "a problem is gone");
    }
    this.count();
  }

  /**
   * Runs `work` and passes on what it gives or throws. While it has done nothing but fail for 10 s, that is a problem of this code, whose sentence
   * ends with the error. The code is the source too.
   */
  async attempt<T>(code: string, severity: Severity, doing: string, work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      this.failingSince.delete(code);
      this.report(code, []);
      return result;
    } catch (error) {
      const now = this.deps.clock.now();
      const since = this.failingSince.get(code) ?? now;
      this.failingSince.set(code, since);
      // the first error stays: one that names another file each time would be told each time
      if (now - since >= PATIENCE_MS && !this.isReported(code)) {
        this.report(code, [{ code, severity, sentence: `${doing}: ${describeError(error)}` }]);
      }
      throw error;
    }
  }

  private isReported(source: string): boolean {
    return (this.bySource.get(source) ?? []).length > 0;
  }

  private tell({ code, severity, sentence }: Problem): void {
    this.deps.log[LOG_LEVELS[severity]]({ code, severity, sentence }, "a problem on this node");
  }

  private count(): void {
    const { gauge } = this.deps;
    gauge.clear();
    for (const [code, problems] of Map.groupBy(this.list(), (problem) => problem.code)) {
      gauge.set(problems.length, { code });
    }
  }
}

/** A cloud that is away is no problem of this node: its pods go on. What the role may not do stays so until somebody changes it. */
export function cloudProblems(error: unknown): Problem[] {
  if (!(error instanceof CloudError) || error.code !== "unauthorized") return [];
  const sentence = `the cloud refuses ${error.operation}, so the pool cannot be kept: give the node's role this permission`;
  return [{ code: "cloud-permission", severity: "warning", sentence }];
}

function without(problems: readonly Problem[], others: readonly Problem[]): Problem[] {
  return problems.filter(
    ({ code, sentence }) => !others.some((other) => other.code === code && other.sentence === sentence),
  );
}
