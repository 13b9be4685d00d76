/** ADDs and DELs in any order and at any time: every plugin ends by its own deadline, and afterwards every address is accounted for. */

import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { IpAddress } from "../../common/ip.ts";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode, twoZones } from "../cluster/cluster.ts";
import type { AddedSandbox, PluginRun, Sandbox } from "../cluster/runtime.ts";
import { Auditor } from "./audit.ts";

const SETTINGS = { "ip-cooldown-period": "1" };
/** Minutes instead of seconds, as an operator's machine has them. */
const FULL = process.env.CAUSEWAY_TEST_FULL === "1";
const SKEW_ROUNDS = 500;
const STOPPED_MS = FULL ? 60_000 : 12_000;
const CALLS_PER_SECOND = FULL ? 50 : 25;
/** Sandboxes of those calls that are not ended: fewer than the node has addresses. */
const KEPT = 12;
/** DESIGN: the plugin's own, and what a busy machine may add to see a process end. */
const ENDS_BY_MS = { ADD: 90_000 + 3_000, DEL: 5_000 + 3_000 } as const;
const BOOKS_DEADLINE_MS = 30_000;

let cluster: Cluster;
let node: ClusterNode;
let auditor: Auditor;
let number = 0;

beforeAll(async () => {
  cluster = await Cluster.build(twoZones(`or${process.pid}`));
  node = await cluster.addNode({
    name: "node-a",
    subnetId: "subnet-a",
    instanceType: "m5.large",
    profile: HOSTILE,
  });
  await node.startDaemon("ready for pods", {}, SETTINGS);
  auditor = await Auditor.open(cluster, node);
});

afterAll(async () => {
  await auditor?.[Symbol.asyncDispose]();
  await cluster?.[Symbol.asyncDispose]();
});

/** A sandbox in a namespace that many share, each under a link name of its own. */
function newSandbox(netnsPath: string, name?: string): Sandbox {
  number += 1;
  return { ...node.runtime.sandbox(name ?? `pod-${number}`, netnsPath), ifname: `e${number}` };
}

/** Exactly these have a lease, and the cloud, the daemon and the kernel agree on every address. */
async function expectLeases(sandboxes: readonly Sandbox[]): Promise<void> {
  const wanted = sandboxes.map(({ containerId }) => containerId).sort();
  const { page } = await auditor.settled(
    ({ page: now }) => now.leases.length === wanted.length && now.cooling.length === 0,
    BOOKS_DEADLINE_MS,
  );
  expect(page.leases.map(({ containerId }) => containerId).sort()).toEqual(wanted);
}

/** True when it has done what it was asked to; one that has not says that it may be asked again. */
async function hasDoneInTime(command: keyof typeof ENDS_BY_MS, run: Promise<PluginRun>): Promise<boolean> {
  const { durationMs, exitCode, stdout } = await run;
  expect(durationMs).toBeLessThan(ENDS_BY_MS[command]);
  if (exitCode !== 0) expect(JSON.parse(stdout)).toMatchObject({ code: 11 });
  return exitCode === 0;
}

/** A generator that gives the same numbers in every run: 0 to below 1. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

it(`an ADD and a DEL of one sandbox at random skew, ${SKEW_ROUNDS} times, leave nothing`, async () => {
  const { netnsPath } = cluster.vpc.addPlace("skew");
  const next = numbers(11);
  for (let round = 0; round < SKEW_ROUNDS; round += 1) {
    const sandbox = newSandbox(netnsPath);
    // an ADD takes some 10 ms
    const skewMs = next() * 20 - 4;
    const add = delay(Math.max(0, -skewMs)).then(() => node.runtime.exec("ADD", sandbox));
    const del = delay(Math.max(0, skewMs)).then(() => node.runtime.exec("DEL", sandbox));
    expect(await del).toMatchObject({ exitCode: 0 });
    const added = await add;
    // a DEL that was first is no end of a later ADD: the runtime ends that one, too
    if (added.exitCode === 0) expect(await node.runtime.exec("DEL", sandbox)).toMatchObject({ exitCode: 0 });
    else expect(JSON.parse(added.stdout)).toMatchObject({ code: 11 });
  }
  await expectLeases([]);
}, 120_000);

it("a sandbox in the namespace of one that has just ended gets its link under the same name", async () => {
  const { netnsPath } = cluster.vpc.addPlace("reused");
  for (let round = 0; round < 20; round += 1) {
    const sandbox = node.runtime.sandbox(`reused-${round}`, netnsPath);
    await node.runtime.add(sandbox);
    await node.runtime.del(sandbox);
  }
  await expectLeases([]);
});

it("two sandboxes of one pod name have an address each, and the end of the older leaves the newer its own", async () => {
  const { netnsPath } = cluster.vpc.addPlace("same-name");
  const [older, newer] = [newSandbox(netnsPath, "web-0"), newSandbox(netnsPath, "web-0")];
  const [first, second] = [await node.runtime.add(older), await node.runtime.add(newer)];
  expect(second.ipv4).not.toEqual(first.ipv4);
  await node.runtime.del(older);
  await expectLeases([newer]);
  // late, and again: the newer pod is not meant
  await node.runtime.del(older);
  await expectLeases([newer]);
  await node.runtime.del(newer);
  await expectLeases([]);
});

it("a DEL that comes when its pod's address is another pod's by now ends nothing", async () => {
  const place = cluster.vpc.addPlace("gone");
  const late = newSandbox(place.netnsPath);
  const { ipv4 } = await node.runtime.add(late);
  cluster.vpc.removePlace(place);
  await expectLeases([]);
  const { netnsPath } = cluster.vpc.addPlace("heirs");
  const heirs = [];
  // the address that has been free longest comes last
  for (
    let heir: AddedSandbox | undefined;
    heir === undefined || !heir.ipv4?.equals(ipv4 as IpAddress);
    heirs.push(heir)
  )
    heir = await node.runtime.add(newSandbox(netnsPath));
  await node.runtime.del(late);
  await expectLeases(heirs);
  for (const heir of heirs) await node.runtime.del(heir);
  await expectLeases([]);
});

it(`a daemon stopped for ${STOPPED_MS / 1000} s under ${CALLS_PER_SECOND} calls a second`, async () => {
  const { netnsPath } = cluster.vpc.addPlace("stopped");
  const next = numbers(7);
  const adds: Promise<PluginRun>[] = [];
  const dels: { readonly sandbox: Sandbox; readonly run: Promise<PluginRun> }[] = [];
  const kept: { readonly sandbox: Sandbox; readonly run: Promise<PluginRun> }[] = [];
  node.daemon?.kill("SIGSTOP");
  const pairs = ((STOPPED_MS / 1000) * CALLS_PER_SECOND) / 2;
  for (let pair = 0; pair < pairs; pair += 1) {
    const sandbox = newSandbox(netnsPath);
    const run = node.runtime.exec("ADD", sandbox);
    adds.push(run);
    // a few stay; the others end while their ADD waits, or before it began
    if (pair % Math.ceil(pairs / KEPT) === 0) kept.push({ sandbox, run });
    else setTimeout(() => dels.push({ sandbox, run: node.runtime.exec("DEL", sandbox) }), next() * 2_000);
    await delay((2 * 1000) / CALLS_PER_SECOND);
  }
  node.daemon?.kill("SIGCONT");
  // until the last DEL has begun
  await delay(2_000);
  // where the queue was full: as a runtime, which asks again
  for (const { sandbox, run } of dels)
    if (!(await hasDoneInTime("DEL", run))) await node.runtime.del(sandbox);
  for (const run of adds) await hasDoneInTime("ADD", run);
  const added: Sandbox[] = [];
  for (const { sandbox, run } of kept) if ((await run).exitCode === 0) added.push(sandbox);
  expect(added.length).toBeGreaterThan(0);
  await expectLeases(added);
  for (const sandbox of added) await node.runtime.del(sandbox);
  await expectLeases([]);
}, 300_000);
