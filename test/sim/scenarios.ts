/**
 * What happens to the fleet: when nodes come, when pods are bound and end, what goes wrong. All of it is decided by the seed before anything runs, so every
 * strategy meets the same.
 */
import { HOST_NETWORK_PODS, type InstanceType, maxPods } from "./instance-types.ts";
import { isAlive, type PlannedPod } from "./planned-pods.ts";
import { Random } from "./random.ts";

export const SCENARIOS = [
  "mass-scale-out",
  "deployment-roll",
  "restart-storm",
  "subnet-nearly-full",
  "throttled-hour",
] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

/** What is assumed of the world; each can be halved and doubled. */
export type Assumptions = {
  /** How long EC2 takes. */
  readonly latency: number;
  /** How many requests it lets pass. */
  readonly budget: number;
  /** How fast nodes and pods come. */
  readonly arrival: number;
  /** How long pods live. */
  readonly life: number;
};

export const ASSUMED: Assumptions = { latency: 1, budget: 1, arrival: 1, life: 1 };

export type World = {
  /** Per node: when its daemon starts first. */
  readonly nodes: readonly number[];
  /** Per node. */
  readonly pods: readonly (readonly PlannedPod[])[];
  /** Until then EC2 sets no limit and nothing is counted: the fleet comes to rest. */
  readonly measureFromMs: number;
  readonly endMs: number;
  /** All daemons start again then. */
  readonly restartAtMs?: number;
  /** Meanwhile only that share of the account's budget is left: others use the rest. */
  readonly throttled?: { readonly fromMs: number; readonly untilMs: number; readonly share: number };
  /** Addresses for pods in each subnet beyond what pods need at most, as a share of that; undefined: plenty. */
  readonly subnetSlack?: number;
};

export type WorldOptions = {
  readonly nodes: number;
  readonly type: InstanceType;
  readonly seed: number;
  readonly assumed: Assumptions;
};

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** EC2's resource bucket for RunInstances: 1,000 instances at once, then 2 a second (the same page as the request limits). */
const LAUNCH = { burst: 1_000, perSecond: 2 } as const;
const BOOT = { median: 35 * SECOND, p99: 75 * SECOND } as const;
/** From the daemon's start to the first pod, when the node becomes Ready at once. */
const FIRST_POD_AFTER_MS = 4 * SECOND;
const REST_MS = 10 * MINUTE;
/** In a roll: pods of one wave come within this, and those that they replace stay so long at most. */
const WAVES = 4;
const WAVE_SPREAD_MS = 5 * SECOND;
const OLD_POD_STAYS_MS = { least: 10 * SECOND, most: 15 * SECOND } as const;
/** New pods are ready some 15 s after they were bound; then the next quarter comes. */
const READY_AFTER_MS = 15 * SECOND;
/** A scheduler binds a hundred pods a second: what clusterloader2 (kubernetes/perf-tests) asks for by default. */
const BINDING_MS = 10;

export function buildWorld(name: ScenarioName, options: WorldOptions): World {
  return BUILDERS[name](options);
}

const BUILDERS: Readonly<Record<ScenarioName, (options: WorldOptions) => World>> = {
  "mass-scale-out": massScaleOut,
  "deployment-roll": deploymentRoll,
  "restart-storm": restartStorm,
  "subnet-nearly-full": subnetNearlyFull,
  "throttled-hour": throttledHour,
};

/** Twenty pods a node on average, as soon as it is Ready; each lives an hour on average, and another follows it. */
function massScaleOut(options: WorldOptions): World {
  const random = new Random(options.seed, "nodes");
  const nodes = Array.from({ length: options.nodes }, (_, index) => {
    const launched = (Math.max(0, index - LAUNCH.burst) / LAUNCH.perSecond) * SECOND;
    return (launched + random.spread(BOOT)) / options.assumed.arrival;
  });
  const endMs = Math.max(...nodes) + 10 * MINUTE;
  const pods = new Planner(options, endMs).paced(nodes, { ...PODS, lifeMs: 60 * MINUTE });
  return { nodes, pods, measureFromMs: 0, endMs };
}

/** Every pod is replaced, in four waves of a quarter (maxSurge 25 %): new ones come first, wherever there is room; when they are ready, old ones go. */
function deploymentRoll(options: WorldOptions): World {
  const nodes = restingNodes(options);
  const waves = wavesFrom(REST_MS + MINUTE, options);
  const endMs = endOf(waves) + 8 * MINUTE;
  const pods = new Planner(options, endMs).roll(nodes, { ...PODS, lifeMs: 60 * MINUTE }, waves);
  return { nodes, pods, measureFromMs: REST_MS, endMs };
}

/** Pods that live ten minutes, and all daemons start again at once. */
function restartStorm(options: WorldOptions): World {
  const endMs = REST_MS + 10 * MINUTE;
  const nodes = restingNodes(options);
  const pods = new Planner(options, endMs).perNode(nodes, { ...PODS, lifeMs: 10 * MINUTE });
  return { nodes, pods, measureFromMs: REST_MS, endMs, restartAtMs: REST_MS + MINUTE };
}

/** A subnet in which there is a fifth more room than pods need, between addresses of others. */
function subnetNearlyFull(options: WorldOptions): World {
  const random = new Random(options.seed, "nodes");
  const startMs = (3 * MINUTE) / options.assumed.arrival;
  const nodes = Array.from({ length: options.nodes }, () => random.between(0, startMs));
  const endMs = 15 * MINUTE;
  const pods = new Planner(options, endMs).paced(nodes, { ...PODS, lifeMs: 30 * MINUTE });
  return { nodes, pods, measureFromMs: 0, endMs, subnetSlack: 0.2 };
}

/** For an hour a twentieth of the budget is left, while pods come and go and a deployment rolls. */
function throttledHour(options: WorldOptions): World {
  const untilMs = REST_MS + 60 * MINUTE;
  const endMs = untilMs + 10 * MINUTE;
  const nodes = restingNodes(options);
  const waves = wavesFrom(REST_MS + 10 * MINUTE, options);
  return {
    nodes,
    pods: new Planner(options, endMs).roll(nodes, { ...PODS, lifeMs: 30 * MINUTE }, waves),
    measureFromMs: REST_MS,
    endMs,
    throttled: { fromMs: REST_MS, untilMs, share: 0.05 },
  };
}

/** Pods of one node: twenty on average. */
const PODS = { least: 14, most: 26 } as const;

function restingNodes({ nodes, seed }: WorldOptions): number[] {
  const random = new Random(seed, "nodes");
  return Array.from({ length: nodes }, () => random.between(0, MINUTE));
}

/** As fast as a scheduler binds, and the next quarter when this one is ready. */
function wavesFrom(fromMs: number, { nodes, assumed }: WorldOptions): Waves {
  const inWave = (nodes * (PODS.least + PODS.most)) / 2 / WAVES;
  const spreadMs = Math.max(WAVE_SPREAD_MS, inWave * BINDING_MS) / assumed.arrival;
  return { fromMs, count: WAVES, spreadMs, everyMs: spreadMs + READY_AFTER_MS / assumed.arrival };
}

/** When the last of a roll is over. */
function endOf({ fromMs, count, everyMs }: Waves): number {
  return fromMs + count * everyMs;
}

type Waves = {
  readonly fromMs: number;
  readonly count: number;
  readonly everyMs: number;
  /** A wave's pods come within this. */
  readonly spreadMs: number;
};
type Density = { readonly least: number; readonly most: number; readonly lifeMs: number };

class Planner {
  private readonly options: WorldOptions;
  private readonly endMs: number;
  private serial = 0;

  constructor(options: WorldOptions, endMs: number) {
    this.options = options;
    this.endMs = endMs;
  }

  /** So many pods on each node at any time; each that ends is followed by another a moment later. */
  perNode(nodes: readonly number[], density: Density): PlannedPod[][] {
    return this.successions(nodes, density).map((ofNode) => ofNode.flat());
  }

  /** As perNode(), with first pods bound no faster than a scheduler can. */
  paced(nodes: readonly number[], density: Density): PlannedPod[][] {
    const all = this.successions(nodes, density).flat();
    const paced: PlannedPod[][] = nodes.map(() => []);
    let freeAt = 0;
    for (const succession of all.sort(([a], [b]) => (a?.bindAt ?? 0) - (b?.bindAt ?? 0))) {
      const wantedAt = succession[0]?.bindAt ?? 0;
      const delay = Math.max(0, freeAt - wantedAt);
      freeAt = wantedAt + delay + BINDING_MS / this.options.assumed.arrival;
      for (const pod of succession)
        paced[pod.node]?.push({ ...pod, bindAt: pod.bindAt + delay, endAt: pod.endAt + delay });
    }
    return paced;
  }

  /** As perNode(); then every pod that lives when its wave comes is replaced, and the new one lives to the end. */
  roll(nodes: readonly number[], density: Density, waves: Waves): PlannedPod[][] {
    const random = new Random(this.options.seed, "roll");
    const before = this.successions(nodes, density);
    const after: PlannedPod[][] = before.map(() => []);
    const room = new Room(before, waves, this.options.type);
    const turns = before.flat().map((succession) => ({ succession, wave: random.whole(0, waves.count - 1) }));
    for (let wave = 0; wave < waves.count; wave += 1) {
      room.beginWave(wave);
      for (const { succession } of turns.filter((turn) => turn.wave === wave)) {
        const at = waves.fromMs + wave * waves.everyMs + random.between(0, waves.spreadMs);
        const old = succession.find((pod) => isAlive(pod, at));
        for (const pod of succession) if (pod.endAt <= at) after[pod.node]?.push(pod);
        if (old === undefined) continue;
        const endAt = at + random.between(OLD_POD_STAYS_MS.least, OLD_POD_STAYS_MS.most);
        after[old.node]?.push({ ...old, endAt });
        const node = room.take(random, old.node);
        after[node]?.push({ id: this.serial++, node, bindAt: at, endAt: Number.POSITIVE_INFINITY });
      }
    }
    return after;
  }

  /** Per node, for each of its pods: it and those that follow it, one after the other. */
  private successions(nodes: readonly number[], { least, most, lifeMs }: Density): PlannedPod[][][] {
    const { seed, assumed } = this.options;
    return nodes.map((startAt, node) => {
      const random = new Random(seed, "pods", node);
      return Array.from({ length: random.whole(least, most) }, () => {
        const pods: PlannedPod[] = [];
        let bindAt = startAt + FIRST_POD_AFTER_MS + random.between(0, 2_000) / assumed.arrival;
        while (bindAt < this.endMs) {
          const endAt = bindAt + 5 * SECOND + random.exponential(lifeMs * assumed.life);
          pods.push({ id: this.serial++, node, bindAt, endAt });
          bindAt = endAt + random.between(1, 5) * SECOND;
        }
        return pods;
      });
    });
  }
}

/** How many pods are on each node while waves go over them. */
class Room {
  private readonly load: number[];
  private readonly leaving: number[][];
  private readonly waves: Waves;
  private readonly max: number;
  private wave = 0;

  constructor(nodes: readonly (readonly unknown[])[], waves: Waves, type: InstanceType) {
    this.load = nodes.map((pods) => pods.length);
    this.leaving = Array.from({ length: waves.count }, () => []);
    this.waves = waves;
    this.max = maxPods(type) - HOST_NETWORK_PODS;
  }

  /** What earlier waves replaced has left by then, when they were long enough ago. */
  beginWave(wave: number): void {
    this.wave = wave;
    const gone = wave - Math.ceil((this.waves.spreadMs + OLD_POD_STAYS_MS.most) / this.waves.everyMs);
    for (const node of this.leaving[gone] ?? []) this.load[node] = (this.load[node] ?? 0) - 1;
  }

  /** The emptier of two nodes, as a scheduler spreads them; a full one never. */
  take(random: Random, from: number): number {
    const pick = () => random.whole(0, this.load.length - 1);
    let node = from;
    for (let tries = 0; tries < 100; tries += 1) {
      const [one, other] = [pick(), pick()];
      node = (this.load[one] ?? 0) <= (this.load[other] ?? 0) ? one : other;
      if ((this.load[node] ?? 0) < this.max) break;
    }
    this.load[node] = (this.load[node] ?? 0) + 1;
    this.leaving[this.wave]?.push(from);
    return node;
  }
}
