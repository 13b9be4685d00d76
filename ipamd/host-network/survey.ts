import type { Clock } from "../../common/clock.ts";
import { LOCAL_TABLE, METRIC, PODS_TABLE, PROTOCOL } from "../../common/constants.ts";
import { CodedError } from "../../common/errors.ts";
import type { Family } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import type { Xtables, XtablesBackend } from "../../common/kernel/xtables.ts";
import type { ProblemBoard } from "../problems.ts";
import { type FeatureDoors, findMissing } from "./features.ts";
import { isOurAccept } from "./forward-accepts.ts";
import { findProblems, type HostFacts, isForeign } from "./problems.ts";

export type SurveyDeps = Omit<FeatureDoors, "host"> & {
  readonly kernel: Pick<Kernel, "host" | "events">;
  readonly xtables: Xtables;
  readonly families: readonly Family[];
};

/** What sends no event is looked at this often: xtables rules, routes in tables of others. */
const LOOK_EVERY_MS = 30_000;
/** Rules of one moment are looked at together, and never more often than this. */
const GATHER_MS = 1_000;

/** Looks at the host for what is missing, and for what others have that is at odds with us. */
export class HostSurvey {
  private readonly deps: SurveyDeps;

  constructor(deps: SurveyDeps) {
    this.deps = deps;
  }

  /** Throws CodedError `host-refused`, which names everything that is missing, or KernelError. Leaves nothing behind. */
  async requireFeatures(): Promise<void> {
    const { kernel, families } = this.deps;
    const missing = await findMissing({ ...this.deps, host: kernel.host }, families);
    if (missing.length > 0) throw new CodedError("host-refused", `cannot start: ${missing.join("; ")}`);
  }

  /** Reports to the board what it finds, at once, soon after others have changed rules, and by time; until the signal aborts. Never throws. */
  async run(
    board: ProblemBoard,
    uplinks: () => HostFacts["uplinks"],
    clock: Clock,
    signal: AbortSignal,
  ): Promise<void> {
    let woken = new AbortController();
    using _ = this.deps.kernel.events.subscribe(({ kind }) => {
      if (kind === "rule" || kind === "lost") woken.abort();
    });
    while (!signal.aborted) {
      woken = new AbortController();
      await board
        .attempt("host-not-surveyed", "warning", "the host cannot be looked at", async () =>
          board.report("host", findProblems(await this.gather(uplinks()))),
        )
        .catch(() => undefined);
      await clock.sleep(LOOK_EVERY_MS, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
      await clock.sleep(GATHER_MS, signal).catch(() => undefined);
    }
  }

  /** Throws KernelError. */
  async gather(uplinks: HostFacts["uplinks"]): Promise<HostFacts> {
    const { families, kernel } = this.deps;
    const { rules: ruleDoor, routes: routeDoor, sysctl } = kernel.host;
    const rules = families.flatMap((family) => ruleDoor.list(family));
    const tables = new Set([LOCAL_TABLE, ...rules.filter(isForeign).map(({ table }) => table)]);
    const routes = families.flatMap((family) =>
      [...tables].flatMap((table) => routeDoor.list({ family, table })),
    );
    const units = families
      .flatMap((family) => routeDoor.list({ family, table: PODS_TABLE, protocol: PROTOCOL }))
      .filter(({ metric }) => metric === METRIC.unit)
      .map(({ destination }) => destination);
    const isDisabled = (name: string) => sysctl.get(`net/ipv6/conf/${name}/disable_ipv6`) === "1";
    const names = uplinks.map(({ linkName }) => linkName);
    const ipv6DisabledOn = families.includes(6) ? names.filter(isDisabled) : [];
    return { rules, routes, units, uplinks, ipv6DisabledOn, xtables: await this.xtablesOfOthers() };
  }

  private async xtablesOfOthers(): Promise<HostFacts["xtables"]> {
    const { xtables, families } = this.deps;
    const found: { family: Family; backends: XtablesBackend[] }[] = [];
    for (const family of families) {
      const backends: XtablesBackend[] = [];
      for (const backend of ["nft", "legacy"] as const) {
        const rules = await xtables.readEntries({ backend, family });
        if (rules.some((rule) => !isOurAccept(rule))) backends.push(backend);
      }
      found.push({ family, backends });
    }
    return found;
  }
}
