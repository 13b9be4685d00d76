/**
 * When to ask the cloud what there is. Its answer is the truth and costs calls that all nodes of the account share, so it is asked when something says
 * that it has changed: an own write whose outcome is unknown, a link of the host, what the metadata shows (which costs nothing). For what nobody tells,
 * it is asked now and then all the same. No I/O; times are milliseconds of one clock.
 */

import type { PoolSettings } from "./settings.ts";

/** Where there is no metadata to look at. */
const DESCRIBE_EVERY_MS = 60_000;
/** Where the metadata would have told. */
const BACKSTOP_EVERY_MS = 1_800_000;
const GLANCE_EVERY_MS = 60_000;
/** For what anybody can set off: once for all that comes within this time. */
const DOUBTED_EVERY_MS = 5_000;

export type Ask = "describe" | "glance" | undefined;

export class CloudWatch {
  private readonly random: () => number;
  private describedAt = Number.NEGATIVE_INFINITY;
  private backstopMs = BACKSTOP_EVERY_MS;
  private glancedAt = Number.NEGATIVE_INFINITY;
  private glanceEveryMs = GLANCE_EVERY_MS;
  private text: string | undefined;
  private hasGlance = true;
  /** The last answer may be wrong: ask before anything else. */
  private isStale = true;
  private isDoubted = false;
  private usesExisting: boolean | undefined;
  /** What the metadata shows next is what we have made it show. */
  private isOwnDoing = true;

  constructor(random: () => number) {
    this.random = random;
  }

  /** The last answer is not to be trusted any more. */
  stale(): void {
    this.isStale = true;
  }

  /** What is taken of an answer: with other settings, the last one is not enough. */
  reading({ useExisting }: Pick<PoolSettings, "useExisting">): void {
    if (useExisting !== this.usesExisting) this.stale();
    this.usesExisting = useExisting;
  }

  /** As stale(), for what anybody can set off. */
  doubted(): void {
    this.isDoubted = true;
  }

  /** An own write has changed what there is, and its answer told all of it. */
  changed(): void {
    this.isOwnDoing = true;
  }

  /** Before the question: what is told meanwhile may be newer than its answer. */
  describing(now: number): void {
    this.isStale = this.isDoubted = false;
    this.describedAt = now;
    this.backstopMs = BACKSTOP_EVERY_MS * (0.75 + this.random() / 2);
    this.isOwnDoing = true;
  }

  /** Before the question. */
  glancing(now: number): void {
    this.glancedAt = now;
    this.glanceEveryMs = GLANCE_EVERY_MS * (0.75 + this.random() / 2);
  }

  /** What the metadata shows; undefined where a cloud has none. Says whether the cloud should be asked. */
  glanced(text: string | undefined): void {
    this.hasGlance = text !== undefined;
    if (!this.isOwnDoing && text !== this.text) this.isStale = true;
    this.isOwnDoing = false;
    this.text = text;
  }

  /** What to ask now. `soonerMs`: something in doubt asks for the next answer so long after the last one. */
  ask(now: number, soonerMs: number | undefined): Ask {
    if (this.isStale || this.untilDescribeMs(now, soonerMs) <= 0) return "describe";
    return this.untilGlanceMs(now) <= 0 ? "glance" : undefined;
  }

  /** Milliseconds until the next question, if nothing happens before. */
  pauseMs(now: number, soonerMs: number | undefined): number {
    return Math.max(0, Math.min(this.untilDescribeMs(now, soonerMs), this.untilGlanceMs(now)));
  }

  private untilDescribeMs(now: number, soonerMs: number | undefined): number {
    const every = Math.min(
      this.hasGlance ? this.backstopMs : DESCRIBE_EVERY_MS,
      this.isDoubted ? DOUBTED_EVERY_MS : Number.POSITIVE_INFINITY,
      soonerMs ?? Number.POSITIVE_INFINITY,
    );
    return this.describedAt + every - now;
  }

  private untilGlanceMs(now: number): number {
    return this.hasGlance ? this.glancedAt + this.glanceEveryMs - now : Number.POSITIVE_INFINITY;
  }
}
