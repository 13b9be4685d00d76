import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** How the daemon is run, here and in its container: small heap, and the one optimising compiler that is worth its memory (docs/decisions/0007). */
export const NODE_FLAGS = [
  "--max-semi-space-size=2",
  "--max-old-space-size=64",
  "--no-turbofan",
  // a thread that has ended leaves 8 MB of heap to the others for a quarter of a minute: they have no use for it
  "--no-memory-pool-share-memory-on-teardown",
] as const;
/** One arena of malloc: each thread's own keeps what the thread has freed. */
export const NODE_ENVIRONMENT = { MALLOC_ARENA_MAX: "1" } as const;

/** What deploy/dev/bundle.ts has made. */
export const BUNDLE = "dist/ipamd";

/** A line of the daemon's log. */
export type LogLine = { readonly level: string; readonly msg: string; readonly [field: string]: unknown };

/** One real ipamd, from its bundle, in a node's network namespace. */
export class DaemonProcess {
  readonly lines: LogLine[] = [];
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  private readonly child: ChildProcess;
  private readonly waiters = new Set<() => void>();
  private ended = false;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.ended = true;
        resolve({ code, signal });
        this.wakeWaiters();
      });
    });
    if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (line) => this.note(line));
  }

  /** Starts it; `environment` is all that it gets beside PATH, and `bundle` the folder of its code. */
  static start(
    netnsPath: string,
    environment: Readonly<Record<string, string>>,
    bundle = BUNDLE,
  ): DaemonProcess {
    const command = [`--net=${netnsPath}`, process.execPath, ...NODE_FLAGS, `${bundle}/main.mjs`];
    const child = spawn("nsenter", command, {
      env: { PATH: process.env.PATH, ...NODE_ENVIRONMENT, ...environment },
      stdio: ["ignore", "ignore", "pipe"],
    });
    return new DaemonProcess(child);
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error("the daemon could not be started");
    return this.child.pid;
  }

  get isRunning(): boolean {
    return !this.ended;
  }

  /** Resolves with the first line, past or to come, of that message. Rejects with the whole log at the deadline or when the process ends. */
  async logged(message: string, timeoutMs = 15_000): Promise<LogLine> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = this.lines.find(({ msg }) => msg === message);
      if (found !== undefined) return found;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || this.ended)
        throw new Error(`no log line "${message}" of the daemon:\n${this.logText()}`);
      await this.nextLine(leftMs);
    }
  }

  kill(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.child.kill(signal);
  }

  /** Ends it and waits for its end. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    this.kill("SIGCONT");
    this.kill(signal);
    await this.exited;
  }

  logText(): string {
    return this.lines
      .map((line) => JSON.stringify(line, (key, value: unknown) => (key === "stack" ? undefined : value)))
      .join("\n");
  }

  private note(line: string): void {
    try {
      this.lines.push(JSON.parse(line) as LogLine);
    } catch {
      this.lines.push({ level: "raw", msg: line });
    }
    this.wakeWaiters();
  }

  private nextLine(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.waiters.add(done);
    });
  }

  private wakeWaiters(): void {
    for (const wake of this.waiters) wake();
  }
}
