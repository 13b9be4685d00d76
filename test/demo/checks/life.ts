/** The daemon's own life, and what the cloud says in the end. */
import { setTimeout as delay } from "node:timers/promises";
import { unitsOf } from "../../cloudsim/aws/model/resources.ts";
import { TcpFlow } from "../../cloudsim/probe/index.ts";
import { INSPECT_PORT } from "../../cluster/cluster.ts";
import { readPoolPage } from "../../cluster/pool-page.ts";
import type { Check } from "../check.ts";
import { addressOf, DEMO_SETTINGS, ECHO_PORT, endpoints, type Host, type World } from "../world.ts";

export const lifeChecks: readonly Check[] = [
  {
    name: "daemon-restart",
    shows: "daemons killed and started again under traffic: no packet lost",
    run: async (world) => {
      const flows = await Promise.all(crossFlows(world).map(([from, to]) => Flow.open(from, to)));
      try {
        for (const { node } of world.nodes) {
          await node.daemon?.stop("SIGKILL");
          await node.startDaemon("ready for pods", {}, DEMO_SETTINGS);
        }
        await delay(50);
      } finally {
        for (const flow of flows) flow.stop();
      }
      const lines = await Promise.all(flows.map((flow) => flow.report()));
      return lines.flat();
    },
  },
  {
    name: "cloud-view",
    shows:
      "every pod's addresses are on its interface in the cloud, none twice, and the daemon's view is the cloud's",
    run: async (world) =>
      (await Promise.all(world.nodes.map((node) => compareWithCloud(world, node)))).flat(),
  },
];

/** Between a pod on each uplink of each node and a pod of the next node, over both families. */
function crossFlows(world: World): (readonly [Host, Host, 4 | 6])[] {
  return world.nodes.flatMap((node, index) => {
    const next = world.nodes[(index + 1) % world.nodes.length] ?? node;
    return endpoints(node).flatMap((from) =>
      endpoints(next)
        .filter((to) => to !== from)
        .flatMap((to) => [[from, to, 4] as const, [from, to, 6] as const]),
    );
  });
}

/** One connection that asks without a pause and keeps count. */
class Flow {
  private readonly what: string;
  private readonly flow: TcpFlow;
  private running = true;
  private asked = 0;
  private readonly failures: string[] = [];
  private readonly loop: Promise<void>;

  private constructor(what: string, flow: TcpFlow) {
    this.what = what;
    this.flow = flow;
    this.loop = this.run();
  }

  static async open(from: Host, to: Host, family: 4 | 6 = 4): Promise<Flow> {
    const flow = await TcpFlow.open(from.netnsPath, { to: addressOf(to, family), port: ECHO_PORT });
    return new Flow(`${from.name} to ${to.name} over IPv${family}`, flow);
  }

  stop(): void {
    this.running = false;
  }

  async report(): Promise<string[]> {
    await this.loop;
    this.flow[Symbol.dispose]();
    if (this.asked === 0) this.failures.push("asked nothing");
    return this.failures.map((failure) => `${this.what}: ${failure}`);
  }

  private async run(): Promise<void> {
    while (this.running) {
      // below the first retransmission (200 ms): a lost packet is a late answer
      const reply = await this.flow.ask(190);
      this.asked += 1;
      if (!reply.ok) {
        this.failures.push(`question ${this.asked}: ${reply.reason}`);
        return;
      }
      await delay(2);
    }
  }
}

async function compareWithCloud(world: World, node: World["nodes"][number]): Promise<string[]> {
  const view = await readPoolPage(node.host.netnsPath, INSPECT_PORT);
  const failures: string[] = [];
  for (const uplink of view.uplinks) {
    const cloud = world.cluster.ec2.account.interfaces.get(uplink.interfaceId as never);
    const units = cloud === undefined ? [] : unitsOf(cloud).map(String);
    const strange = uplink.units.filter((unit) => !units.includes(unit));
    if (strange.length > 0)
      failures.push(
        `${node.host.name}: the cloud does not list ${strange.join(", ")} on ${uplink.interfaceId}`,
      );
  }
  const leased = view.leases.flatMap(({ addresses }) => addresses);
  if (new Set(leased).size !== leased.length) failures.push(`${node.host.name}: an address is leased twice`);
  const wanted = node.pods.flatMap(({ ipv4, ipv6 }) => [ipv4.toString(), ipv6.toString()]);
  const missing = wanted.filter((address) => !leased.includes(address));
  if (missing.length > 0) failures.push(`${node.host.name}: no lease for ${missing.join(", ")}`);
  return failures;
}
