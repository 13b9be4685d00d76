/**
 * The order of start and stop. What runs on this node comes first: the kernel's journal is read, DEL and known addresses are served, and only
 * then the cloud is asked. So a cloud that is away changes nothing for running pods, and held addresses can be given.
 */
import path from "node:path";
import { DelQueue } from "./del-queue.ts";
import { podRules } from "./host-network/plan.ts";
import { followHostSettings } from "./host-settings.ts";
import { type Inspect, startInspect } from "./inspect.ts";
import { sweepLeaks } from "./leak-sweep.ts";
import { leftoverProblems, reportLeftovers } from "./leftover-facts.ts";
import { buildParts, type DaemonDeps, type Parts } from "./parts.ts";
import { poolView } from "./pool-view.ts";
import { readKernel, recover } from "./recovery.ts";
import { CniServer, type Served } from "./server.ts";
import { bootClockMs, buildVerbs, type VerbDeps, type VerbsOptions } from "./verbs.ts";

/** How long a stop waits for running ADDs and DELs. */
const STOP_DEADLINE_MS = 5_000;

export class Daemon {
  private readonly deps: DaemonDeps;
  private readonly parts: Parts;
  private readonly bornAt = bootClockMs();
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[] = [];
  private server: CniServer | undefined;
  private queue: DelQueue | undefined;
  private view: Inspect | undefined;

  constructor(deps: DaemonDeps) {
    this.deps = deps;
    this.parts = buildParts(deps, this.stopping.signal);
  }

  /** Resolves when pods can be served from what is held; the cloud is asked behind it. Throws what keeps the daemon from starting. */
  async start(): Promise<void> {
    const { config, survey, clock, log } = this.deps;
    await this.parts.readiness.removeStaleConflist();
    // the socket is claimed first: a second daemon must not touch the kernel
    const recovered = Promise.withResolvers<void>();
    const verbs = this.buildVerbs(recovered.promise);
    this.server = await CniServer.start({
      path: config.socketPath,
      verbs: { ...verbs, DEL: (request, signal) => recovered.promise.then(() => verbs.DEL(request, signal)) },
      peers: this.deps.peers,
      clock,
      log,
      onServed: (served) => this.countServed(served),
    });
    try {
      await survey.requireFeatures();
      await this.recover();
      const folder = path.join(path.dirname(config.socketPath), "del");
      this.queue = new DelQueue({ folder, verbs, clock, log });
      await this.queue.start();
      this.view = await startInspect(config.inspect, this.sources());
      recovered.resolve();
    } catch (error) {
      await this.server.stop(0);
      throw error;
    }
    log.info({ socket: config.socketPath, inspect: `${this.view.host}:${this.view.port}` }, "serving");
    this.startBackground();
  }

  /** Lets running calls end, then stops everything. The conflist and everything in the kernel stay: pods go on, and a runtime can still DEL. */
  async stop(): Promise<void> {
    const unfinished = await this.server?.stop(STOP_DEADLINE_MS);
    this.stopping.abort(new Error("the daemon is stopping"));
    await this.queue?.stop();
    await this.view?.close();
    await Promise.all(this.running);
    await this.parts.lostDels.done();
    await this.deps.kernel.close();
    this.deps.log.info({ unfinished: unfinished ?? 0 }, "stopped");
  }

  private buildVerbs(ready: Promise<void>) {
    const { config, settings, kernel, log, points } = this.deps;
    const { book: ipam, desk, dyingLinks, readiness, lostDels } = this.parts;
    const { families } = settings.current;
    const rulesOf: VerbDeps["rulesOf"] = ({ slot }) =>
      slot === undefined ? [] : families.flatMap((family) => podRules(slot, family));
    const hindrance = () => readiness.hindrance();
    const dropOlderDels: VerbDeps["dropOlderDels"] = async (...of) => this.queue?.dropOlder(...of);
    const delLost: VerbsOptions["delLost"] = ({ attachment }) => lostDels.add(attachment);
    const { bornAt } = this;
    return buildVerbs(
      { kernel, points, ipam, desk, dyingLinks, bornAt, dropOlderDels, rulesOf, hindrance },
      { log, addWaitMs: config.addWaitMs, ready, delLost },
    );
  }

  private startBackground(): void {
    const { survey, clock, settings, kube, log } = this.deps;
    const { readiness, book, guard, podEnds, reconciler, problems, uplinks, lostDels, adoption, news } =
      this.parts;
    const { signal } = this.stopping;
    const kick = () => reconciler.kick();
    const following = [
      followHostSettings({ settings, applyHost: () => adoption.applyHost(), log }),
      ...[settings, kube.pods, kube.node].map((source) => source.subscribe(kick)),
    ];
    signal.addEventListener("abort", () => {
      for (const one of following) one[Symbol.dispose]();
    });
    const isKnown = uplinks.list().some(({ isPrimary }) => isPrimary);
    const works = [
      readiness.run(isKnown, signal),
      book.runCooling(signal),
      guard.run(signal),
      podEnds.run(signal),
      reconciler.run(signal),
      news.run(signal),
      survey.run(problems, () => uplinks.list(), clock, signal),
      this.reportLeftovers(signal),
      this.sweepLeaks(signal),
      lostDels.addForgotten(),
    ];
    for (const work of works) {
      this.running.push(
        work.catch((err: unknown) => log.error({ err }, "a part of the daemon has ended: a bug")),
      );
    }
  }

  private sweepLeaks(signal: AbortSignal): Promise<void> {
    const { network, settings, clock, log } = this.deps;
    const mayRemove = () => settings.current.pool.cloudWrites === "all";
    return sweepLeaks({ network, mayRemove, clock, log, random: Math.random }, signal);
  }

  private reportLeftovers(signal: AbortSignal): Promise<void> {
    const { config, kernel, clock } = this.deps;
    const folder = config.conflistDir === undefined ? {} : { networkFolder: config.conflistDir };
    const look = () => leftoverProblems({ host: kernel.host, ...folder });
    return reportLeftovers(look, this.parts.problems, clock, signal);
  }

  private async recover(): Promise<void> {
    const { kernel, hostNetwork, log } = this.deps;
    const { guard, uplinks, pool, book, adoption, repairs } = this.parts;
    guard.watch();
    const recovered = recover(readKernel(kernel));
    uplinks.restore(recovered);
    for (const { slot, poolKey } of uplinks.list()) pool.addUplink(slot, poolKey);
    for (const { slot, unit, releasing } of recovered.units) {
      pool.hold(slot, unit);
      if (releasing) pool.startRelease(slot, unit);
    }
    book.restore(recovered);
    adoption.restore(await hostNetwork.rememberedCidrs(), recovered.orphans);
    repairs.cleanUp(recovered);
    if (uplinks.list().length > 0) await this.restoreAtStart();
    const { leases, cooling, units, dyingLinks } = recovered;
    const counts = {
      leases: leases.length,
      cooling: cooling.length,
      units: units.length,
      dying: dyingLinks.length,
    };
    log.info({ ...counts, uplinks: uplinks.list().length }, "read back from the kernel");
  }

  /** What cannot be put in order now is tried again by the guard: DEL and known addresses are served all the same. */
  private async restoreAtStart(): Promise<void> {
    try {
      await this.parts.repairs.everything();
    } catch (err) {
      this.deps.log.warn({ err }, "the host's network is not in order yet");
      this.parts.guard.look("a start that could not finish");
    }
  }

  private sources() {
    const { metrics, settings, kube, clock } = this.deps;
    const { problems, poolMetrics } = this.parts;
    return {
      problems: () => problems.list(),
      metrics: () => {
        poolMetrics.refresh(this.parts);
        return metrics.text();
      },
      pool: () => poolView(this.parts, { settings, node: kube.node, clock }),
    };
  }

  private countServed({ command, exitCode, durationMs }: Served): void {
    this.deps.metrics
      .histogram("causeway_cni_request_seconds", "CNI requests in the daemon, from frame to answer.")
      .observe(durationMs / 1000, { command, result: exitCode === 0 ? "ok" : "error" });
  }
}
