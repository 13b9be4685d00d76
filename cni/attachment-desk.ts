import { CodedError } from "../common/errors.ts";
import { type Attachment, attachmentKey } from "../common/ids.ts";
import { KeyedLock } from "../common/keyed-lock.ts";

/** How long a DEL is remembered, so that an ADD it overtook is refused: longer than any runtime keeps a call waiting. */
const TOMBSTONE_MS = 10 * 60_000;

/** Removes the links that wait for it, and resolves when they are gone. */
export type RemoveDyingLinks = () => Promise<unknown>;

/**
 * Where calls for one attachment queue up: one at a time, a DEL ends the ADD that runs, and an ADD that started before a finished DEL
 * of the same attachment is refused (the runtime has forgotten it). Times are milliseconds of the machine's boot clock.
 */
export class AttachmentDesk {
  private readonly lock = new KeyedLock();
  private readonly running = new Map<string, AbortController>();
  private readonly tombstones = new Map<string, number>();
  private readonly removeDyingLinks: RemoveDyingLinks;
  private readonly dying = new Map<string, Promise<unknown>>();
  private sweep: Promise<unknown> | undefined;

  constructor(removeDyingLinks: RemoveDyingLinks) {
    this.removeDyingLinks = removeDyingLinks;
  }

  /** Runs an ADD's work when its turn comes. The signal given to it aborts with the caller's, or when a DEL comes. */
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
        const deletedAt = this.tombstones.get(key);
        if (deletedAt !== undefined && startedAt <= deletedAt) throw overtakenBy(attachment);
        this.running.set(key, overtaken);
        try {
          return await work(ended);
        } finally {
          this.running.delete(key);
        }
      },
      ended,
    );
  }

  /** Ends a running ADD of the attachment, waits for its undoing, then runs a DEL's work. `startedAt` as for add(). */
  async del<T>(attachment: Attachment, startedAt: number, work: () => T | Promise<T>): Promise<T> {
    const key = attachmentKey(attachment);
    this.running.get(key)?.abort(overtakenBy(attachment));
    this.bury(key, startedAt);
    return this.lock.run(key, work);
  }

  /** A link has been put into the dying group: removes the group soon. Several links of one moment go with one message. */
  linkIsDying(linkName: string): void {
    this.sweep ??= Promise.resolve()
      .then(() => {
        this.sweep = undefined;
        return this.removeDyingLinks();
      })
      .catch(() => undefined);
    const sweep = this.sweep;
    this.dying.set(linkName, sweep);
    void sweep.then(() => {
      if (this.dying.get(linkName) === sweep) this.dying.delete(linkName);
    });
  }

  /** Resolves when no link of that name waits for its removal. */
  async linkGone(linkName: string): Promise<void> {
    await this.dying.get(linkName);
  }

  private bury(key: string, at: number): void {
    for (const [old, time] of this.tombstones) {
      if (time > at - TOMBSTONE_MS) break;
      this.tombstones.delete(old);
    }
    const known = this.tombstones.get(key) ?? at;
    this.tombstones.delete(key);
    this.tombstones.set(key, Math.max(known, at));
  }
}

function overtakenBy(attachment: Attachment): CodedError {
  return new CodedError(
    "attachment-ended",
    `container ${attachment.containerId} interface ${attachment.ifname}: a DEL came while this ADD was waiting or running`,
  );
}
