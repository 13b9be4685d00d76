/**
 * Addresses whose pod has ended and that no other pod may have yet. A period ends by the setting of that moment, not by the one of its beginning;
 * then connections of the old pod are forgotten, and the address is free. What fails is tried again with growing pauses.
 */
import type { Clock } from "../common/clock.ts";
import type { IpAddress } from "../common/ip.ts";
import type { Logger } from "../common/log.ts";
import { ToldOnce } from "./told-once.ts";

/** A shorter period counts within this time. */
const LOOK_EVERY_MS = 2_000;
const NOTHING_COOLS_MS = 3_600_000;
/** After a failure, however short the period is. */
const RETRY_MS = { first: 1_000, max: 60_000 } as const;

export type CoolingDeps = {
  readonly clock: Clock;
  readonly log: Logger;
  readonly cooldownMs: () => number;
  /** Deletes connections that hold an address. */
  readonly forgetConnections: (addresses: readonly IpAddress[]) => Promise<unknown>;
  /** The address may be given again. What it throws makes it cool for another period. */
  readonly setFree: (address: IpAddress) => void;
  /** Some addresses are free now. */
  readonly freed: () => void;
};

type Entry = {
  readonly address: IpAddress;
  readonly since: number;
  /** In a row. */
  readonly failures: number;
};

export class Cooling {
  private readonly deps: CoolingDeps;
  private readonly told: ToldOnce;
  private readonly entries = new Map<string, Entry>();
  private wake: (() => void) | undefined;

  constructor(deps: CoolingDeps) {
    this.deps = deps;
    this.told = new ToldOnce(deps.clock);
  }

  /** Its period begins now. */
  begin(address: IpAddress): void {
    this.entries.set(address.toString(), { address, since: this.deps.clock.now(), failures: 0 });
    this.wake?.();
  }

  list(): IpAddress[] {
    return [...this.entries.values()].map(({ address }) => address);
  }

  /** Ends periods until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waitMs = this.untilNextMs();
      if (waitMs > 0) await this.sleepOrWake(waitMs, signal);
      else await this.endDue();
    }
  }

  private untilNextMs(): number {
    const now = this.deps.clock.now();
    let waitMs = this.entries.size === 0 ? NOTHING_COOLS_MS : LOOK_EVERY_MS;
    for (const entry of this.entries.values()) waitMs = Math.min(waitMs, this.endOf(entry) - now);
    return waitMs;
  }

  private endOf({ since, failures }: Entry): number {
    const retryMs = Math.min(RETRY_MS.max, RETRY_MS.first * 2 ** (failures - 1));
    return since + Math.max(this.deps.cooldownMs(), failures === 0 ? 0 : retryMs);
  }

  private async endDue(): Promise<void> {
    const now = this.deps.clock.now();
    const due = [...this.entries.values()].filter((entry) => this.endOf(entry) <= now);
    const addresses = due.map(({ address }) => address);
    try {
      await this.deps.forgetConnections(addresses);
      this.told.works("forget");
    } catch (error) {
      // an address whose old connections may live is not given: it cools for another period
      const level = this.told.level("forget", error);
      this.deps.log[level](
        { err: error, addresses: addresses.map(String) },
        "connections of cooling addresses not forgotten",
      );
      for (const entry of due) this.again(entry);
      return;
    }
    for (const entry of due) this.end(entry);
    this.deps.freed();
  }

  private end(entry: Entry): void {
    const address = entry.address.toString();
    try {
      this.deps.setFree(entry.address);
      this.entries.delete(address);
      this.told.works(address);
    } catch (error) {
      this.deps.log[this.told.level(address, error)](
        { err: error, address },
        "a cooled address could not be freed",
      );
      this.again(entry);
    }
  }

  private again({ address, failures }: Entry): void {
    const since = this.deps.clock.now();
    this.entries.set(address.toString(), { address, since, failures: failures + 1 });
  }

  private async sleepOrWake(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.wake = () => woken.abort();
    try {
      await this.deps.clock.sleep(ms, AbortSignal.any([signal, woken.signal]));
    } catch {
      // woken, or ended: the loop looks which
    } finally {
      this.wake = undefined;
    }
  }
}
