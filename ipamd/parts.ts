/** The daemon's parts, made and tied together. Nothing runs yet, and neither the kernel nor the cloud is touched. */
import path from "node:path";
import { AttachmentDesk } from "../cni/attachment-desk.ts";
import { DyingLinks } from "../cni/dying-links.ts";
import { podLink } from "../cni/pod-link.ts";
import type { Clock } from "../common/clock.ts";
import { DYING_GROUP, POD_LINK_PREFIX } from "../common/constants.ts";
import type { FaultPoints } from "../common/fault-points.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { PeerCredentials } from "../common/kernel/peer-credentials.ts";
import type { Logger } from "../common/log.ts";
import type { Metrics } from "../common/metrics.ts";
import type { CloudNetwork } from "../providers/provider.ts";
import { Adoption } from "./adopt.ts";
import { Arrivals } from "./arrivals.ts";
import { Chain } from "./chain.ts";
import type { ClusterSources } from "./cluster-sources.ts";
import type { Config } from "./config.ts";
import { knowDamage } from "./damage.ts";
import { Demand } from "./demand.ts";
import { Guard } from "./guard.ts";
import type { HostNetwork } from "./host-network/host-network.ts";
import type { HostSurvey } from "./host-network/survey.ts";
import { HostRepairs } from "./host-repairs.ts";
import { Journal } from "./journal.ts";
import { LeaseBook } from "./lease-book.ts";
import { LostDels } from "./lost-dels.ts";
import { PodEnds } from "./pod-ends.ts";
import { Pool } from "./pool.ts";
import { PoolMetrics } from "./pool-metrics.ts";
import { PoolNews } from "./pool-news.ts";
import { poolState } from "./pool-state.ts";
import { cloudProblems, ProblemBoard } from "./problems.ts";
import { Readiness } from "./readiness.ts";
import { RecentLimit } from "./recent-limit.ts";
import { Reconciler } from "./reconcile.ts";
import { boardReport } from "./settings-report.ts";
import { Uplinks } from "./uplinks.ts";

/** What a daemon is given: its configuration, and the doors to everything outside. */
export type DaemonDeps = ClusterSources & {
  readonly config: Config;
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

export type Parts = ReturnType<typeof buildParts>;

/** `stopping` ends what goes on by itself. */
export function buildParts(deps: DaemonDeps, stopping: AbortSignal) {
  const { config, kernel, clock, log, metrics, settings, points, hostNetwork, network, kube } = deps;
  // read at start only
  const { families } = settings.current;
  const problems = new ProblemBoard({
    clock,
    log,
    gauge: metrics.gauge("causeway_problems", "What is wrong on this node, by code."),
  });
  settings.reportTo(boardReport(problems));
  const journal = new Journal(kernel, points);
  const pool = new Pool();
  const demand = new Demand();
  const uplinks = new Uplinks(kernel.host);
  const poolMetrics = new PoolMetrics(metrics);
  const book: LeaseBook = new LeaseBook({
    pool,
    journal,
    clock,
    log,
    families,
    cooldownMs: () => settings.current.cooldownMs,
    uplink: (slot) => uplinks.get(slot),
    podMtuBytes: () => settings.current.podMtuBytes,
    forgetConnections: (addresses) => kernel.slow.forgetConnections(addresses),
    demandChanged: () => reconciler.kick(),
    waited: (pod, ms, isServed) => {
      poolMetrics.waited(ms, isServed);
      if (isServed) news.served(pod);
    },
    limit: () => limit.text,
  });
  const limit = new RecentLimit(clock, () => reconciler.limit());
  const adoption = new Adoption({
    kernel,
    hostNetwork,
    uplinks,
    pool,
    journal,
    book: () => book,
    clock,
    log,
    useExisting: () => settings.current.pool.useExisting,
  });
  const reconciler: Reconciler = new Reconciler({
    network,
    host: adoption,
    pool,
    uplinks,
    pending: () =>
      demand.pending(
        { bound: kube.pods.list(), served: book.served(), waiting: book.waiting().map(({ pod }) => pod) },
        clock.now(),
      ),
    knowsPods: () => kube.pods.list() !== undefined,
    maxPods: () => kube.node.maxPods(),
    settings: () => settings.current.pool,
    passed: (error) => {
      problems.report("cloud", cloudProblems(error));
      if (error !== undefined) news.failed(error);
      limit.note();
      news.changed();
    },
    planned: () => undefined,
    succeeded: (action) => poolMetrics.acted(action),
    failed: (action, error) => {
      poolMetrics.acted(action, error);
      news.failed(error);
    },
    families,
    clock,
    log,
    random: Math.random,
  });
  const news: PoolNews = new PoolNews({
    events: kube.events,
    waiting: () => book.waiting(),
    state: () => poolState(book, reconciler),
    clock,
    log,
  });
  const dyingLinks = new DyingLinks({
    removeGroup: () => kernel.slow.removeLinkGroup(DYING_GROUP, POD_LINK_PREFIX),
    clock,
    log,
    stopping,
  });
  const chain = new Chain({ ...config, signal: stopping });
  const lostDels = new LostDels({
    pluginDir: config.pluginDir,
    plugins: async () => (await chain.current()).plugins,
    hasLease: (containerId) => book.hasContainer(containerId),
    hasLink: (attachment) => kernel.host.links.find(podLink(attachment).hostName) !== undefined,
    isOfPool: (address) => pool.slotOf(address) !== undefined,
    clock,
    log,
    stopping,
  });
  const repairs = new HostRepairs({
    kernel,
    adoption,
    book,
    dyingLinks,
    problems,
    log,
    uplinkLost: () => reconciler.kickFresh(),
    leaseLost: ({ attachment }) => lostDels.add(attachment),
  });
  return {
    problems,
    pool,
    uplinks,
    book,
    adoption,
    reconciler,
    poolMetrics,
    news,
    desk: new AttachmentDesk(clock, log),
    dyingLinks,
    lostDels,
    repairs,
    guard: buildGuard(deps, { uplinks, book, pool, reconciler, repairs }),
    podEnds: new PodEnds({
      kernel,
      clock,
      log,
      leaseOf: (name) => book.findByLink(name),
      leases: () => book.ready(),
      repair: (leases) => repairs.pods(leases),
    }),
    readiness: new Readiness({
      conflistDir: config.conflistDir,
      chain,
      heartbeatPath: path.join(path.dirname(config.socketPath), "alive"),
      bootId: kernel.bootId,
      clock,
      log,
      problems,
      initialised: () => reconciler.initialised,
      limit: () => reconciler.limit(),
      slots: () => uplinks.list().map(({ slot }) => slot),
    }),
  };
}

function buildGuard(
  { kernel, clock, log, metrics, settings, hostNetwork }: DaemonDeps,
  parts: {
    readonly uplinks: Uplinks;
    readonly book: LeaseBook;
    readonly pool: Pool;
    readonly reconciler: Reconciler;
    readonly repairs: HostRepairs;
  },
): Guard {
  const { uplinks, book, pool, reconciler, repairs } = parts;
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
      everything: () => repairs.everything(),
      podLinks: (names) => repairs.podLinks(names),
      podLinkGone: (name) => repairs.podLinkGone(name),
      forwardAccepts: () => hostNetwork.applyForward(),
      otherLink: (change, link) => {
        const arrival = arrivals.notice(change, link);
        // what comes while we create one is most probably that one, and its creation tells
        if (arrival === "expected") reconciler.kick();
        else if (arrival === "returned") reconciler.kickFresh();
        else if (arrival === "unknown" && !reconciler.isCreating) reconciler.kickFreshLater();
      },
      ...knowDamage({ uplinks, book, pool, families: settings.current.families }),
    },
  });
}
