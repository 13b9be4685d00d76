/**
 * The order of start and stop. What runs on this node comes first: the kernel's journal is read, DEL and known addresses are served, and only
 * then the cloud is asked. So a cloud that is away changes nothing for running pods, and held addresses can be given.
 */
import path from "node:path";
import { AttachmentDesk } from "../cni/attachment-desk.ts";
import { DyingLinks } from "../cni/dying-links.ts";
import { podLink } from "../cni/pod-link.ts";
import { planPodNetwork } from "../cni/pod-network.ts";
import { readPodsState, repair } from "../cni/repair.ts";
import type { Clock } from "../common/clock.ts";
import { DYING_GROUP, POD_LINK_PREFIX } from "../common/constants.ts";
import type { FaultPoints } from "../common/fault-points.ts";
import { ignoring } from "../common/kernel/errors.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { PeerCredentials } from "../common/kernel/peer-credentials.ts";
import type { Logger } from "../common/log.ts";
import type { Metrics } from "../common/metrics.ts";
import type { CloudNetwork } from "../providers/provider.ts";
import { Adoption } from "./adopt.ts";
import { Arrivals } from "./arrivals.ts";
import { Chain } from "./chain.ts";
import type { Config } from "./config.ts";
import { knowDamage } from "./damage.ts";
import { DelQueue } from "./del-queue.ts";
import { Guard } from "./guard.ts";
import type { HostNetwork } from "./host-network/host-network.ts";
import { podRules } from "./host-network/plan.ts";
import type { HostSurvey } from "./host-network/survey.ts";
import { type Inspect, startInspect } from "./inspect.ts";
import { Journal } from "./journal.ts";
import { LeaseBook, leaseFields } from "./lease-book.ts";
import { leftoverProblems } from "./leftover-facts.ts";
import { LostDels } from "./lost-dels.ts";
import { PodEnds } from "./pod-ends.ts";
import { Pool } from "./pool.ts";
import { poolView } from "./pool-view.ts";
import { cloudProblems, ProblemBoard } from "./problems.ts";
import { Readiness } from "./readiness.ts";
import { Reconciler } from "./reconcile.ts";
import { type Recovered, readKernel, recover } from "./recovery.ts";
import { CniServer, type Served } from "./server.ts";
import type { Settings } from "./settings.ts";
import { Uplinks } from "./uplinks.ts";
import { bootClockMs, buildVerbs, type VerbDeps, type VerbsOptions } from "./verbs.ts";

export type DaemonDeps = {
  readonly config: Config;
  readonly settings: Settings;
  readonly kernel: Kernel;
  readonly peers: PeerCredentials;
  readonly network: CloudNetwork;
  readonly hostNetwork: HostNetwork;
  readonly survey: HostSurvey;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly points: FaultPoints;
};

/** How long a stop waits for running ADDs and DELs. */
const STOP_DEADLINE_MS = 5_000;

export class Daemon {
  private readonly deps: DaemonDeps;
  private readonly uplinks: Uplinks;
  private readonly bornAt = bootClockMs();
  private readonly pool = new Pool();
  private readonly book: LeaseBook;
  private readonly problems: ProblemBoard;
  private readonly adoption: Adoption;
  private readonly reconciler: Reconciler;
  private readonly desk: AttachmentDesk;
  private readonly dyingLinks: DyingLinks;
  private readonly guard: Guard;
  private readonly readiness: Readiness;
  private readonly lostDels: LostDels;
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[] = [];
  private server: CniServer | undefined;
  private queue: DelQueue | undefined;
  private view: Inspect | undefined;

  constructor(deps: DaemonDeps) {
    this.deps = deps;
    const { config, kernel, clock, log, metrics, settings, points } = deps;
    this.problems = new ProblemBoard({
      clock,
      log,
      gauge: metrics.gauge("causeway_problems", "What is wrong on this node, by code."),
    });
    const journal = new Journal(kernel, points);
    this.uplinks = new Uplinks(kernel.host);
    this.book = new LeaseBook({
      pool: this.pool,
      journal,
      clock,
      log,
      families: settings.families,
      cooldownMs: () => settings.cooldownMs,
      uplink: (slot) => this.uplinks.get(slot),
      podMtuBytes: () => settings.podMtuBytes,
      forgetConnections: (addresses) => kernel.slow.forgetConnections(addresses),
      demandChanged: () => this.reconciler.kick(),
      limit: () => this.reconciler.limit(),
    });
    const { hostNetwork, network } = deps;
    this.adoption = new Adoption({
      kernel,
      hostNetwork,
      uplinks: this.uplinks,
      pool: this.pool,
      journal,
      book: () => this.book,
      clock,
      log,
    });
    this.reconciler = new Reconciler({
      network,
      adoption: this.adoption,
      pool: this.pool,
      uplinks: this.uplinks,
      waiting: () => this.book.waiting(),
      passed: (error) => this.problems.report("cloud", cloudProblems(error)),
      families: settings.families,
      clock,
      log,
    });
    this.desk = new AttachmentDesk(clock, log);
    this.dyingLinks = new DyingLinks({
      removeGroup: () => kernel.slow.removeLinkGroup(DYING_GROUP, POD_LINK_PREFIX),
      clock,
      log,
      stopping: this.stopping.signal,
    });
    this.guard = this.buildGuard();
    const chain = new Chain({ ...config, signal: this.stopping.signal });
    this.lostDels = new LostDels({
      pluginDir: config.pluginDir,
      plugins: async () => (await chain.current()).plugins,
      hasLease: (containerId) => this.book.hasContainer(containerId),
      hasLink: (attachment) => kernel.host.links.find(podLink(attachment).hostName) !== undefined,
      clock,
      log,
      stopping: this.stopping.signal,
    });
    this.readiness = new Readiness({
      conflistDir: config.conflistDir,
      chain,
      heartbeatPath: path.join(path.dirname(config.socketPath), "alive"),
      bootId: kernel.bootId,
      clock,
      log,
      problems: this.problems,
      initialised: () => this.reconciler.initialised,
      limit: () => this.reconciler.limit(),
      slots: () => this.uplinks.list().map(({ slot }) => slot),
    });
  }

  /** Resolves when pods can be served from what is held; the cloud is asked behind it. Throws what keeps the daemon from starting. */
  async start(): Promise<void> {
    const { config, settings, kernel, clock, log, points } = this.deps;
    await this.readiness.removeStaleConflist();
    // the socket is claimed first: a second daemon must not touch the kernel
    const { book: ipam, desk, dyingLinks, bornAt } = this;
    const rulesOf: VerbDeps["rulesOf"] = ({ slot }) =>
      slot === undefined ? [] : settings.families.flatMap((family) => podRules(slot, family));
    const hindrance = () => this.readiness.hindrance();
    const dropOlderDels: VerbDeps["dropOlderDels"] = async (...of) => this.queue?.dropOlder(...of);
    const delLost: VerbsOptions["delLost"] = ({ attachment }) => this.lostDels.add(attachment);
    const recovered = Promise.withResolvers<void>();
    const verbs = buildVerbs(
      { kernel, points, ipam, desk, dyingLinks, bornAt, dropOlderDels, rulesOf, hindrance },
      { log, addWaitMs: config.addWaitMs, ready: recovered.promise, delLost },
    );
    this.server = await CniServer.start({
      path: config.socketPath,
      verbs: { ...verbs, DEL: (request, signal) => recovered.promise.then(() => verbs.DEL(request, signal)) },
      peers: this.deps.peers,
      clock,
      log,
      onServed: (served) => this.countServed(served),
    });
    const folder = path.dirname(config.socketPath);
    try {
      await this.deps.survey.requireFeatures();
      await this.recover();
      this.queue = new DelQueue({ folder: path.join(folder, "del"), verbs, clock, log });
      await this.queue.start();
      this.view = await startInspect(config.inspect, this.sources());
      recovered.resolve();
    } catch (error) {
      await this.server.stop(0);
      throw error;
    }
    log.info({ socket: config.socketPath, inspect: `${this.view.host}:${this.view.port}` }, "serving");
    const isKnown = this.uplinks.list().some(({ isPrimary }) => isPrimary);
    this.background(this.readiness.run(isKnown, this.stopping.signal));
    this.background(this.book.runCooling(this.stopping.signal));
    this.background(this.guard.run(this.stopping.signal));
    this.background(this.podEnds().run(this.stopping.signal));
    this.background(this.reconciler.run(this.stopping.signal));
    this.background(
      this.deps.survey.run(this.problems, () => this.uplinks.list(), clock, this.stopping.signal),
    );
    this.background(this.reportLeftovers());
    this.background(this.lostDels.addForgotten());
  }

  /** Lets running calls end, then stops everything. The conflist and everything in the kernel stay: pods go on, and a runtime can still DEL. */
  async stop(): Promise<void> {
    const unfinished = await this.server?.stop(STOP_DEADLINE_MS);
    this.stopping.abort(new Error("the daemon is stopping"));
    await this.queue?.stop();
    await this.view?.close();
    await Promise.all(this.running);
    await this.lostDels.done();
    await this.deps.kernel.close();
    this.deps.log.info({ unfinished: unfinished ?? 0 }, "stopped");
  }

  private async reportLeftovers(): Promise<void> {
    const { config, kernel } = this.deps;
    const folder = config.conflistDir === undefined ? {} : { networkFolder: config.conflistDir };
    this.problems.report("leftovers", await leftoverProblems({ host: kernel.host, ...folder }));
  }

  private async recover(): Promise<void> {
    const { kernel, hostNetwork, log } = this.deps;
    this.guard.watch();
    const recovered = recover(readKernel(kernel));
    this.uplinks.restore(recovered);
    for (const { slot, poolKey } of this.uplinks.list()) this.pool.addUplink(slot, poolKey);
    for (const { slot, unit, releasing } of recovered.units) {
      if (this.uplinks.get(slot) === undefined) continue;
      this.pool.hold(slot, unit);
      if (releasing) this.pool.startRelease(slot, unit);
    }
    this.book.restore(recovered);
    this.adoption.restore(await hostNetwork.rememberedCidrs(), recovered.orphans);
    this.cleanUp(recovered);
    if (this.uplinks.list().length > 0) await this.restoreAtStart();
    const { leases, cooling, units, dyingLinks } = recovered;
    const counts = {
      leases: leases.length,
      cooling: cooling.length,
      units: units.length,
      dying: dyingLinks.length,
    };
    log.info({ ...counts, uplinks: this.uplinks.list().length }, "read back from the kernel");
  }

  /** What cannot be put in order now is tried again by the guard: DEL and known addresses are served all the same. */
  private async restoreAtStart(): Promise<void> {
    try {
      await this.restoreEverything();
    } catch (err) {
      this.deps.log.warn({ err }, "the host's network is not in order yet");
      this.guard.look("a start that could not finish");
    }
  }

  /** Removes what a crash left half done. */
  private cleanUp(recovered: Recovered): void {
    const { kernel } = this.deps;
    for (const { index, name } of recovered.dyingLinks) {
      ignoring(["ENODEV"], () => kernel.host.links.change(index, { group: DYING_GROUP }));
      this.dyingLinks.add(name);
    }
    for (const route of recovered.strayRoutes) kernel.host.routes.remove(route);
    if (recovered.strayGenuine.length > 0) {
      kernel.nft.change(recovered.strayGenuine.map((element) => ({ op: "remove", element })));
    }
  }

  private restoreEverything(): Promise<readonly string[]> {
    return this.problems.attempt("host-network", "refused", "the host's network cannot be put in order", () =>
      this.restoreNow(),
    );
  }

  private async restoreNow(): Promise<readonly string[]> {
    this.endLostLeases();
    if (this.adoption.missLostLinks()) this.reconciler.kickFresh();
    const written = await this.adoption.applyHost();
    const routes = this.adoption.restoreJournal();
    const state = readPodsState(this.deps.kernel);
    const pods = this.book.ready().flatMap((lease) => repair(this.deps.kernel, lease, state));
    return [...written, ...routes, ...pods];
  }

  /** Leases whose link went while nobody saw it: events were lost. */
  private endLostLeases(): void {
    const names = new Set(this.deps.kernel.host.links.list("veth").map(({ name }) => name));
    for (const lease of this.book.ready()) {
      const { hostName } = podLink(lease.attachment);
      if (!names.has(hostName)) this.podLinkGone(hostName);
    }
  }

  private buildGuard(): Guard {
    const { kernel, clock, log, metrics, settings, hostNetwork } = this.deps;
    const { uplinks, book, pool, reconciler } = this;
    const arrivals = new Arrivals({
      uplinks,
      hasLink: (index) => kernel.host.links.find(index) !== undefined,
      view: () => reconciler.cloudView,
    });
    return new Guard({
      kernel,
      clock,
      log,
      looked: metrics.counter(
        "causeway_host_network_looks_total",
        "Whole looks at the host's network, after an event and by time.",
      ),
      repaired: metrics.counter(
        "causeway_host_network_repairs_total",
        "Repairs of what others changed on the host.",
      ),
      repairs: {
        everything: () => this.restoreEverything(),
        podLink: (name) => {
          const lease = book.findByLink(name);
          return lease === undefined ? [] : repair(kernel, lease);
        },
        podLinkGone: (name) => this.podLinkGone(name),
        forwardAccepts: () => hostNetwork.applyForward(),
        otherLink: (change, link) => {
          const arrival = arrivals.notice(change, link);
          if (arrival === "expected") reconciler.kickFresh();
          else if (arrival === "unknown") reconciler.kickFreshLater();
        },
        ...knowDamage({ uplinks, book, pool, families: settings.families }),
      },
    });
  }

  private podEnds(): PodEnds {
    const { kernel, clock, log } = this.deps;
    return new PodEnds({
      kernel,
      clock,
      log,
      leaseOf: (name) => this.book.findByLink(name),
      leases: () => this.book.ready(),
      repair: (leases) => {
        const state = readPodsState(kernel);
        return leases.flatMap((lease) => repair(kernel, lease, state));
      },
    });
  }

  private podLinkGone(linkName: string): void {
    // the news may be of an earlier link of that name, whose place this attachment's new one has taken
    if (this.deps.kernel.host.links.find(linkName) !== undefined) return;
    const lease = this.book.linkGone(linkName);
    if (lease === undefined) return;
    const { kernel, log } = this.deps;
    const changes = planPodNetwork(lease).genuine.map((element) => ({ op: "remove", element }) as const);
    // somebody may have removed the table: the guard is about to put it back, without these
    ignoring(["ENOENT"], () => kernel.nft.change(changes));
    log.info(leaseFields(lease), "pod gone without a DEL; its lease has ended");
    this.lostDels.add(lease.attachment);
  }

  private sources() {
    const { metrics } = this.deps;
    const held = metrics.gauge("causeway_pool_addresses", "Addresses held, by uplink, family and state.");
    return {
      problems: () => this.problems.list(),
      metrics: () => {
        for (const { slot, family, free, leased, cooling } of this.pool.summary()) {
          for (const [state, count] of Object.entries({ free, leased, cooling })) {
            held.set(count, { slot: String(slot), family: `ipv${family}`, state });
          }
        }
        return metrics.text();
      },
      pool: () =>
        poolView({
          uplinks: this.uplinks,
          pool: this.pool,
          book: this.book,
          reconciler: this.reconciler,
          problems: this.problems,
        }),
    };
  }

  private countServed({ command, exitCode, durationMs }: Served): void {
    this.deps.metrics
      .histogram("causeway_cni_request_seconds", "CNI requests in the daemon, from frame to answer.")
      .observe(durationMs / 1000, { command, result: exitCode === 0 ? "ok" : "error" });
  }

  private background(work: Promise<void>): void {
    this.running.push(
      work.catch((err: unknown) => this.deps.log.error({ err }, "a part of the daemon has ended: a bug")),
    );
  }
}
