/** One node with its daemon, five pods on two uplinks, and a machine in the VPC to talk with: what cases from the field are tried on. */
import { expect, vi } from "vitest";
import { IpAddress } from "../../common/ip.ts";
import type { RawSettings } from "../../ipamd/settings.ts";
import { tcpAsk, tcpEcho } from "../cloudsim/probe/index.ts";
import { HOSTILE, type Place, runIn } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode, type PodOf, twoZones } from "./cluster.ts";

const ECHO_PORT = 8080;
const PEER = ["10.0.9.9", "2001:db8:a:9::9"].map((text) => IpAddress.parse(text));
const DEADLINE = { timeout: 12_000, interval: 50 };
/** Restoring takes well below a second on an idle machine. Shorter than the daemon's look at everything, which would hide that an event was missed. */
export const RESTORED = { timeout: 5_000, interval: 50 };

export class FieldNode implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly node: ClusterNode;
  readonly peer: Place;
  private readonly echoes: Disposable[] = [];

  private constructor(cluster: Cluster, node: ClusterNode, peer: Place) {
    this.cluster = cluster;
    this.node = node;
    this.peer = peer;
    for (const address of PEER) this.echo(peer.netnsPath, address, "peer");
  }

  static async start(
    id: string,
    options: {
      readonly instanceType?: string;
      readonly settings?: RawSettings;
      readonly environment?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<FieldNode> {
    const cluster = await Cluster.build(twoZones(`${id}${process.pid}`));
    const { instanceType = "t3.small" } = options;
    const node = await cluster.addNode({
      name: "node-a",
      subnetId: "subnet-a",
      instanceType,
      profile: HOSTILE,
    });
    const peer = cluster.vpc.addHost({ name: "peer", addresses: PEER });
    await node.startDaemon("ready for pods", options.environment, options.settings);
    return new FieldNode(cluster, node, peer);
  }

  /** Pods by the real plugin, each with an echo server. */
  async addPods(...names: string[]): Promise<PodOf[]> {
    const pods = [];
    for (const name of names) {
      const pod = await this.node.addPod(name);
      pods.push(pod);
      for (const address of [pod.ipv4, pod.ipv6]) {
        if (address !== undefined) this.echo(pod.netnsPath, address, name);
      }
    }
    return pods;
  }

  /** Runs a program on the node, as an administrator or another agent would. */
  run(...argv: string[]): string {
    return runIn(this.node.place.netnsPath, argv);
  }

  /** As run(), a line of words. */
  sh(line: string): string {
    return this.run("sh", "-ec", line);
  }

  /** Every pod can reach the peer and be reached by it, in both families. Waits. */
  async expectTalk(pods: readonly PodOf[] = this.node.pods): Promise<void> {
    await vi.waitFor(async () => expect(await this.silentPods(pods)).toEqual([]), DEADLINE);
  }

  /** Rules, routes, addresses, link attributes and the nft table that are ours, as the tools print them. */
  ownState(): string[] {
    const tables = this.tables();
    return [
      ...["-4", "-6"].flatMap((family) => [
        ...this.lines(`ip -d ${family} rule show`).filter((line) => / proto 197\b/.test(line)),
        ...tables.flatMap((table) =>
          this.lines(`ip -d ${family} route show table ${table} 2>/dev/null || true`).sort(),
        ),
      ]),
      ...this.lines("ip -o address show dev eth1").map((line) => line.replace(/^\d+: /, "")),
      ...this.lines("ip -o link show group 4100").map((line) => line.replace(/ (qlen|state) \S+/g, "")),
      ...this.lines("nft -s list table inet causeway"),
    ];
  }

  /** What is ours is as it was. Waits. */
  async expectState(wanted: readonly string[]): Promise<void> {
    await vi.waitFor(() => expect(this.ownState()).toEqual(wanted), RESTORED);
  }

  /** The pool has grown to as many addresses of each family. Waits. */
  async expectUnits(count: number): Promise<void> {
    const units = (set: string) =>
      this.sh(`nft -j list set inet causeway ${set}`)
        .match(/"elem": \[(.*?)\]/)?.[1]
        ?.split(", ");
    await vi.waitFor(() => {
      for (const set of ["units4", "units6"]) expect(units(set)).toHaveLength(count);
    }, DEADLINE);
  }

  lines(command: string): string[] {
    return this.sh(command)
      .split("\n")
      .map((line) => line.trim().replace(/ +/g, " "))
      .filter((line) => line !== "");
  }

  private tables(): number[] {
    return [4100, 4101, 4102];
  }

  private async silentPods(pods: readonly PodOf[]): Promise<string[]> {
    const failures = await Promise.all(pods.map((pod) => this.whySilent(pod)));
    return failures.flat();
  }

  private async whySilent(pod: PodOf): Promise<string[]> {
    const silent: string[] = [];
    for (const own of [pod.ipv4, pod.ipv6]) {
      const peer = PEER.find((address) => address.family === own?.family);
      if (own === undefined || peer === undefined) continue;
      const out = await tcpAsk(pod.netnsPath, { to: peer, port: ECHO_PORT });
      const back = await tcpAsk(this.peer.netnsPath, { to: own, from: peer, port: ECHO_PORT });
      const kept = out.ok && out.seenSource.equals(own);
      if (!kept) silent.push(`${pod.name} ${own} to peer: ${out.ok ? out.seenSource : out.reason}`);
      if (!back.ok || back.server !== pod.name) silent.push(`peer to ${pod.name} ${own}`);
    }
    return silent;
  }

  private echo(netnsPath: string, address: IpAddress, name: string): void {
    this.echoes.push(tcpEcho({ netnsPath, address, port: ECHO_PORT, name }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const echo of this.echoes) echo[Symbol.dispose]();
    await this.cluster[Symbol.asyncDispose]();
  }
}
