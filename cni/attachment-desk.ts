import type { Clock } from "../common/clock.ts";
import { CodedError } from "../common/errors.ts";
import { type Attachment, attachmentKey } from "../common/ids.ts";
import { KeyedLock } from "../common/keyed-lock.ts";
import type { Logger } from "../common/log.ts";
import { CallOrder } from "./call-order.ts";

type Running = { readonly startedAt: number; readonly overtaken: AbortController };

/**
 * Where calls for one attachment queue up: one at a time, and in the order in which their plugins began, whatever order they arrive in. A DEL ends an
 * older ADD that runs, and an older pod; it does nothing to a newer one. An ADD that is older than a DEL is refused: the runtime has forgotten
 * it. Times are milliseconds of the machine's boot clock.
 *
 * The order is this daemon's memory. A daemon that starts finds pods without the time of their ADD, and needs none: an ADD leaves no older DEL in the
 * queue (DelQueue.dropOlder), so what the queue holds at start is newer than every pod that is found, and it is drained before new ADDs are served.
 */
export class AttachmentDesk {
  private readonly lock = new KeyedLock();
  private readonly running = new Map<string, Running>();
  private readonly order: CallOrder;
  private readonly log: Logger;

  constructor(clock: Clock, log: Logger) {
    this.order = new CallOrder(clock);
    this.log = log;
  }

  /** Runs an ADD's work when its turn comes. The signal given to it aborts with the caller's, or when a newer DEL comes. */
  async add<T>(
    attachment: Attachment,
    startedAt: number,
    signal: AbortSignal,
    work: (ended: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const key = attachmentKey(attachment);
    const overtaken = new AbortController();
    const ended = AbortSignal.any([signal, overtaken.signal]);
    return this.lock.run(
      key,
      async () => {
        if (startedAt <= this.order.lastDel(key)) throw overtakenBy(attachment);
        this.running.set(key, { startedAt, overtaken });
        try {
          const added = await work(ended);
          this.order.noteAdd(key, startedAt);
          return added;
        } finally {
          this.running.delete(key);
        }
      },
      ended,
    );
  }

  /**
   * Ends an older ADD that runs, waits for its undoing (or for a newer one's end), then runs a DEL's work. Undefined, and no work done, when an ADD that
   * began later has succeeded. `startedAt` as for add().
   */
  async del<T>(
    attachment: Attachment,
    startedAt: number,
    work: () => T | Promise<T>,
  ): Promise<T | undefined> {
    const key = attachmentKey(attachment);
    const running = this.running.get(key);
    if (running !== undefined && running.startedAt <= startedAt)
      running.overtaken.abort(overtakenBy(attachment));
    this.order.noteDel(key, startedAt);
    return this.lock.run(key, () => {
      if (this.order.lastAdd(key) <= startedAt) return work();
      this.log.info({ ...attachment }, "a DEL that is older than the ADD of this pod does nothing");
      return undefined;
    });
  }

  /** Runs work of another kind when no ADD and no DEL of the attachment runs. Throws the signal's reason when it aborts before. */
  between<T>(attachment: Attachment, signal: AbortSignal, work: () => T | Promise<T>): Promise<T> {
    return this.lock.run(attachmentKey(attachment), work, signal);
  }
}

function overtakenBy(attachment: Attachment): CodedError {
  return new CodedError(
    "attachment-ended",
    `container ${attachment.containerId} interface ${attachment.ifname}: a DEL came while this ADD was waiting or running`,
  );
}
