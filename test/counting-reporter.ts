import { mkdirSync, writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/** Where the last run's counts are left for .ci/run, as `{"passed":n,"failed":n,"skipped":n}`. */
export const COUNTS_FILE = ".cache/test-counts.json";

/**
 * Ends a run with the plain line `N passed, N failed`, which CI reads. A file that fails to load, and an error outside
 * any test, count as one failure each.
 */
export class CountingReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    let failed = unhandledErrors.length;
    let skipped = 0;
    for (const module of modules) {
      if (module.errors().length > 0) failed += 1;
      for (const test of module.children.allTests()) {
        const state = test.result().state;
        if (state === "passed") passed += 1;
        else if (state === "failed") failed += 1;
        else skipped += 1;
      }
    }
    mkdirSync(".cache", { recursive: true });
    writeFileSync(COUNTS_FILE, JSON.stringify({ passed, failed, skipped }));
    process.stdout.write(
      `\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`,
    );
  }
}

// vitest loads a reporter named by path through its default export.
export { CountingReporter as default };
