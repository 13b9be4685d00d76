/**
 * How long the guard pauses between repairs. Two agents that disagree must not burn a core, so pauses grow while damage is done again soon after its
 * repair. Events that turn out to be nothing make them grow too, but little: what is real damage among them is repaired within a second.
 */

const FIGHT_MS = { first: 50, max: 5_000 } as const;
const NEEDLESS_MS = { first: 50, max: 500 } as const;

export class RepairPace {
  private fightMs: number = FIGHT_MS.first;
  private needlessMs: number = NEEDLESS_MS.first;
  private repairedAt = Number.NEGATIVE_INFINITY;
  private needlessAt = Number.NEGATIVE_INFINITY;

  /** True for what was noticed so soon after the last repair that somebody seems to undo it. */
  isFight(noticedAt: number): boolean {
    return noticedAt - this.repairedAt < 2 * this.fightMs;
  }

  /** The pause after a repair, or a look that found nothing to repair, that ended at `now`. */
  pauseAfter(isFight: boolean, wasNeeded: boolean, now: number): number {
    return wasNeeded ? this.afterRepair(isFight, now) : this.afterNeedless(isFight, now);
  }

  private afterRepair(isFight: boolean, now: number): number {
    this.fightMs = isFight ? Math.min(FIGHT_MS.max, this.fightMs * 2) : FIGHT_MS.first;
    this.repairedAt = now;
    return this.fightMs;
  }

  /** What a repair itself sets off comes here, and is no new damage. */
  private afterNeedless(isFight: boolean, now: number): number {
    const isSoon = now - this.needlessAt < 4 * this.needlessMs;
    this.needlessMs = isSoon ? Math.min(NEEDLESS_MS.max, this.needlessMs * 2) : NEEDLESS_MS.first;
    this.needlessAt = now;
    return isFight ? Math.max(this.fightMs, this.needlessMs) : this.needlessMs;
  }
}
