/** Our daemon on one node: the real planner, reconciler, lease book and pool, on a host without a kernel and a cloud without a wire. */
import type { PodRef } from "../../../cni/ipam.ts";
import { noFaultPoints } from "../../../common/fault-points.ts";
import type { Attachment, ContainerId, PodUid } from "../../../common/ids.ts";
import type { Logger } from "../../../common/log.ts";
import { Adoption } from "../../../ipamd/adopt.ts";
import { Demand } from "../../../ipamd/demand.ts";
import { Journal } from "../../../ipamd/journal.ts";
import type { BoundPod } from "../../../ipamd/kube/pods.ts";
import { LeaseBook } from "../../../ipamd/lease-book.ts";
import { Pool } from "../../../ipamd/pool.ts";
import { Reconciler } from "../../../ipamd/reconcile.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../../ipamd/settings.ts";
import { Uplinks } from "../../../ipamd/uplinks.ts";
import type { CloudNetwork } from "../../../providers/provider.ts";
import { withLimits } from "../../../providers/with-limits.ts";
import type { NodeDeps, Strategy } from "../fleet.ts";
import type { NodeAgent, SimPod } from "../node-agent.ts";
import { nothingToWrite, SimHost } from "./host.ts";
import { OurNetwork } from "./network.ts";

const PROCESS_START_MS = 1_500;
/** cni/shim.c: an ADD in all, and of it for a socket that is away. */
const ADD_MS = 90_000;
const SOCKET_MS = 10_000;
const COOLDOWN_MS = 30_000;

const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
} as unknown as Logger;

class OurNode implements NodeAgent {
  private readonly deps: NodeDeps;
  private readonly host = new SimHost();
  private readonly cloud: OurNetwork;
  private readonly network: CloudNetwork;
  private readonly settings: PoolSettings;
  private readonly bound = new Map<number, BoundPod>();
  private readonly pool = new Pool();
  private readonly uplinks: Uplinks;
  private readonly book: LeaseBook;
  private readonly adoption: Adoption;
  private readonly stopping = new AbortController();
  private daemon = new AbortController();
  private reconciler: Reconciler | undefined;
  private serving = Promise.withResolvers<void>();

  constructor(deps: NodeDeps, settings: PoolSettings) {
    this.deps = deps;
    this.settings = settings;
    const { clock, instance } = deps;
    for (const { mac } of instance.interfaces) this.host.linkShows(mac);
    this.cloud = new OurNetwork({
      ...deps,
      deviceShows: ({ mac }) => this.host.linkShows(mac),
    });
    this.network = withLimits(this.cloud, { clock });
    this.uplinks = new Uplinks(this.host.kernel.host);
    const journal = new Journal(this.host.kernel, noFaultPoints);
    this.book = new LeaseBook({
      pool: this.pool,
      journal,
      clock,
      log: silent,
      families: [4],
      cooldownMs: () => COOLDOWN_MS,
      uplink: (slot) => this.uplinks.get(slot),
      podMtuBytes: () => undefined,
      forgetConnections: async () => undefined,
      demandChanged: () => this.reconciler?.kick(),
      limit: () => this.reconciler?.limit(),
    });
    this.adoption = new Adoption({
      kernel: this.host.kernel,
      hostNetwork: nothingToWrite,
      uplinks: this.uplinks,
      pool: this.pool,
      journal,
      book: () => this.book,
      clock,
      log: silent,
      useExisting: () => false,
    });
    this.book.runCooling(this.stopping.signal).catch((error: unknown) => clock.fail(error));
  }

  async start(): Promise<void> {
    await this.deps.clock.sleep(PROCESS_START_MS);
    this.daemon = new AbortController();
    const reconciler = this.build();
    this.reconciler = reconciler;
    reconciler.run(this.daemon.signal).catch((error: unknown) => this.deps.clock.fail(error));
    this.serving.resolve();
    await reconciler.initialised;
  }

  restart(): void {
    this.serving = Promise.withResolvers();
    this.daemon.abort(new Error("the daemon restarts"));
    this.cloud.forget();
    this.start().catch((error: unknown) => this.deps.clock.fail(error));
  }

  podBound(pod: SimPod): void {
    this.bound.set(pod.id, { ...named(pod), hostNetwork: false, finished: false });
    this.reconciler?.kick();
  }

  podGone({ id }: SimPod): void {
    this.bound.delete(id);
    this.reconciler?.kick();
  }

  async add(pod: SimPod, signal: AbortSignal): Promise<number> {
    const { clock } = this.deps;
    const given = new AbortController();
    const ended = new AbortController();
    const end = () => given.abort(signal.reason);
    signal.addEventListener("abort", end, { once: true });
    const limit = clock.after(ADD_MS, () => given.abort(new DOMException("no end", "TimeoutError")));
    try {
      await Promise.race([this.serving.promise, clock.sleep(SOCKET_MS, ended.signal).then(refuse)]);
      const lease = await this.book.reserve(attachment(pod), named(pod), given.signal);
      this.book.confirm(lease);
      return Number(lease.ipv4?.value);
    } finally {
      limit[Symbol.dispose]();
      ended.abort();
      signal.removeEventListener("abort", end);
    }
  }

  remove(pod: SimPod): void {
    this.book.release(attachment(pod));
  }

  stop(): void {
    this.stopping.abort();
    this.daemon.abort();
  }

  private build(): Reconciler {
    const { clock, random, maxPods } = this.deps;
    const demand = new Demand();
    const nothing = () => undefined;
    return new Reconciler({
      network: this.network,
      host: this.adoption,
      pool: this.pool,
      uplinks: this.uplinks,
      pending: () =>
        demand.pending(
          {
            bound: [...this.bound.values()],
            served: this.book.served(),
            waiting: this.book.waiting().map(({ pod }) => pod),
          },
          clock.now(),
        ),
      knowsPods: () => true,
      maxPods: () => maxPods,
      settings: () => this.settings,
      families: [4],
      passed: nothing,
      planned: nothing,
      failed: nothing,
      clock,
      log: silent,
      random: () => random.next(),
    });
  }
}

function refuse(): never {
  throw new Error("the daemon's socket is away");
}

function attachment({ id }: SimPod): Attachment {
  return { containerId: `pod-${id}` as ContainerId, ifname: "eth0" };
}

function named({ id }: SimPod): PodRef & Pick<BoundPod, "uid" | "namespace" | "name"> {
  return { uid: `uid-${id}` as PodUid, namespace: "default", name: `pod-${id}` };
}

/** With default settings, but for a spare of so many times theirs. */
export function ours(spareScale: number): Strategy {
  const spare = Math.round(DEFAULT_POOL_SETTINGS.spare * spareScale);
  return { name: "ours", build: (deps) => new OurNode(deps, { ...DEFAULT_POOL_SETTINGS, spare }) };
}
