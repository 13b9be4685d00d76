/**
 * DELs that shims left while no daemon answered: one request frame per file, in slots 000 to 255 of a folder beside the socket. Drained at
 * start, when the folder changes, and at intervals, since a change can be missed. A file goes once its DEL has succeeded or can never
 * succeed; one that fails for now stays for the next round and holds up no other.
 */
import { type FSWatcher, mkdirSync, watch } from "node:fs";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Outcome, runCommand, type Verbs } from "../cni/command.ts";
import { CNI_NUMBERS, cniNumber } from "../cni/errors.ts";
import { decodeRequest, FRAME_LIMITS, FrameError } from "../cni/frame.ts";
import type { Clock } from "../common/clock.ts";
import { CodedError } from "../common/errors.ts";
import type { Logger } from "../common/log.ts";

export type DelQueueOptions = {
  readonly folder: string;
  readonly verbs: Verbs;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default 15 s. */
  readonly intervalMs?: number;
};

const INTERVAL_MS = 15_000;
/** A shim that died while writing leaves its temporary file; none takes longer than this. */
const TEMPORARY_MAX_AGE_MS = 60_000;
const FILE_BYTES_MAX = 16 + FRAME_LIMITS.variables + FRAME_LIMITS.stdin;
const SLOT = /^\d{3}$/;
const TEMPORARY = /^\..*\.tmp$/;

/** With these numbers a later try of the same bytes ends in the same way. */
const HOPELESS: ReadonlySet<number> = new Set([
  CNI_NUMBERS.incompatibleVersion,
  CNI_NUMBERS.unsupportedField,
  CNI_NUMBERS.invalidVariable,
  CNI_NUMBERS.decodeFailure,
  CNI_NUMBERS.invalidConfig,
]);

/** How long start() waits for the first drain; what takes longer goes on behind it. */
const START_DEADLINE_MS = 5000;

export class DelQueue {
  private readonly options: DelQueueOptions;
  private readonly stopping = new AbortController();
  private readonly handling = new Map<string, Promise<void>>();
  private watcher: FSWatcher | undefined;

  constructor(options: DelQueueOptions) {
    this.options = options;
  }

  /** Drains what is there, then keeps draining until stop(). Call it before the socket is served: a queued DEL is older than any new ADD. */
  async start(): Promise<void> {
    const { folder, log, clock } = this.options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.watcher = watch(folder, () => void this.drain());
    this.watcher.on("error", (err) =>
      log.warn({ err, folder }, "the DEL queue is drained at intervals only"),
    );
    const drained = new AbortController();
    const deadline = clock.sleep(START_DEADLINE_MS, drained.signal).catch(() => undefined);
    await Promise.race([this.drain(), deadline]);
    drained.abort();
    void this.drainAtIntervals();
  }

  /** Aborts the DELs that run and resolves when they have ended; their files stay. */
  async stop(): Promise<void> {
    this.stopping.abort(new CodedError("stopping", "the causeway daemon is stopping", { retry: "soon" }));
    this.watcher?.close();
    await Promise.all(this.handling.values());
  }

  /** Handles every file that is not being handled already; resolves when all of them are done. Never rejects. */
  async drain(): Promise<void> {
    for (const name of await this.list()) {
      if (this.stopping.signal.aborted) return;
      if (this.handling.has(name)) continue;
      this.handling.set(
        name,
        this.handle(name).finally(() => this.handling.delete(name)),
      );
    }
    await Promise.all(this.handling.values());
  }

  private async drainAtIntervals(): Promise<void> {
    const { clock, intervalMs = INTERVAL_MS } = this.options;
    while (!this.stopping.signal.aborted) {
      await clock.sleep(intervalMs, this.stopping.signal).catch(() => undefined);
      void this.drain(); // not waited for: one DEL that hangs must not keep others waiting
    }
  }

  private async list(): Promise<readonly string[]> {
    const { folder, log } = this.options;
    try {
      return (await readdir(folder)).sort();
    } catch (err) {
      log.warn({ err, folder }, "the DEL queue cannot be read");
      return [];
    }
  }

  /** Never rejects. */
  private async handle(name: string): Promise<void> {
    const path = join(this.options.folder, name);
    try {
      if (TEMPORARY.test(name)) await this.dropAbandoned(path);
      else if (SLOT.test(name)) await this.run(path);
      else await this.drop(path, "not a slot of the queue");
    } catch (err) {
      this.options.log.warn({ err, path }, "a file of the DEL queue cannot be handled");
    }
  }

  private async run(path: string): Promise<void> {
    const outcome = await this.runDel(path);
    if (outcome === undefined) return;
    const { error, request } = outcome;
    if (error === undefined) {
      await rm(path, { force: true });
      this.options.log.info({ ...attachmentOf(request) }, "a queued DEL is done");
    } else if (error instanceof FrameError || HOPELESS.has(cniNumber(error))) {
      await this.drop(path, "never a valid DEL", error);
    } else {
      this.options.log.warn({ ...attachmentOf(request), err: error, path }, "a queued DEL has to wait");
    }
  }

  /** Undefined when the file is gone: its shim got an answer after all. */
  private async runDel(path: string): Promise<Pick<Outcome, "error" | "request"> | undefined> {
    try {
      const frame = decodeRequest(await readBounded(path));
      if (frame.variables.get("CNI_COMMAND") !== "DEL") throw new FrameError("frame-malformed", "not a DEL");
      return await runCommand(frame, this.options.verbs, this.stopping.signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      return { error };
    }
  }

  private async dropAbandoned(path: string): Promise<void> {
    const { mtimeMs } = await stat(path);
    const age = this.options.clock.wallTime().getTime() - mtimeMs;
    if (age > TEMPORARY_MAX_AGE_MS) await this.drop(path, "left by a shim that died");
  }

  private async drop(path: string, reason: string, err?: unknown): Promise<void> {
    await rm(path, { force: true, recursive: true });
    this.options.log.warn({ path, reason, err }, "a file of the DEL queue was removed");
  }
}

async function readBounded(path: string): Promise<Buffer> {
  const found = await stat(path);
  if (!found.isFile()) throw new FrameError("frame-malformed", "not a file");
  if (found.size > FILE_BYTES_MAX) throw new FrameError("frame-too-large", `a file of ${found.size} bytes`);
  return readFile(path);
}

function attachmentOf(request: Outcome["request"]): object {
  return request !== undefined && "attachment" in request ? request.attachment : {};
}
