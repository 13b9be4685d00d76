/** Which nodes each measurement needs, made when the first one asks. */
import type { ClusterNode } from "../cluster/cluster.ts";
import { bareRoute, type Forwarding, measureForwarding, podRoute } from "./forwarding.ts";
import { type MemoryResults, measureMemory } from "./memory.ts";
import {
  type Burst,
  type Compared,
  type Field,
  measureAddsWithDad,
  measureBursts,
  measureOperations,
  type Operations,
} from "./operations.ts";
import type { Options } from "./options.ts";
import { measureRestart, type Restart } from "./restart.ts";
import type { BenchPod, Side } from "./sides.ts";
import type { Families, World } from "./world.ts";
import { COLD_NODES, measureWrites, type Writes } from "./writes.ts";

type Populated = { readonly node: ClusterNode; readonly side: Side; readonly pods: readonly BenchPod[] };
export type Progress = (text: string) => void;

const DUAL: Families = [4, 6];
/** Once a namespace has any rule of its own, the kernel takes a longer way with every packet. */
const NO_MATCH = "from 10.92.0.1 lookup main pref 512";

export class Lab {
  private readonly world: World;
  private readonly options: Options;
  private readonly progress: Progress;
  private readonly nodes = new Map<string, Promise<Populated>>();
  private readonly fields = new Map<string, Promise<Field>>();

  constructor(world: World, options: Options, progress: Progress) {
    this.world = world;
    this.options = options;
    this.progress = progress;
  }

  async operations(pods: number, families: Families = DUAL): Promise<Operations> {
    const field = await this.field(pods, families);
    const what = `ADD and DEL, ${families.length === 2 ? "dual stack" : "IPv4"}, ${pods} pods`;
    return measureOperations(field, this.options.pairs, this.counter(what, this.options.pairs));
  }

  async addsWithDad(pods: number): Promise<Compared> {
    const { dadRounds: rounds } = this.options;
    const progress = this.counter("ADD with duplicate address detection", rounds);
    return measureAddsWithDad(await this.field(pods, DUAL), rounds, progress);
  }

  async burst(pods: number): Promise<Burst> {
    const { bursts, burstSize } = this.options;
    const field = await this.field(pods, DUAL);
    // the pool grows to what a burst needs: afterwards it has the addresses
    const warm = await field.ours.fill(burstSize);
    for (const pod of warm) {
      await field.ours.delOne(pod);
      await field.ours.removePod(pod);
    }
    return measureBursts(field, bursts, burstSize, this.counter(`bursts, ${pods} pods`, bursts));
  }

  async forwarding(): Promise<Forwarding> {
    const { pods, flowRounds: rounds, flowSeconds: seconds } = this.options;
    const [few, usual, many] = pods;
    const routes = [
      bareRoute(this.world, "plain", {}),
      bareRoute(this.world, "conntrack", { conntrack: true }),
      bareRoute(this.world, "conntrack, one rule", { conntrack: true, rule: NO_MATCH }),
      bareRoute(this.world, `two rules for each of ${usual} pods`, { conntrack: true, rulesOfPods: usual }),
      bareRoute(this.world, `two rules for each of ${many} pods`, { conntrack: true, rulesOfPods: many }),
    ];
    for (const count of pods) {
      const { node, side } = await this.populated(count, DUAL);
      const [pod] = await side.fill(1);
      if (pod !== undefined) routes.push(podRoute(this.world, `causeway, ${count} pods`, node, pod));
    }
    const main = `causeway, ${many} pods`;
    const base = `causeway, ${few} pods`;
    return measureForwarding(routes, { rounds, seconds, main, base }, this.counter("forwarding", rounds));
  }

  async memory(): Promise<MemoryResults> {
    const { pods, churn } = this.options;
    const { node, side } = await this.populated(0, DUAL);
    return measureMemory(
      node,
      side,
      { pods: pods[1], churn },
      this.counter("ADDs and DELs for memory", churn),
    );
  }

  async restart(): Promise<Restart> {
    const { node, side, pods } = await this.populated(this.options.pods[1], DUAL);
    this.progress("restarts");
    return measureRestart(this.world, node, side, pods, this.options.restarts);
  }

  async writes(): Promise<Writes> {
    const { coldPods } = this.options;
    const nodes = Object.keys(COLD_NODES).length;
    return measureWrites(this.world.cluster, coldPods, this.counter("cold nodes", nodes));
  }

  private field(pods: number, families: Families): Promise<Field> {
    const key = `${pods}/${families.join()}`;
    const field = this.fields.get(key) ?? this.makeField(pods, families);
    this.fields.set(key, field);
    return field;
  }

  private async makeField(pods: number, families: Families): Promise<Field> {
    const { side: ours } = await this.populated(pods, families);
    const [peer, floor] = [this.world.peer(families), await this.world.floor(families)];
    this.progress(`${pods} pods of the peer`);
    await peer.fill(pods);
    await floor.fill(pods);
    return { ours, peer, floor };
  }

  private populated(pods: number, families: Families): Promise<Populated> {
    const key = `n${pods}v${families.join("")}`;
    const node = this.nodes.get(key) ?? this.populate(key, pods, families);
    this.nodes.set(key, node);
    return node;
  }

  private async populate(name: string, count: number, families: Families): Promise<Populated> {
    this.progress(`a node with ${count} pods`);
    const node = await this.world.addNode(name, families);
    const side = this.world.causeway(node);
    return { node, side, pods: await side.fill(count) };
  }

  private counter(what: string, of: number): (done: number) => void {
    return (done) => this.progress(`${what}: ${done} of ${of}`);
  }
}
