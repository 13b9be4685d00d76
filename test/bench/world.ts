/** The machines that are measured: nodes of the embedded cloud with real daemons, and bare namespaces for the peer and for the floor. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { SubnetId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { assignIpv4, assignIpv6 } from "../cloudsim/aws/model/assign.ts";
import { primaryOf } from "../cloudsim/aws/model/launch.ts";
import { runIn } from "../cloudsim/vpc/commands.ts";
import { HOSTILE, type Place } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode } from "../cluster/cluster.ts";
import { causewayPlugin, peerPlugin, Side } from "./sides.ts";

export type Families = readonly (4 | 6)[];

/** 45 blocks of 16 on the first interface: room for 700 pods without a call to the cloud. */
const BLOCKS = 45;
const POOL_WITHIN_MS = 20_000;
const FLOOR_TABLE =
  "table inet causeway { set genuine4 { type ifname . ipv4_addr; }; set genuine6 { type ifname . ipv6_addr; }; }";

export class World implements AsyncDisposable {
  readonly cluster: Cluster;
  private readonly sides: Side[] = [];
  private readonly floors: ChildProcess[] = [];
  private named = 0;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  static async build(): Promise<World> {
    const subnet = {
      id: "subnet-a" as SubnetId,
      zone: "eu-west-1a",
      ipv4: Cidr.parse("10.0.0.0/17"),
      ipv6: Cidr.parse("2001:db8:a:0::/64"),
    };
    const cidrs = [Cidr.parse("10.0.0.0/16"), Cidr.parse("2001:db8:a::/56")];
    return new World(await Cluster.build({ id: `b${process.pid}`, cidrs, subnets: [subnet] }));
  }

  /** A node with its daemon, warm, and no pods. Addresses do not cool down, so that no pool is ever empty. */
  async addNode(name: string, families: Families): Promise<ClusterNode> {
    const { cluster } = this;
    const spec = { name, subnetId: "subnet-a", instanceType: "c6in.32xlarge", profile: HOSTILE };
    const node = await cluster.addNode(spec);
    const { account } = cluster.ec2;
    const primary = primaryOf(account, node.instance);
    // at first sight of the interface it notes what is there as not ours: so units come after
    await node.startDaemon("ready for pods", {}, settingsOf(families));
    await node.poolHasFree(1, POOL_WITHIN_MS, families);
    assignIpv4(account, primary.id, { prefixCount: BLOCKS }, false);
    assignIpv6(account, primary.id, { prefixCount: 1 });
    // a restart looks at the cloud at once
    await node.daemon?.stop();
    await node.startDaemon("ready for pods", {}, settingsOf(families));
    await node.poolHasFree(BLOCKS * 16, POOL_WITHIN_MS, families);
    return node;
  }

  /** The plugin of this project on that node. */
  causeway(node: ClusterNode): Side {
    return this.keep(new Side(causewayPlugin("causeway", node.socketPath), node.place.netnsPath));
  }

  /** ptp + host-local on a node of its own. With duplicate address detection it waits for two seconds in an ADD of IPv6. */
  peer(families: Families): Side {
    const place = this.place("peer");
    const dataDir = path.join(this.cluster.folder, place.name);
    mkdirSync(dataDir);
    return this.keep(new Side(peerPlugin(dataDir, families), place.netnsPath));
  }

  /** The same kernel work by C, behind the same shim, on a node of its own. */
  async floor(families: Families): Promise<Side> {
    const place = this.place("floor");
    runIn(place.netnsPath, ["nft", `add ${FLOOR_TABLE}`]);
    const socketPath = path.join(this.cluster.folder, `${place.name}.sock`);
    const options = families.includes(6) ? [] : ["-4"];
    const command = [`--net=${place.netnsPath}`, "dist/bench/floor", ...options, socketPath];
    this.floors.push(spawn("nsenter", command, { stdio: "inherit" }));
    while (!existsSync(socketPath)) await delay(5);
    return this.keep(new Side(causewayPlugin("floor", socketPath), place.netnsPath));
  }

  /** A host namespace that forwards, and has no duplicate address detection. */
  place(kind: string): Place {
    this.named += 1;
    const place = this.cluster.vpc.addPlace(`${kind}${this.named}`);
    const sysctls = ["ipv4.ip_forward=1", "ipv6.conf.all.forwarding=1"];
    const noDad = ["ipv6.conf.all.accept_dad=0", "ipv6.conf.default.accept_dad=0"];
    runIn(place.netnsPath, ["sysctl", "-qw", ...[...sysctls, ...noDad].map((entry) => `net.${entry}`)]);
    return place;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const side of this.sides) side[Symbol.dispose]();
    for (const floor of this.floors) floor.kill();
    await this.cluster[Symbol.asyncDispose]();
  }

  private keep(side: Side): Side {
    this.sides.push(side);
    return side;
  }
}

/** Of every node's daemon. Its large pool stays, however long a measurement leaves it idle. */
export function settingsOf(families: Families): Readonly<Record<string, string>> {
  return {
    "ip-families": families.map((family) => `ipv${family}`).join(","),
    "ip-cooldown-period": "1",
    "cloud-writes": "no-release",
  };
}
