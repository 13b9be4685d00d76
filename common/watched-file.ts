import { type FSWatcher, statSync, watch } from "node:fs";
import path from "node:path";
import type { Clock } from "./clock.ts";

/** Where no event tells: another folder behind a symlink, a folder that came later, a filesystem without events. */
const POLL_MS = 500;
/** A writer that is at it often writes more at once. */
const GATHER_MS = 100;

export type WatchedFileOptions = {
  readonly path: string;
  readonly clock: Clock;
  /** The file may be another one now: read it. */
  readonly changed: () => void;
};

/**
 * A file that others write while we run: in place, by a rename over it, or by moving a symlink on the way to it, as kubelet does with the
 * volume of a ConfigMap. `changed` comes within 2 s of each change, and now and then without one. Watches until it is disposed of.
 */
export class WatchedFile implements Disposable {
  private readonly options: WatchedFileOptions;
  private readonly ended = new AbortController();
  private readonly watcher: FSWatcher | undefined;
  private seen: string;
  private isGathering = false;

  constructor(options: WatchedFileOptions) {
    this.options = options;
    this.seen = identity(options.path);
    this.watcher = watchFolder(path.dirname(options.path), () => void this.gather());
    void this.poll();
  }

  [Symbol.dispose](): void {
    this.ended.abort();
    this.watcher?.close();
  }

  /** What an event tells counts always: two writes of one moment leave the same times. */
  private async gather(): Promise<void> {
    if (this.isGathering) return;
    this.isGathering = true;
    await this.pause(GATHER_MS);
    this.isGathering = false;
    this.seen = identity(this.options.path);
    this.tell();
  }

  private async poll(): Promise<void> {
    while (!this.ended.signal.aborted) {
      await this.pause(POLL_MS);
      const now = identity(this.options.path);
      if (now === this.seen) continue;
      this.seen = now;
      this.tell();
    }
  }

  private tell(): void {
    if (!this.ended.signal.aborted) this.options.changed();
  }

  private pause(ms: number): Promise<void> {
    return this.options.clock.sleep(ms, this.ended.signal).catch(() => undefined);
  }
}

/** Changes when the file does, whatever the way to it. */
function identity(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(":");
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

function watchFolder(folder: string, changed: () => void): FSWatcher | undefined {
  try {
    // ends of watching are seen by the poll
    return watch(folder, { persistent: false }, changed).on("error", () => undefined);
  } catch {
    return undefined;
  }
}
