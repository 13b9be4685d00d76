/**
 * What the cloud's errors have taught, for as long as it is worth remembering: which subnet is full, which interface takes no more, what to leave alone
 * for a while. So one thing that is full does not stop the others, and nothing is asked for again and again.
 */
import type { Clock } from "../common/clock.ts";
import { describeError } from "../common/errors.ts";
import type { InterfaceId, SubnetId } from "../common/ids.ts";
import { CloudError, type CloudErrorCode } from "../providers/errors.ts";
import { podsOf } from "./plan/capacity.ts";
import type { Action, Obstacles } from "./plan/facts.ts";
import type { PoolSettings } from "./settings.ts";

/** Somebody may free an address at any time, and asking costs one call. */
const FULL_SUBNET_FOR_MS = 60_000;
/** An aligned range becomes free less often than an address. */
const BLOCKLESS_FOR_MS = 300_000;
/** What contradicts the limits that we know of does not change soon. */
const LIMIT_FOR_MS = 120_000;
/** What the role may not do, and what the cloud calls malformed, changes when a person changes it. */
const REFUSED_FOR_MS = 60_000;
const BACKOFF_MS = { first: 500, max: 60_000 } as const;

type Kind = "growth" | "creation" | "release";
type Cause = { readonly code: CloudErrorCode; readonly why: string };
/** `atMost`: how many addresses may be asked for, where more were refused. */
type Entry = Cause & { readonly until: number; readonly atMost?: number };

/** One obstacle. `what` is its kind, and the subnet or interface if it is about one; it ends in `forMs` at the latest. */
export type ObstacleView = {
  readonly what: string;
  readonly code: CloudErrorCode;
  readonly why: string;
  readonly forMs: number;
};

export class ObstacleBook {
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly entries = new Map<string, Entry>();
  private readonly failures = new Map<string, number>();

  constructor(clock: Clock, random: () => number) {
    this.clock = clock;
    this.random = random;
  }

  /** An action has failed. True when its outcome is unknown, or the cloud is not as we thought: it should be asked. */
  note(action: Action, error: unknown): boolean {
    const kind = kindOf(action);
    const code = error instanceof CloudError ? error.code : "unavailable";
    const cause = { code, why: describeError(error) };
    const subnets = error instanceof CloudError ? error.subnetIds : [];
    switch (code) {
      case "subnet-exhausted":
        this.noteExhausted(action, subnets, cause);
        return false;
      case "no-free-block":
        for (const id of subnets)
          if (!isAvoided(action, id)) this.set(`blockless-subnet ${id}`, cause, BLOCKLESS_FOR_MS);
        // the adapter has tried every subnet of the choice
        if (action.kind === "create") this.set("blocks", cause, BLOCKLESS_FOR_MS);
        return false;
      case "limit-reached":
        this.set(
          action.kind === "create" ? "creation" : `full-interface ${interfaceOf(action)}`,
          cause,
          LIMIT_FOR_MS,
        );
        return true;
      case "unauthorized":
        this.set(kind, cause, REFUSED_FOR_MS);
        return false;
      case "throttled":
        this.backOff(kind, cause);
        // of what was to be taken back some may have been taken, by a try whose answer was lost
        return kind === "release";
      default:
        // what one interface refuses says nothing of the others
        this.backOff(kind === "growth" ? `full-interface ${interfaceOf(action)}` : kind, cause);
        return true;
    }
  }

  /** The cloud gives all or nothing: what is refused may be too much, and not the last. So half is asked for, down to one. */
  private noteExhausted(action: Action, subnets: readonly SubnetId[], cause: Cause): void {
    const asked = askedOf(action);
    const half = Math.floor(asked / 2);
    for (const id of subnets.filter((one) => !isAvoided(action, one))) {
      const key = half > 0 && action.kind === "assign" ? `nearly-full-subnet ${id}` : `full-subnet ${id}`;
      this.set(key, cause, FULL_SUBNET_FOR_MS, half);
    }
    if (action.kind === "create")
      this.set(half > 0 ? "large-creation" : "creation", cause, FULL_SUBNET_FOR_MS, half);
  }

  /** An action has succeeded. */
  done(action: Action): void {
    const kind = kindOf(action);
    for (const key of [kind, `full-interface ${interfaceOf(action)}`]) {
      this.failures.delete(key);
      this.entries.delete(key);
    }
  }

  /** What stands now. `cloudWrites` is the operator's brake. */
  current({ cloudWrites }: PoolSettings): Obstacles {
    this.forgetOld();
    const growth = cloudWrites === "none" ? "the setting cloud-writes=none forbids it" : undefined;
    const release = cloudWrites === "all" ? undefined : `the setting cloud-writes=${cloudWrites} forbids it`;
    return {
      fullSubnets: this.named<SubnetId>("full-subnet "),
      subnetAtMost: new Map(
        [...this.named<SubnetId>("nearly-full-subnet ")].map((id) => [
          id,
          this.entries.get(`nearly-full-subnet ${id}`)?.atMost ?? 1,
        ]),
      ),
      creationAtMost: this.entries.get("large-creation")?.atMost,
      blocklessSubnets: this.named<SubnetId>("blockless-subnet "),
      noBlocks: this.entries.has("blocks"),
      fullInterfaces: this.named<InterfaceId>("full-interface "),
      noCreation: this.entries.get("creation")?.why,
      noGrowth: growth ?? this.entries.get("growth")?.why,
      noRelease: release ?? this.entries.get("release")?.why,
    };
  }

  /** Milliseconds until the first of them ends; undefined when there is none. */
  nextEndMs(): number | undefined {
    this.forgetOld();
    const ends = [...this.entries.values()].map(({ until }) => until);
    return ends.length === 0 ? undefined : Math.max(0, Math.min(...ends) - this.clock.now());
  }

  list(): ObstacleView[] {
    this.forgetOld();
    const now = this.clock.now();
    return [...this.entries].map(([what, { code, why, until }]) => {
      return { what, code, why, forMs: Math.round(until - now) };
    });
  }

  private named<Id extends string>(prefix: string): ReadonlySet<Id> {
    const keys = [...this.entries.keys()].filter((key) => key.startsWith(prefix));
    return new Set(keys.map((key) => key.slice(prefix.length) as Id));
  }

  private backOff(key: string, cause: Cause): void {
    const failures = this.failures.get(key) ?? 0;
    this.failures.set(key, failures + 1);
    this.set(key, cause, Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** Math.min(failures, 10)));
  }

  /** Nodes that were refused together do not come back together. */
  private set(key: string, cause: Cause, forMs: number, atMost?: number): void {
    const until = this.clock.now() + forMs * (0.75 + this.random() / 2);
    this.entries.set(key, { ...cause, until, ...(atMost !== undefined && { atMost }) });
  }

  private forgetOld(): void {
    const now = this.clock.now();
    for (const [key, { until }] of this.entries) if (until <= now) this.entries.delete(key);
  }
}

function kindOf({ kind }: Action): Kind {
  if (kind === "assign") return "growth";
  return kind === "create" ? "creation" : "release";
}

/** Addresses of IPv4 in what was asked for. */
function askedOf(action: Action): number {
  if (action.kind !== "assign" && action.kind !== "create") return 0;
  const requests = action.kind === "assign" ? action.requests : action.units;
  return podsOf(
    requests.filter(({ family }) => family === 4),
    [4],
  );
}

/** Nobody has asked it: that it was named again says nothing new of it. */
function isAvoided(action: Action, id: SubnetId): boolean {
  return action.kind === "create" && action.avoid.includes(id);
}

function interfaceOf(action: Action): string {
  return action.kind === "create" ? "" : action.interfaceId;
}
