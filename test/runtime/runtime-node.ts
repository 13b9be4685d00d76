/** One node of the embedded cloud with a real daemon and a real containerd, and the audit that follows every scenario. */
import { rmSync } from "node:fs";
import path from "node:path";
import { expect } from "vitest";
import type { IpAddress } from "../../common/ip.ts";
import type { Ec2 } from "../cloudsim/aws/ec2.ts";
import { ping } from "../cloudsim/probe/index.ts";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode, twoZones } from "../cluster/cluster.ts";
import { Auditor } from "../e2e/audit.ts";
import { until } from "../shim/waiting.ts";
import { Containerd } from "./containerd.ts";
import type { Edition } from "./editions.ts";
import { countKinds, isCutShort, resultsOf, type Thing, thingsOf } from "./leftovers.ts";

/** Short, so that what cools down is seen to end. */
export const SETTINGS = { "ip-cooldown-period": "1" };
const AUDIT_MS = 20_000;

/** A running sandbox, as the runtime describes it. */
export type RunningPod = {
  readonly name: string;
  readonly id: string;
  readonly netnsPath: string;
  readonly addresses: readonly IpAddress[];
};

type RunOptions = { readonly uid?: string; readonly deadlineMs?: number };

export class RuntimeNode implements AsyncDisposable {
  readonly node: ClusterNode;
  readonly containerd: Containerd;
  private readonly cluster: Cluster;
  private readonly auditor: Auditor;
  private started = 0;

  private constructor(cluster: Cluster, node: ClusterNode, containerd: Containerd, auditor: Auditor) {
    this.cluster = cluster;
    this.node = node;
    this.containerd = containerd;
    this.auditor = auditor;
  }

  /** The runtime or the daemon is there first, and neither finds the folder of the conflist. Resolves once the runtime says that its network is ready. */
  static async start(edition: Edition, first: "runtime" | "daemon" = "runtime"): Promise<RuntimeNode> {
    const cluster = await Cluster.build(twoZones(`rt${process.pid}`));
    const spec = { name: "node", subnetId: "subnet-a", instanceType: "m5.4xlarge", profile: HOSTILE };
    const node = await cluster.addNode(spec);
    if (first === "daemon") await node.startDaemon("ready for pods", {}, SETTINGS);
    const containerd = await Containerd.start({
      edition,
      netnsPath: node.place.netnsPath,
      confDir: path.join(cluster.folder, node.name, "net.d"),
      daemonSocket: node.socketPath,
    });
    const built = new RuntimeNode(cluster, node, containerd, await Auditor.open(cluster, node));
    if (first === "runtime") await built.startDaemon();
    await built.networkIsReady();
    return built;
  }

  /** Whatever a test has left behind: a daemon and a runtime that serve, and no sandbox. What cools down then is in the next test's audit. */
  async clear(): Promise<void> {
    if (!(this.node.daemon?.isRunning ?? false)) await this.startDaemon();
    if (!this.containerd.isRunning) await this.containerd.launch();
    await this.networkIsReady();
    await this.endListedBeside([]);
    this.removeForgotten([]);
  }

  /** Of the cloud's calls. */
  get faults(): Ec2["faults"] {
    return this.cluster.ec2.faults;
  }

  get confDir(): string {
    return this.containerd.spec.confDir;
  }

  async startDaemon(bundle?: string): Promise<void> {
    await this.node.startDaemon("ready for pods", {}, SETTINGS, bundle);
  }

  /** As kubelet asks, which polls. */
  async networkIsReady(): Promise<void> {
    const isReady = async () => (await this.containerd.cri.network()).status;
    await until("the runtime's network is ready", isReady, 5_000);
  }

  /** A new sandbox; rejects with the runtime's words. The same name gives another sandbox of that pod, or with another uid of its successor. */
  async run(name: string, { uid = `uid-${name}`, deadlineMs }: RunOptions = {}): Promise<RunningPod> {
    const { cri, cgroupParent } = this.containerd;
    this.started += 1;
    const id = await cri.run({ name, uid, attempt: this.started, cgroupParent }, deadlineMs);
    const { netnsPath, addresses } = await cri.status(id);
    return { name, id, netnsPath, addresses };
  }

  runAll(names: readonly string[]): Promise<RunningPod[]> {
    return Promise.all(names.map((name) => this.run(name)));
  }

  /** As kubelet ends a pod. */
  async end({ id }: Pick<RunningPod, "id">): Promise<void> {
    await this.containerd.cri.stop(id);
    await this.containerd.cri.remove(id);
  }

  async endAll(pods: readonly Pick<RunningPod, "id">[]): Promise<void> {
    await Promise.all(pods.map((pod) => this.end(pod)));
  }

  /**
   * Ends what the runtime lists beside these, in whatever state, as kubelet does with sandboxes of no pod; gives how many. Records that were
   * cut short are removed where they are in the way, as an administrator does: 1.6 calls no plugin then.
   */
  async endListedBeside(pods: readonly RunningPod[]): Promise<number> {
    const known = pods.map(({ id }) => id);
    const others = (await this.containerd.cri.list()).filter(({ id }) => !known.includes(id));
    const ended = await Promise.allSettled(others.map((pod) => this.end(pod)));
    const refused = others.filter((_, index) => ended[index]?.status === "rejected");
    for (const file of refused.flatMap(({ id }) => resultsOf(id))) if (isCutShort(file)) rmSync(file);
    await this.endAll(refused);
    return others.length;
  }

  /** Removes what the runtime had half made of sandboxes when it was killed, and has forgotten, as a reboot does; says how much it was. */
  removeForgotten(pods: readonly RunningPod[]): Readonly<Record<Thing["kind"], number>> {
    const forgotten = this.thingsBeside(pods);
    for (const thing of forgotten) thing.remove();
    return countKinds(forgotten);
  }

  /** How many leases the daemon has. */
  async leases(): Promise<number> {
    return (await this.auditor.read()).page.leases.length;
  }

  /** How many pods could have addresses of both families without the cloud. */
  async freeAddresses(): Promise<number> {
    const { uplinks } = (await this.auditor.read()).page;
    const free = uplinks.map(({ families }) => Math.min(...families.map((family) => family.free)));
    return free.reduce((sum, count) => sum + count, 0);
  }

  /** Each pod reaches the next one, in both families. */
  async expectTalk(pods: readonly RunningPod[]): Promise<void> {
    const deaf: string[] = [];
    for (const [index, pod] of pods.entries()) {
      const next = pods[(index + 1) % pods.length] ?? pod;
      for (const to of next.addresses)
        if (!(await ping(pod.netnsPath, { to })))
          deaf.push(`${pod.name} does not reach ${next.name} at ${to}`);
    }
    expect(deaf).toEqual([]);
  }

  /**
   * These pods, and nothing else: the cloud's, the daemon's, the kernel's and the runtime's books agree, nothing cools down any more, and the
   * runtime has left no namespace, process, mount, control group or cached result. Waits for what is on its way.
   */
  async expectExactly(pods: readonly RunningPod[]): Promise<void> {
    const ids = pods.map(({ id }) => id).sort();
    const isThere = pods.flatMap(({ addresses }) => addresses.map(String));
    expect(new Set(isThere).size).toBe(2 * pods.length);
    const { page } = await this.auditor.settled(
      (books) => books.page.cooling.length === 0 && books.page.leases.length === pods.length,
      AUDIT_MS,
    );
    expect(page.leases.map(({ containerId }) => containerId).sort()).toEqual(ids);
    expect(page.leases.flatMap(({ addresses }) => addresses).sort()).toEqual(isThere.sort());
    expect((await this.containerd.cri.list()).map(({ id }) => id).sort()).toEqual(ids);
    // a shim ends after its sandbox
    await until("clean", () => this.thingsBeside(pods).length === 0, 5_000).catch(() => undefined);
    expect(this.thingsBeside(pods), this.containerd.logTail()).toEqual([]);
    const each = pods.length;
    // a result of loopback, and of ours
    const wanted = { shim: each, group: each, namespace: each, result: 2 * each };
    expect(countKinds(thingsOf(this.containerd))).toMatchObject(wanted);
  }

  private thingsBeside(pods: readonly RunningPod[]): Thing[] {
    const known = pods.flatMap(({ id, netnsPath }) => [id, path.basename(netnsPath)]);
    return thingsOf(this.containerd).filter(({ name }) => !known.some((word) => name.includes(word)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.auditor[Symbol.asyncDispose]();
    await this.containerd[Symbol.asyncDispose]();
    await this.cluster[Symbol.asyncDispose]();
  }
}
