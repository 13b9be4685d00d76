/** Runs one strategy through one world. */
import { Account } from "./account.ts";
import { carries, Ec2, type SimInstance } from "./ec2.ts";
import { type InstanceType, maxPods } from "./instance-types.ts";
import { Kubelet } from "./kubelet.ts";
import type { NodeAgent } from "./node-agent.ts";
import { mostAtOnce } from "./planned-pods.ts";
import { Random } from "./random.ts";
import type { Assumptions, World } from "./scenarios.ts";
import { SimSubnet } from "./subnet.ts";
import { type Figures, quantile, type Sample, Tally } from "./tally.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** What a strategy's node is made of. */
export type NodeDeps = {
  readonly instance: SimInstance;
  readonly maxPods: number;
  readonly account: Account;
  readonly ec2: Ec2;
  readonly clock: VirtualClock;
  readonly random: Random;
};

export type Strategy = { readonly name: string; readonly build: (deps: NodeDeps) => NodeAgent };

export type RunOptions = {
  readonly world: World;
  readonly type: InstanceType;
  readonly seed: number;
  readonly assumed: Assumptions;
  /** Told of the time of the simulation, now and then. */
  readonly progress?: (atMs: number, endMs: number) => void;
};

export type RunResult = {
  readonly figures: Figures;
  readonly pods: number;
  readonly readyP99Ms: number;
  readonly byAction: ReadonlyMap<string, number>;
  readonly samples: readonly Sample[];
};

/** A /16 for so many nodes: enough for the most wasteful. */
const NODES_PER_SUBNET = 500;
const SAMPLES = 120;
/** Of the simulation. */
const PROGRESS_EVERY_MS = 5_000;
/** Of what is taken in a nearly full subnet, so much was there before our nodes. */
const STRANGERS = 0.5;

export async function runStrategy(strategy: Strategy, options: RunOptions): Promise<RunResult> {
  const fleet = new Fleet(strategy, options);
  try {
    return await fleet.run();
  } finally {
    fleet.stop();
  }
}

class Fleet {
  private readonly options: RunOptions;
  private readonly clock = new VirtualClock();
  private readonly tally = new Tally(this.clock);
  private readonly account: Account;
  private readonly agents: NodeAgent[];

  constructor(strategy: Strategy, options: RunOptions) {
    const { world, type, seed, assumed } = options;
    this.options = options;
    this.account = new Account({
      clock: this.clock,
      random: new Random(seed, "account"),
      latencyScale: assumed.latency,
      budgetScale: assumed.budget,
    });
    const subnets = this.makeSubnets();
    const ec2 = new Ec2((_, change) => this.tally.heldChanged(change));
    this.agents = world.nodes.map((startAt, index) => {
      const subnet = subnets[Math.floor(index / NODES_PER_SUBNET)] as SimSubnet;
      const instance = ec2.launch(index, type, subnet);
      const agent = strategy.build({
        instance,
        maxPods: maxPods(type),
        account: this.account,
        ec2,
        clock: this.clock,
        random: new Random(seed, "node", index),
      });
      this.clock.at(startAt, () => {
        this.startNode(agent, instance).catch((error: unknown) => this.clock.fail(error));
      });
      return agent;
    });
  }

  async run(): Promise<RunResult> {
    const { world } = this.options;
    this.account.begin(Number.POSITIVE_INFINITY);
    this.clock.at(world.measureFromMs, () => {
      this.account.begin(1);
      this.tally.begin();
    });
    this.planFaults();
    this.planSamples();
    await this.clock.run(world.endMs);
    return this.result();
  }

  stop(): void {
    for (const agent of this.agents) agent.stop();
  }

  private async startNode(agent: NodeAgent, instance: SimInstance): Promise<void> {
    const { world, seed } = this.options;
    const from = this.clock.now();
    const isRoutedHere = (address: number) => [...instance.interfaces].some((one) => carries(one, address));
    const kubelet = new Kubelet({ agent, isRoutedHere, clock: this.clock, tally: this.tally, seed });
    kubelet.plan(world.pods[instance.index] ?? []);
    this.tally.nodeStarted();
    await agent.start();
    this.tally.readyMs.push(this.clock.now() - from);
    kubelet.nodeReady();
  }

  private planFaults(): void {
    const { restartAtMs, throttled } = this.options.world;
    if (restartAtMs !== undefined)
      this.clock.at(restartAtMs, () => {
        for (const agent of this.agents) agent.restart();
      });
    if (throttled === undefined) return;
    this.clock.at(throttled.fromMs, () => this.account.setShare(throttled.share));
    this.clock.at(throttled.untilMs, () => this.account.setShare(1));
  }

  private planSamples(): void {
    const { world, progress } = this.options;
    const everyMs = (world.endMs - world.measureFromMs) / SAMPLES;
    for (let index = 0; index <= SAMPLES; index += 1)
      this.clock.at(world.measureFromMs + index * everyMs, () => this.tally.sample());
    if (progress === undefined) return;
    for (let atMs = 0; atMs < world.endMs; atMs += PROGRESS_EVERY_MS)
      this.clock.at(atMs, () => progress(atMs, world.endMs));
  }

  private result(): RunResult {
    return {
      figures: this.tally.figures(this.account),
      pods: this.tally.pods,
      readyP99Ms: quantile(
        this.tally.readyMs.toSorted((a, b) => a - b),
        0.99,
      ),
      byAction: this.account.byAction,
      samples: this.tally.samples,
    };
  }

  private makeSubnets(): SimSubnet[] {
    const { world, seed } = this.options;
    const count = Math.ceil(world.nodes.length / NODES_PER_SUBNET);
    return Array.from({ length: count }, (_, index) => {
      const random = new Random(seed, "subnet", index);
      const first = (10 << 24) + (index << 16);
      if (world.subnetSlack === undefined)
        return new SimSubnet({ id: `subnet-${index}`, first, prefixLength: 16, random });
      return this.nearlyFull(index, first, random, world.subnetSlack);
    });
  }

  /** With addresses of others, scattered, so that what is free is what pods need and a little more. */
  private nearlyFull(index: number, first: number, random: Random, slack: number): SimSubnet {
    const nodes = this.options.world.pods.slice(index * NODES_PER_SUBNET, (index + 1) * NODES_PER_SUBNET);
    const pods = nodes.reduce((sum, list) => sum + mostAtOnce(list), 0);
    const needed = Math.ceil(pods * (1 + slack)) + nodes.length;
    const prefixLength = 32 - Math.ceil(Math.log2(needed / (1 - STRANGERS)));
    const subnet = new SimSubnet({ id: `subnet-${index}`, first, prefixLength, random });
    subnet.takeSingles(Math.max(0, subnet.freeCount - needed));
    return subnet;
  }
}
