import { beforeEach, describe, expect, it } from "vitest";
import { Kubelet } from "./kubelet.ts";
import type { NodeAgent, SimPod } from "./node-agent.ts";
import { Tally } from "./tally.ts";
import { VirtualClock } from "./virtual-clock.ts";

let clock: VirtualClock;
let tally: Tally;

beforeEach(() => {
  clock = new VirtualClock();
  tally = new Tally(clock);
  tally.nodeStarted();
});

function agent(add: (pod: SimPod) => Promise<number>): NodeAgent {
  const nothing = () => undefined;
  return {
    start: async () => {},
    restart: nothing,
    podBound: nothing,
    podGone: nothing,
    add,
    remove: nothing,
    stop: nothing,
  };
}

function kubelet(one: NodeAgent, isRoutedHere = () => true): Kubelet {
  return new Kubelet({ agent: one, isRoutedHere, clock, tally, seed: 1 });
}

const pod = (id: number, bindAt = 0, endAt = Number.POSITIVE_INFINITY) => ({ id, node: 0, bindAt, endAt });
const figures = () => tally.figures({ calls: 0, throttled: 0 });

describe("Kubelet", () => {
  it("asks again 10 to 15 s after a refusal, and the pod's wait begins with its first ADD", async () => {
    let refusals = 0;
    const node = kubelet(
      agent(async ({ id }) => {
        refusals += 1;
        if (refusals < 3) throw new Error("empty");
        return id;
      }),
    );
    node.nodeReady();
    node.plan([pod(7)]);
    await clock.run(60_000);
    expect(figures().waitP99Ms).toBeGreaterThanOrEqual(20_000);
    expect(figures().waitP99Ms).toBeLessThanOrEqual(30_000);
  });

  it("counts the wait for a node that is not Ready, and that of a pod which never gets an address", async () => {
    const late = kubelet(agent(async ({ id }) => id));
    late.plan([pod(1)]);
    clock.at(30_000, () => late.nodeReady());
    await clock.run(60_000);
    expect(figures().waitP99Ms).toBeGreaterThan(28_000);
    const never = kubelet(agent(() => Promise.reject(new Error("empty"))));
    never.nodeReady();
    never.plan([pod(2, clock.now())]);
    await clock.run(clock.now() + 600_000);
    expect(figures().waitP99Ms).toBeGreaterThan(590_000);
  });

  it("ends the simulation when an address is given twice", async () => {
    const node = kubelet(agent(async () => 42));
    node.nodeReady();
    node.plan([pod(1), pod(2)]);
    await expect(clock.run(60_000)).rejects.toThrow("address 42 was given to pods");
  });

  it("ends the simulation when a node gives an address that it does not have", async () => {
    const node = kubelet(
      agent(async () => 42),
      () => false,
    );
    node.nodeReady();
    node.plan([pod(1)]);
    await expect(clock.run(60_000)).rejects.toThrow("which it has not");
  });
});

describe("Tally", () => {
  it("gives the mean over nodes and time of what is held and not used", async () => {
    tally.heldChanged(10);
    await clock.run(1_000);
    tally.use(1, 1);
    tally.use(2, 2);
    await clock.run(2_000);
    expect(figures().wastePerNode).toBe(9);
    tally.begin();
    await clock.run(3_000);
    expect(figures().wastePerNode).toBe(8);
  });
});
