/** The two sides of every comparison, and the floor under them: what is executed for a pod, with which configuration. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { runIn } from "../cloudsim/vpc/commands.ts";
import { SHIM } from "../cluster/runtime.ts";
import { type Execution, Spawner, type Timed } from "./spawner.ts";

const REFERENCE_PLUGINS = "/usr/lib/cni";
const FILL_AT_ONCE = 12;
const NETNS_FOLDER = "/run/bench-netns";

/** A pod's attachment on one side. */
export type BenchPod = { readonly containerId: string; readonly netnsPath: string };

/** What differs between the sides. */
export type Plugin = {
  readonly name: string;
  readonly program: string;
  readonly config: string;
  readonly environment: Readonly<Record<string, string>>;
};

/** The plugin of this project, whose daemon listens there. The floor's server speaks the same frames. */
export function causewayPlugin(name: string, socketPath: string): Plugin {
  return {
    name,
    program: SHIM,
    config: JSON.stringify({ cniVersion: "1.0.0", name: "causeway", type: "causeway" }),
    environment: { CAUSEWAY_SOCKET: socketPath, CNI_PATH: REFERENCE_PLUGINS },
  };
}

/** The reference plugins: ptp, which executes host-local. Their files go into a folder in memory, as their default (/var/lib) may be a slow disk. */
export function peerPlugin(dataDir: string, families: readonly (4 | 6)[]): Plugin {
  const subnets = { 4: "10.40.0.0/16", 6: "2001:db8:40::/64" };
  const everywhere = { 4: "0.0.0.0/0", 6: "::/0" };
  const ipam = {
    type: "host-local",
    dataDir,
    ranges: families.map((family) => [{ subnet: subnets[family] }]),
    routes: families.map((family) => ({ dst: everywhere[family] })),
  };
  return {
    name: "ptp + host-local",
    program: `${REFERENCE_PLUGINS}/ptp`,
    config: JSON.stringify({ cniVersion: "1.0.0", name: "peer", type: "ptp", ipam }),
    environment: { CNI_PATH: REFERENCE_PLUGINS, PATH: "/usr/bin:/bin" },
  };
}

/** A plugin on a node, called for pods that it makes namespaces for. */
export class Side implements Disposable {
  readonly plugin: Plugin;
  private readonly spawner: Spawner;
  private made = 0;
  private churned = 0;
  private readonly id = randomBytes(4).toString("hex");

  constructor(plugin: Plugin, nodeNetnsPath: string) {
    this.plugin = plugin;
    this.spawner = new Spawner(nodeNetnsPath);
    mkdirSync(NETNS_FOLDER, { recursive: true });
  }

  /** A pod with a namespace and without a network. The kernel looks there for duplicates of its IPv6 addresses when `dad` is given, as it does by default. */
  async makePod({ dad = false } = {}): Promise<BenchPod> {
    this.made += 1;
    const netnsPath = `${NETNS_FOLDER}/${this.id}-${this.made}`;
    await this.spawner.makeNetns(netnsPath);
    if (dad)
      runIn(netnsPath, [
        "sysctl",
        "-qw",
        ...["all", "default"].map((of) => `net.ipv6.conf.${of}.accept_dad=1`),
      ]);
    return { containerId: randomBytes(32).toString("hex"), netnsPath };
  }

  async removePod({ netnsPath }: BenchPod): Promise<void> {
    await this.spawner.removeNetns(netnsPath);
  }

  /** All at once. */
  add(pods: readonly BenchPod[]): Promise<Timed[]> {
    return this.spawner.run(pods.map((pod) => this.execution("ADD", pod)));
  }

  /** New pods, a dozen at a time. */
  async fill(count: number): Promise<BenchPod[]> {
    const pods: BenchPod[] = [];
    while (pods.length < count) {
      const some: BenchPod[] = [];
      while (some.length < FILL_AT_ONCE && pods.length + some.length < count) some.push(await this.makePod());
      await this.add(some);
      pods.push(...some);
    }
    return pods;
  }

  /** ADDs and then DELs of so many attachments of one pod, under names of their own. */
  async churn(pod: BenchPod, count: number): Promise<void> {
    this.churned += count;
    const attachments = Array.from({ length: count }, (_, index) => ({
      pod: { ...pod, containerId: randomBytes(32).toString("hex") },
      // the links of the calls before may still be on their way out
      ifname: `e${this.churned - index}`,
    }));
    for (const command of ["ADD", "DEL"])
      await this.spawner.run(
        attachments.map((attachment) => this.execution(command, attachment.pod, attachment.ifname)),
      );
  }

  async addOne(pod: BenchPod): Promise<number> {
    const [timed] = await this.add([pod]);
    return timed?.ms ?? Number.NaN;
  }

  async delOne(pod: BenchPod): Promise<number> {
    const [timed] = await this.spawner.run([this.execution("DEL", pod)]);
    return timed?.ms ?? Number.NaN;
  }

  /** DEL, and the namespace taken away behind it, as a runtime does. */
  async delWithNetns(pod: BenchPod): Promise<number> {
    const execution = { ...this.execution("DEL", pod), removeNetns: pod.netnsPath };
    const [timed] = await this.spawner.run([execution]);
    return timed?.ms ?? Number.NaN;
  }

  [Symbol.dispose](): void {
    this.spawner[Symbol.dispose]();
  }

  private execution(command: string, pod: BenchPod, ifname = "eth0"): Execution {
    const { program, config, environment } = this.plugin;
    return {
      plugin: program,
      stdin: config,
      environment: {
        ...environment,
        CNI_COMMAND: command,
        CNI_CONTAINERID: pod.containerId,
        CNI_NETNS: pod.netnsPath,
        CNI_IFNAME: ifname,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=pod;K8S_POD_UID=${pod.containerId.slice(0, 36)}`,
      },
    };
  }
}
