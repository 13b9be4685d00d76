/**
 * Nodes as users have them, on the embedded AWS: one instance and one real daemon per node, each in its own network namespace; pods by the
 * real plugin. For the demo and for tests of the whole.
 */
import { once } from "node:events";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo, Server } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { SubnetId } from "../../common/ids.ts";
import { Cidr, type IpAddress } from "../../common/ip.ts";
import type { RawSettings } from "../../ipamd/settings.ts";
import { type Ec2, startEc2 } from "../cloudsim/aws/ec2.ts";
import { primaryOf } from "../cloudsim/aws/model/launch.ts";
import type { Instance } from "../cloudsim/aws/model/resources.ts";
import type { NetworkSpec } from "../cloudsim/data-plane.ts";
import { buildVpc, type NodeProfile, type Place, type Vpc } from "../cloudsim/vpc/index.ts";
import { DaemonProcess } from "./daemon-process.ts";
import { serveInNetns } from "./listen-in.ts";
import { readPoolPage } from "./pool-page.ts";
import { type AddedSandbox, Runtime } from "./runtime.ts";

/** Two zones with a subnet each, dual stack. */
export function twoZones(id: string): NetworkSpec {
  return {
    id,
    cidrs: [Cidr.parse("10.0.0.0/16"), Cidr.parse("2001:db8:a::/56")],
    subnets: [
      {
        id: "subnet-a" as SubnetId,
        zone: "eu-west-1a",
        ipv4: Cidr.parse("10.0.0.0/24"),
        ipv6: Cidr.parse("2001:db8:a:0::/64"),
      },
      {
        id: "subnet-b" as SubnetId,
        zone: "eu-west-1b",
        ipv4: Cidr.parse("10.0.1.0/24"),
        ipv6: Cidr.parse("2001:db8:a:1::/64"),
      },
    ],
  };
}

export type NodeSpec = {
  readonly name: string;
  readonly subnetId: string;
  readonly instanceType: string;
  readonly profile: NodeProfile;
  readonly publicIpv4?: string;
};

const EC2_PORT = 9100;
const IMDS_PORT = 9101;
/** Of every daemon, on loopback in its node's namespace. */
export const INSPECT_PORT = 9197;

export class Cluster implements AsyncDisposable {
  readonly vpc: Vpc;
  readonly ec2: Ec2;
  readonly nodes: ClusterNode[] = [];
  readonly folder: string;
  private readonly doors: Server[];
  private readonly servers: { ec2?: Server; readonly imds: Map<Instance, Server> };

  private constructor(
    vpc: Vpc,
    ec2: Ec2,
    doors: Server[],
    servers: { ec2?: Server; imds: Map<Instance, Server> },
  ) {
    this.vpc = vpc;
    this.ec2 = ec2;
    this.doors = doors;
    this.servers = servers;
    // in the private /run, so that nothing is left on the machine, whatever ends us
    this.folder = mkdtempSync("/run/cluster-");
  }

  /** The cloud, without a node. Call from inside namespaces of your own (test/in-namespaces.sh). */
  static async build(network: NetworkSpec): Promise<Cluster> {
    const vpc = buildVpc(network);
    const servers: { ec2?: Server; imds: Map<Instance, Server> } = { imds: new Map() };
    const ec2 = await startEc2({
      network,
      dataPlane: vpc,
      attachMs: 50,
      // here for tests and the demo; inside each node by a door of its own
      listen: async (server, role) => {
        if (role.kind === "ec2") servers.ec2 = server;
        else servers.imds.set(role.instance, server);
        server.listen(0, "127.0.0.1");
        await once(server, "listening");
        return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      },
    });
    return new Cluster(vpc, ec2, [], servers);
  }

  /** An instance as its first boot leaves it: primary interface configured, no daemon yet. */
  async addNode(spec: NodeSpec): Promise<ClusterNode> {
    const place = this.vpc.addNode({ name: spec.name, profile: spec.profile });
    const instance = await this.ec2.addInstance({
      subnetId: spec.subnetId,
      type: spec.instanceType,
      name: spec.name,
      ...(spec.publicIpv4 === undefined ? {} : { publicIpv4: spec.publicIpv4 }),
    });
    await this.openDoors(place, instance);
    const primary = primaryOf(this.ec2.account, instance);
    const {
      primaryIpv4: ipv4,
      ipv6: [ipv6],
    } = primary;
    if (ipv6 === undefined) throw new Error(`instance ${instance.id} has no IPv6 address`);
    this.vpc.boot(spec.name, "eth0", { ipv4, ipv6 });
    const node = new ClusterNode(this, spec, place, instance, { ipv4, ipv6 });
    this.nodes.push(node);
    return node;
  }

  private async openDoors(place: Place, instance: Instance): Promise<void> {
    const keep = (door: Server) => this.doors.push(door);
    const imds = this.servers.imds.get(instance);
    if (this.servers.ec2 === undefined || imds === undefined) throw new Error("the cloud has no servers");
    await serveInNetns(this.servers.ec2, place.netnsPath, EC2_PORT, keep);
    await serveInNetns(imds, place.netnsPath, IMDS_PORT, keep);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.daemon?.stop("SIGKILL")));
    for (const door of this.doors) door.close();
    await this.ec2.close();
    this.vpc[Symbol.dispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export type PodOf = AddedSandbox & { readonly node: ClusterNode; readonly addMs: number };

export class ClusterNode {
  readonly name: string;
  readonly place: Place;
  readonly instance: Instance;
  /** The node's own. */
  readonly addresses: { readonly ipv4: IpAddress; readonly ipv6: IpAddress };
  readonly runtime: Runtime;
  readonly socketPath: string;
  readonly settingsPath: string;
  readonly pods: PodOf[] = [];
  daemon: DaemonProcess | undefined;
  private readonly cluster: Cluster;

  constructor(
    cluster: Cluster,
    spec: NodeSpec,
    place: Place,
    instance: Instance,
    addresses: ClusterNode["addresses"],
  ) {
    this.cluster = cluster;
    this.name = spec.name;
    this.place = place;
    this.instance = instance;
    this.addresses = addresses;
    this.socketPath = path.join(cluster.folder, spec.name, "ipamd.sock");
    this.settingsPath = path.join(cluster.folder, `${spec.name}.json`);
    this.runtime = new Runtime(this.socketPath);
  }

  /** Starts the daemon; resolves once it serves. `until` waits for more: "ready for pods" after the cloud has answered. */
  async startDaemon(
    until: "serving" | "ready for pods" = "ready for pods",
    environment: Readonly<Record<string, string>> = {},
    settings: RawSettings = {},
    bundle?: string,
  ): Promise<DaemonProcess> {
    const daemon = this.launchDaemon(environment, settings, bundle);
    await daemon.logged(until);
    return daemon;
  }

  /** Starts the daemon and waits for nothing. `settings` are laid over dual stack; `bundle` is the folder of another version's code. */
  launchDaemon(
    environment: Readonly<Record<string, string>> = {},
    settings: RawSettings = {},
    bundle?: string,
  ): DaemonProcess {
    this.writeSettings(settings);
    const variables = {
      CAUSEWAY_CLOUD: "aws",
      CAUSEWAY_CLUSTER: "demo",
      CAUSEWAY_SOCKET: this.socketPath,
      CAUSEWAY_CONFLIST_DIR: path.join(this.cluster.folder, this.name, "net.d"),
      // a machine may have plugins, or none
      CAUSEWAY_CHAIN: "none",
      CAUSEWAY_INSPECT: `127.0.0.1:${INSPECT_PORT}`,
      CAUSEWAY_SETTINGS: this.settingsPath,
      AWS_ENDPOINT_URL_EC2: `http://127.0.0.1:${EC2_PORT}`,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${IMDS_PORT}`,
      ...environment,
    };
    this.daemon = DaemonProcess.start(this.place.netnsPath, variables, bundle);
    return this.daemon;
  }

  /** Gives the daemon other settings, laid over dual stack; the file is replaced whole. */
  writeSettings(settings: RawSettings): void {
    const next = `${this.settingsPath}.next`;
    writeFileSync(next, JSON.stringify({ "ip-families": "ipv4,ipv6", ...settings }));
    renameSync(next, this.settingsPath);
  }

  /** Resolves once so many pods, with an address of each of these families, could be served without waiting. Throws at the deadline. */
  async poolHasFree(pods: number, timeoutMs = 10_000, wanted: readonly (4 | 6)[] = [4, 6]): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const { uplinks } = await readPoolPage(this.place.netnsPath, INSPECT_PORT);
      const free = uplinks.map(({ families }) =>
        Math.min(...families.filter(({ family }) => wanted.includes(family)).map((one) => one.free)),
      );
      if (free.reduce((sum, count) => sum + count, 0) >= pods) return;
      if (performance.now() >= deadline)
        throw new Error(`${this.name} has no ${pods} free addresses in ${timeoutMs} ms`);
      await delay(20);
    }
  }

  /** A new pod by the real plugin. */
  addPod(name: string): Promise<PodOf> {
    return this.addPodIn(this.cluster.vpc.addPlace(name), name);
  }

  /** A pod in a namespace that is there already. */
  async addPodIn(place: Place, name: string): Promise<PodOf> {
    const { durationMs, ...added } = await this.runtime.add(this.runtime.sandbox(name, place.netnsPath));
    const pod = { ...added, node: this, addMs: durationMs };
    this.pods.push(pod);
    return pod;
  }
}
