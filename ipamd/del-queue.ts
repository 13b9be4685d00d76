/**
 * DELs that shims left while no daemon answered: one request frame per file, in slots 000 to 255 of a folder beside the socket. Drained at
 * start, when the folder changes, and at intervals, since a change can be missed. A file goes once its DEL has succeeded or can never
 * succeed; one that fails for now stays for the next round and holds up no other.
 *
 * A slot can change hands while its file is handled: its shim gets an answer after all and takes the file back, and another shim puts its own there. So
 * each file is kept open while it is handled, which keeps its inode from being given to another, and only that inode is removed.
 */
import { randomUUID } from "node:crypto";
import {
  type FSWatcher,
  fstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  watch,
} from "node:fs";
import { constants, type FileHandle, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Outcome, runCommand, startOf, type Verbs } from "../cni/command.ts";
import { CNI_NUMBERS, cniNumber } from "../cni/errors.ts";
import { decodeRequest, FRAME_LIMITS, FrameError, type RequestFrame } from "../cni/frame.ts";
import type { Clock } from "../common/clock.ts";
import { CodedError } from "../common/errors.ts";
import type { Attachment } from "../common/ids.ts";
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
/** What was found in a slot and moved aside to be removed: a DEL to be done as well, when its removal did not come to pass. */
const ASIDE = /^\.\d{3}\.[0-9a-f-]{36}$/;
const TEMPORARY = /^\..*\.tmp$/;

/** With these numbers a later try of the same bytes ends in the same way. */
const HOPELESS: ReadonlySet<number> = new Set([
  CNI_NUMBERS.incompatibleVersion,
  CNI_NUMBERS.unsupportedField,
  CNI_NUMBERS.invalidVariable,
  CNI_NUMBERS.decodeFailure,
  CNI_NUMBERS.invalidConfig,
]);

const REMOVED = "a file of the DEL queue was removed";

/** How long start() waits for the first drain; what takes longer goes on behind it. */
const START_DEADLINE_MS = 5000;

export class DelQueue {
  private readonly options: DelQueueOptions;
  private readonly stopping = new AbortController();
  private readonly handling = new Map<string, Promise<void>>();
  private watcher: FSWatcher | undefined;
  private isLooking = false;
  private hasChanged = false;

  constructor(options: DelQueueOptions) {
    this.options = options;
  }

  /** Drains what is there, then keeps draining until stop(). Call it before the socket is served: a queued DEL is older than any new ADD. */
  async start(): Promise<void> {
    const { folder, log, clock } = this.options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.watcher = watch(folder, () => void this.noticeChange());
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
    await this.look();
    await Promise.all(this.handling.values());
  }

  /** A folder that changes all the time (a daemon that was away meets thousands of shims) is looked at once for all changes of meanwhile. */
  private async noticeChange(): Promise<void> {
    this.hasChanged = true;
    if (this.isLooking) return;
    this.isLooking = true;
    while (this.hasChanged) {
      this.hasChanged = false;
      await this.look();
    }
    this.isLooking = false;
  }

  /** Begins to handle every file that is not being handled already. Never rejects. */
  private async look(): Promise<void> {
    for (const name of await this.list()) {
      if (this.stopping.signal.aborted) return;
      if (this.handling.has(name)) continue;
      this.handling.set(
        name,
        this.handle(name).finally(() => this.handling.delete(name)),
      );
    }
  }

  /**
   * Removes the DELs of an attachment that began before `startedAt` (milliseconds of the boot clock). For an ADD that has found no lease, so that they
   * have nothing to end: from its success on, a DEL in the queue is newer than the pod, also for a next daemon, which does not know when the ADD was. A
   * runtime makes its calls for one container one after the other, so no older one comes later. Never rejects.
   */
  async dropOlder(attachment: Attachment, startedAt: number): Promise<void> {
    const { folder, log } = this.options;
    try {
      // at once, not awaited: on the way of every ADD, and mostly empty
      const names = readdirSync(folder).filter((name) => SLOT.test(name) || ASIDE.test(name));
      for (const name of names) await this.dropIf(name, (frame) => isOlder(frame, attachment, startedAt));
    } catch (err) {
      log.warn({ err, folder }, "the DEL queue cannot be read");
    }
  }

  private async dropIf(name: string, unwanted: (frame: RequestFrame) => boolean): Promise<void> {
    await using file = await openIfThere(join(this.options.folder, name));
    if (file === undefined) return;
    try {
      if (!unwanted(decodeRequest(await readBounded(file)))) return;
    } catch (error) {
      if (error instanceof FrameError) return; // the next drain's to remove
      throw error;
    }
    this.remove(name, file);
    this.options.log.info({ file: name }, "a queued DEL that is older than an ADD of the same pod is void");
  }

  private async drainAtIntervals(): Promise<void> {
    const { clock, intervalMs = INTERVAL_MS } = this.options;
    while (!this.stopping.signal.aborted) {
      await clock.sleep(intervalMs, this.stopping.signal).catch(() => undefined);
      void this.look(); // what it begins is not waited for: one DEL that hangs must not keep others waiting
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
      else if (SLOT.test(name) || ASIDE.test(name)) await this.run(name);
      else await this.drop(path, "not a slot of the queue");
    } catch (err) {
      this.options.log.warn({ err, path }, "a file of the DEL queue cannot be handled");
    }
  }

  private async run(name: string): Promise<void> {
    const { folder, log } = this.options;
    const path = join(folder, name);
    await using file = await openIfThere(path);
    if (file === undefined) return; // its shim got an answer after all
    const { error, request } = await this.runDel(file);
    if (error === undefined) {
      this.remove(name, file);
      log.info({ ...attachmentOf(request) }, "a queued DEL is done");
    } else if (error instanceof FrameError || HOPELESS.has(cniNumber(error))) {
      this.remove(name, file);
      log.warn({ path, reason: "never a valid DEL", err: error }, REMOVED);
    } else {
      log.warn({ ...attachmentOf(request), err: error, path }, "a queued DEL has to wait");
    }
  }

  private async runDel(file: FileHandle): Promise<Pick<Outcome, "error" | "request">> {
    try {
      const frame = decodeRequest(await readBounded(file));
      if (frame.variables.get("CNI_COMMAND") !== "DEL") throw new FrameError("frame-malformed", "not a DEL");
      return await runCommand(frame, this.options.verbs, this.stopping.signal);
    } catch (error) {
      return { error };
    }
  }

  /**
   * Removes the file of that name, if it still is the open one. What a rename has taken away no shim can replace; when it turns out to be another
   * DEL, that is handled under its new name. In one go, so that no drain sees the name that it has meanwhile.
   */
  private remove(name: string, file: FileHandle): void {
    const path = join(this.options.folder, name);
    const aside = ASIDE.test(name) ? path : join(this.options.folder, `.${name}.${randomUUID()}`);
    ignoringGone(() => {
      if (aside !== path) renameSync(path, aside);
      const [found, ours] = [statSync(aside, { bigint: true }), fstatSync(file.fd, { bigint: true })];
      if (found.ino === ours.ino && found.dev === ours.dev) rmSync(aside, { recursive: true });
    });
  }

  private async dropAbandoned(path: string): Promise<void> {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined; // its shim has finished writing
      throw error;
    });
    if (found === undefined) return;
    const age = this.options.clock.wallTime().getTime() - found.mtimeMs;
    if (age > TEMPORARY_MAX_AGE_MS) await this.drop(path, "left by a shim that died");
  }

  /** For what no shim can have replaced, or would miss (a temporary file that is gone makes its DEL fail, and the runtime try again). */
  private async drop(path: string, reason: string): Promise<void> {
    await rm(path, { force: true, recursive: true });
    this.options.log.warn({ path, reason }, REMOVED);
  }
}

/** Undefined when it is gone. Not waiting: a pipe would have no writer. */
async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function readBounded(file: FileHandle): Promise<Buffer> {
  const found = await file.stat();
  if (!found.isFile()) throw new FrameError("frame-malformed", "not a file");
  if (found.size > FILE_BYTES_MAX) throw new FrameError("frame-too-large", `a file of ${found.size} bytes`);
  return file.readFile();
}

function ignoringGone(work: () => void): void {
  try {
    work();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function isOlder({ variables }: RequestFrame, attachment: Attachment, startedAt: number): boolean {
  const began = startOf(variables);
  const isOfIt =
    variables.get("CNI_COMMAND") === "DEL" &&
    variables.get("CNI_CONTAINERID") === attachment.containerId &&
    variables.get("CNI_IFNAME") === attachment.ifname;
  // one that does not say when it began is the desk's to judge
  return isOfIt && began !== undefined && began < startedAt;
}

function attachmentOf(request: Outcome["request"]): object {
  return request !== undefined && "attachment" in request ? request.attachment : {};
}
