import type { IpAddress } from "../../common/ip.ts";
import { tcpAsk, tcpEcho } from "../cloudsim/probe/index.ts";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode, type PodOf, twoZones } from "../cluster/cluster.ts";
import type { AddedSandbox, PluginRun } from "../cluster/runtime.ts";
import type { TestNetns } from "../kernel/namespaces.ts";
import { Auditor } from "./audit.ts";
import { Flow } from "./flow.ts";

export const SETTINGS = { "ip-cooldown-period": "1" };
const PORT = 8080;

/** A node with its daemon, and two pods that live through everything that a test does to it, and talk. */
export class LivingNode implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly node: ClusterNode;
  readonly auditor: Auditor;
  readonly live: PodOf;
  readonly friend: PodOf;
  private readonly flow: Flow;
  private readonly echoes: readonly Disposable[];

  private constructor(
    parts: Pick<LivingNode, "cluster" | "node" | "auditor" | "live" | "friend">,
    flow: Flow,
  ) {
    this.cluster = parts.cluster;
    this.node = parts.node;
    this.auditor = parts.auditor;
    this.live = parts.live;
    this.friend = parts.friend;
    this.flow = flow;
    const { netnsPath } = this.live;
    this.echoes = this.addresses.map((address) => tcpEcho({ netnsPath, address, port: PORT, name: "live" }));
  }

  static async start(id: string): Promise<LivingNode> {
    const cluster = await Cluster.build(twoZones(id));
    const node = await addNode(cluster, "node");
    await node.startDaemon("ready for pods", {}, SETTINGS);
    const auditor = await Auditor.open(cluster, node);
    const [live, friend] = [await node.addPod("live"), await node.addPod("friend")];
    const flow = await Flow.start(friend, live, live.ipv4 as IpAddress);
    return new LivingNode({ cluster, node, auditor, live, friend }, flow);
  }

  /** Another node, without a daemon. */
  addNode(name: string): Promise<ClusterNode> {
    return addNode(this.cluster, name);
  }

  /** Resolves when only the two that live have addresses, and none cools down. */
  async onlyTheLiving(): Promise<void> {
    await this.auditor.settled(({ page }) => page.cooling.length === 0 && page.leases.length === 2);
  }

  /** Resolves when the pool has what it wants to have free. */
  async settledWithSpare(): Promise<void> {
    await this.auditor.settled(
      ({ page }) => page.uplinks[0]?.families.every(({ free }) => free >= 2) ?? false,
    );
  }

  /** True when the living pod answers to that namespace, in both families. */
  async isReached(netnsPath: string): Promise<boolean> {
    const replies = await Promise.all(this.addresses.map((to) => tcpAsk(netnsPath, { to, port: PORT })));
    return replies.every(({ ok }) => ok);
  }

  addIn(netns: TestNetns, name = "pod"): Promise<AddedSandbox & Pick<PluginRun, "durationMs">> {
    return this.node.runtime.add(this.node.runtime.sandbox(name, netns.path));
  }

  /** Throws when the two have not always heard each other. */
  async [Symbol.asyncDispose](): Promise<void> {
    const lost = await this.flow.stop();
    for (const echo of this.echoes) echo[Symbol.dispose]();
    await this.auditor[Symbol.asyncDispose]();
    await this.cluster[Symbol.asyncDispose]();
    if (lost.length > 0) throw new Error(`the living pods did not hear each other: ${JSON.stringify(lost)}`);
  }

  private get addresses(): readonly IpAddress[] {
    return [this.live.ipv4, this.live.ipv6] as IpAddress[];
  }
}

function addNode(cluster: Cluster, name: string): Promise<ClusterNode> {
  return cluster.addNode({ name, subnetId: "subnet-a", instanceType: "m5.large", profile: HOSTILE });
}
