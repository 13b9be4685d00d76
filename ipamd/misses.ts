/**
 * What the cloud's answers have left out. One answer is a weak fact: it may be older than what it omits. Two answers with a settling time
 * between them are a strong one. No I/O; times are milliseconds of one clock.
 */

/** Between the first answer that omits a thing and the one that confirms it: two answers of one moment may have one cause. */
export const CONFIRM_AFTER_MS = 10_000;
/** How long a cloud's list may lag behind its own answer to a write. */
export const LAG_MAX_MS = 30_000;

export class Misses {
  private readonly since = new Map<string, number>();
  private readonly confirmed = new Set<string>();
  /** Given by the cloud's own answer to a write, and not listed yet. */
  private readonly young = new Map<string, number>();

  /** The cloud has just given it: a list that does not have it yet is older than that, for a while. */
  given(key: string, now: number): void {
    this.settled(key);
    this.young.set(key, now);
  }

  /** Nothing is in doubt about it: the cloud lists it, or it is not ours any more. */
  settled(key: string): void {
    this.since.delete(key);
    this.confirmed.delete(key);
    this.young.delete(key);
  }

  /** The cloud does not list it: what that is worth. Idempotent for one answer. */
  missed(key: string, now: number): "lag" | "doubt" | "gone" {
    const givenAt = this.young.get(key);
    if (givenAt !== undefined && now - givenAt < LAG_MAX_MS) return "lag";
    const since = this.since.get(key);
    if (since === undefined) this.since.set(key, now);
    if (since === undefined || now - since < CONFIRM_AFTER_MS) return "doubt";
    this.confirmed.add(key);
    return "gone";
  }

  /** The last answer about it omitted it. */
  isMissing(key: string): boolean {
    return this.since.has(key);
  }

  /** The last answer about it was the one that confirmed it. */
  isGone(key: string): boolean {
    return this.confirmed.has(key);
  }

  /** True while something is missing that no second answer has confirmed yet: the cloud should be asked again soon. */
  get areOpen(): boolean {
    return this.since.size > this.confirmed.size;
  }
}
