import { writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { EDITIONS } from "./editions.ts";
import { resultsOf } from "./leftovers.ts";
import { type RunningPod, RuntimeNode } from "./runtime-node.ts";
import { TestList } from "./test-plugins.ts";

const BURST = 50;
/** The cloud answers after the runtime's caller has gone. */
const [GIVEN_UP_MS, SLOW_MS] = [1_000, 3_000];

describe.each(EDITIONS)("$name", (edition) => {
  let world: RuntimeNode;

  beforeAll(async () => {
    world = await RuntimeNode.start(edition);
  });

  afterEach(() => world.clear());

  afterAll(() => world[Symbol.asyncDispose]());

  it("runs sandboxes that reach each other, stops and removes them, each step twice", async () => {
    const pods = await world.runAll(["a", "b", "c"]);
    await world.expectTalk(pods);
    await world.expectExactly(pods);
    const { cri } = world.containerd;
    for (const { id } of pods) {
      await cri.stop(id);
      expect(await cri.status(id)).toMatchObject({ isReady: false });
      await cri.stop(id);
      await cri.remove(id);
      await cri.remove(id);
    }
    await world.expectExactly([]);
  });

  const successors = [
    {
      name: "aws-08: another attempt of a pod keeps its network when the sandbox before it is stopped late",
      uid: "uid-web-0",
    },
    {
      name: "aws-08: a new pod keeps its network when the sandbox of an old one of its name is stopped late",
      uid: "uid-web-0-again",
    },
  ];
  for (const { name, uid } of successors)
    it(name, async () => {
      const { cri } = world.containerd;
      const [old, other] = await world.runAll(["web-0", "other"]);
      const next = await world.run("web-0", { uid });
      await world.expectExactly([old, other, next] as RunningPod[]);
      await world.expectTalk([old, other, next] as RunningPod[]);
      for (const end of [() => cri.stop(old?.id ?? ""), () => cri.remove(old?.id ?? "")]) {
        await end();
        await end();
        expect(await cri.status(next.id)).toMatchObject({ isReady: true, addresses: next.addresses });
        await world.expectTalk([other, next] as RunningPod[]);
      }
      await world.expectExactly([other, next] as RunningPod[]);
      await world.endAll([other, next] as RunningPod[]);
      await world.expectExactly([]);
    });

  const failures = [
    { name: "leaves nothing when a plugin after ours fails", failsDel: false },
    {
      name: "aws-11, oth-40: leaves nothing when a plugin after ours fails, and its DEL ends the chain before ours",
      failsDel: true,
    },
  ];
  for (const { name, failsDel } of failures)
    it(name, async () => {
      const [alive] = await world.runAll(["alive"]);
      {
        await using list = await TestList.install(world.containerd, "broken", ["causeway", "broken"]);
        list.turn("del", failsDel);
        const tries = Array.from({ length: 10 }, (_, index) => world.run(`half-${index % 3}`));
        for (const outcome of await Promise.allSettled(tries))
          expect(String((outcome as PromiseRejectedResult).reason)).toContain("broken on purpose");
      }
      // 1.6 keeps those whose DEL failed, for kubelet to try again
      await world.endListedBeside([alive as RunningPod]);
      await world.expectExactly([alive as RunningPod]);
      await world.end(alive as RunningPod);
      await world.expectExactly([]);
    });

  it("aws-01, aws-02: leaves nothing of sandboxes that were given up while the cloud was slow", async () => {
    world.faults.delay("*", SLOW_MS, SLOW_MS);
    // more than what is free without the cloud
    const count = (await world.freeAddresses()) + 6;
    const tries = Array.from({ length: count }, (_, index) =>
      world.run(`slow-${index}`, { deadlineMs: GIVEN_UP_MS }),
    );
    const outcomes = await Promise.allSettled(tries);
    world.faults.clear();
    const pods = outcomes.filter((outcome) => outcome.status === "fulfilled").map(({ value }) => value);
    expect(count - pods.length).toBeGreaterThanOrEqual(6);
    // it waits for the cloud's late answer as well, and gets what comes then
    const served = [...pods, await world.run("patient")];
    await world.endListedBeside(served);
    await world.expectExactly(served);
  });

  it("aws-06: frees addresses when the runtime's record of the result was cut short, emptied or overwritten", async () => {
    const records = ["", '{"kind":"cniCacheV1"', "{}", "null", "\0\0"];
    const alive = await world.run("alive");
    const pods = await world.runAll(records.map((_, index) => `cut-${index}`));
    for (const [index, text] of records.entries())
      for (const file of resultsOf(pods[index]?.id ?? "none")) writeFileSync(file, text);
    await world.endListedBeside([alive]);
    await world.expectExactly([alive]);
  });

  it(`runs ${BURST} sandboxes at once, each with addresses of its own, and removes them at once`, async () => {
    const pods = await world.runAll(Array.from({ length: BURST }, (_, index) => `burst-${index}`));
    await world.expectExactly(pods);
    await world.expectTalk(pods);
    await world.endAll(pods);
    await world.expectExactly([]);
  }, 120_000);
});
