import { closeSync, futimesSync, openSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Clock } from "../common/clock.ts";
import type { Logger } from "../common/log.ts";

const INTERVAL_MS = 5000;

/**
 * Sets the modification time of a file to now, at once and every 5 s, until the signal aborts. The shim answers STATUS from it while the
 * daemon is being restarted; so the file stays, and grows old, when the daemon ends or hangs. A failure is logged once until it works
 * again. Resolves, never rejects.
 */
export async function keepHeartbeat(
  options: {
    readonly path: string;
    readonly clock: Clock;
    readonly log: Logger;
    readonly intervalMs?: number;
  },
  signal: AbortSignal,
): Promise<void> {
  const { path, clock, log, intervalMs = INTERVAL_MS } = options;
  let failing = false;
  // with SELinux that of an earlier container may be closed to this one
  let isOwn = madeAnew(path);
  while (!signal.aborted) {
    try {
      if (!isOwn) isOwn = madeAnew(path);
      touch(path, clock.wallTime());
      failing = false;
    } catch (err) {
      if (!failing) log.warn({ err, path }, "the heartbeat file cannot be written");
      failing = true;
    }
    await clock.sleep(intervalMs, signal).catch(() => undefined);
  }
}

/** In place of the one that an earlier daemon left. False when it cannot be: then that one is used. */
function madeAnew(path: string): boolean {
  const temporary = join(dirname(path), `.${basename(path)}.tmp`);
  try {
    rmSync(temporary, { force: true });
    closeSync(openSync(temporary, "wx", 0o600));
    renameSync(temporary, path);
    return true;
  } catch {
    return false;
  }
}

/** Needs no free block on the file system once the file is there. */
function touch(path: string, now: Date): void {
  const fd = openSync(path, "a", 0o600);
  try {
    futimesSync(fd, now, now);
  } finally {
    closeSync(fd);
  }
}
