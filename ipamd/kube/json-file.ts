import type * as z from "zod";
import type { Clock } from "../../common/clock.ts";
import { describeError } from "../../common/errors.ts";
import { Listeners } from "../../common/listeners.ts";
import type { Logger } from "../../common/log.ts";
import { type FileText, readSmallFile } from "../../common/small-file.ts";
import { WatchedFile } from "../../common/watched-file.ts";

/** A node's pods are some hundred bytes each. */
const BYTES_MAX = 4 * 1024 * 1024;

export type JsonFileDeps<T> = {
  readonly path: string;
  readonly schema: z.ZodType<T>;
  readonly clock: Clock;
  readonly log: Logger;
};

/** What a JSON file says, read again when it changes. A file that is gone or cannot be read changes nothing, and is logged once. */
export class JsonFile<T> implements Disposable {
  private readonly deps: JsonFileDeps<T>;
  private readonly watched: WatchedFile;
  private readonly listeners = new Listeners();
  private last: string | undefined;
  private content: T | undefined;

  /** Reads it, and watches it until it is disposed of. */
  constructor(deps: JsonFileDeps<T>) {
    this.deps = deps;
    const { path, clock } = deps;
    this.watched = new WatchedFile({ path, clock, changed: () => this.look() });
    this.look();
  }

  /** Undefined until it could be read for the first time. */
  get value(): T | undefined {
    return this.content;
  }

  subscribe(listener: () => void): Disposable {
    return this.listeners.add(listener);
  }

  [Symbol.dispose](): void {
    this.watched[Symbol.dispose]();
  }

  private look(): void {
    const read = readSmallFile(this.deps.path, BYTES_MAX);
    const news = read.kind === "text" ? read.text : read.why;
    if (news === this.last) return;
    this.last = news;
    if (this.take(read)) this.listeners.tell();
  }

  private take(read: FileText): boolean {
    const { path, schema, log } = this.deps;
    try {
      if (read.kind !== "text") throw new Error(read.why);
      this.content = schema.parse(JSON.parse(read.text));
      return true;
    } catch (error) {
      const why = describeError(error).slice(0, 500);
      log.warn({ file: path, why }, "a file cannot be used; what it said before holds");
      return false;
    }
  }
}
