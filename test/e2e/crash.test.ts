import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IpAddress } from "../../common/ip.ts";
import type { RawSettings } from "../../ipamd/settings.ts";
import { unassignIpv4 } from "../cloudsim/aws/model/assign.ts";
import { tcpAsk } from "../cloudsim/probe/index.ts";
import { HOSTILE, type Place } from "../cloudsim/vpc/index.ts";
import { EXT } from "../cloudsim/vpc/vpc.ts";
import { Cluster, type ClusterNode, type PodOf, twoZones } from "../cluster/cluster.ts";
import type { Sandbox } from "../cluster/runtime.ts";
import { until } from "../shim/waiting.ts";
import { Auditor, type Books } from "./audit.ts";
import { Flow } from "./flow.ts";
import { type CrashMoment, type RecordedPoints, recordPoints, unrecordedPlaces } from "./points.ts";

/** Short, so that the end of a cooling is one of the things that a crash cuts. */
const SETTINGS = { "ip-cooldown-period": "1" };
/** A pool with much to give back, and one that gives it back at once; in single addresses, as a block is kept whole while some of it is the spare. */
const LARGE = { ...SETTINGS, "address-unit": "single", "spare-addresses": "6" };
const FRUGAL = { ...SETTINGS, "address-unit": "single", "release-after": "1" };

const DEATH_DEADLINE_MS = 10_000;
/** Two answers of the cloud, as far apart as they must be to confirm each other. */
const CONFIRM_DEADLINE_MS = 25_000;
/** Idle for a second, and the pace at which a surplus is looked at. */
const RELEASE_DEADLINE_MS = 40_000;

let cluster: Cluster;
let points: RecordedPoints;
let tried: CrashMoment[] = [];

beforeAll(async () => {
  points = await recordPoints();
  cluster = await Cluster.build(twoZones(`crash${process.pid}`));
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  console.log(`the daemon was killed at ${tried.length} points: ${tried.join(" ")}`);
});

/** A node whose daemon is killed again and again, and two pods elsewhere and here that talk all the while. */
type Scene = AsyncDisposable & {
  readonly node: ClusterNode;
  readonly auditor: Auditor;
  readonly place: Place;
  readonly live: PodOf;
  readonly flows: readonly Flow[];
};

async function newNode(name: string): Promise<ClusterNode> {
  return cluster.addNode({ name, subnetId: "subnet-a", instanceType: "m5.large", profile: HOSTILE });
}

async function buildScene(name: string): Promise<Scene> {
  const node = await newNode(name);
  await node.startDaemon("ready for pods", {}, SETTINGS);
  const [first, second] = [await node.addPod(`${name}-p1`), await node.addPod(`${name}-p2`)];
  const flows = [
    await Flow.start(first, second, second.ipv4 as IpAddress),
    await Flow.start(
      first,
      { name: "outside", netnsPath: cluster.vpc.ext.netnsPath },
      IpAddress.parse(EXT.ipv6),
    ),
  ];
  const auditor = await Auditor.open(cluster, node);
  const place = cluster.vpc.addPlace(`${name}-victim`);
  return {
    node,
    auditor,
    place,
    live: first,
    flows,
    [Symbol.asyncDispose]: async () => {
      await auditor[Symbol.asyncDispose]();
      for (const flow of flows) await flow.stop();
    },
  };
}

/** Starts the next daemon over what the last one left, to die at a moment. */
function startToDieAt(
  { node }: Pick<Scene, "node">,
  moment: CrashMoment | undefined,
  settings: RawSettings = SETTINGS,
) {
  tried = moment === undefined ? tried : [...tried, moment];
  return node.startDaemon(
    "serving",
    moment === undefined ? {} : { CAUSEWAY_TEST_CRASH_AT: moment },
    settings,
  );
}

async function died({ node }: Pick<Scene, "node">, deadlineMs = DEATH_DEADLINE_MS): Promise<void> {
  const late = delay(deadlineMs, "alive", { ref: false });
  expect(await Promise.race([node.daemon?.exited, late]), node.daemon?.logText()).toMatchObject({
    signal: "SIGKILL",
  });
}

/** Nothing of the sandbox is left, and every other address is where it was. */
async function settledWithout({ auditor, node }: Scene, sandbox: Sandbox): Promise<void> {
  const { page } = await auditor.settled(({ page: now }) =>
    now.leases.every(({ containerId }) => containerId !== sandbox.containerId),
  );
  expect(page.leases.map(({ name }) => name).sort()).toEqual(node.pods.map(({ name }) => name).sort());
}

/** The pool has grown to what it wants to have free. */
function settledWithSpare({ auditor }: Scene, spare = 2): Promise<Books> {
  return auditor.settled(({ page }) => {
    const free = page.uplinks.map(({ families }) => Math.min(...families.map((one) => one.free)));
    return free.reduce((sum, count) => sum + count, 0) >= spare;
  });
}

/** What the spare does not need has gone back for good: nothing of it is in the cloud or in the pool. */
function settledFrugally({ auditor }: Scene): Promise<Books> {
  return auditor.settled(({ page: { uplinks }, cloud }) => {
    const [free] = uplinks.flatMap(({ families }) => families.filter(({ family }) => family === 4));
    const listed = [...cloud.values()].flat();
    return (
      free?.free === 2 &&
      uplinks.flatMap(({ releasing }) => releasing).every((unit) => !listed.includes(unit))
    );
  }, RELEASE_DEADLINE_MS);
}

async function expectNoLoss({ flows }: Scene): Promise<void> {
  for (const flow of flows) {
    expect(flow.asked).toBeGreaterThan(20);
    expect(await flow.stop()).toEqual([]);
  }
}

describe("the injection points", () => {
  it("are all found by running ADD, DEL, an undoing and the journal", () => {
    expect(unrecordedPlaces(points)).toEqual([]);
    expect(Object.values(points).every((moments) => moments.length > 0)).toBe(true);
  });
});

describe.concurrent("a daemon killed in the middle of", () => {
  it("an ADD gives the pod its network after the restart, or says that it did not", async () => {
    await using scene = await buildScene("add");
    const { node, place, live } = scene;
    await node.daemon?.stop("SIGKILL");
    for (const moment of points.add) {
      await startToDieAt(scene, moment);
      const sandbox = node.runtime.sandbox("victim", place.netnsPath);
      const adding = node.runtime.exec("ADD", sandbox);
      await died(scene);
      await startToDieAt(scene, undefined);
      const run = await adding;
      await scene.auditor.settled();
      expect(run, `${moment} ${run.stdout} ${node.daemon?.logText()}`).toMatchObject({ exitCode: 0 });
      expect(await tcpAsk(place.netnsPath, { to: live.ipv4 as IpAddress, port: 7001 }), moment).toMatchObject(
        { reason: "connection refused" },
      );
      await node.runtime.del(sandbox);
      await settledWithout(scene, sandbox);
      await node.daemon?.stop("SIGKILL");
    }
    await expectNoLoss(scene);
  }, 180_000);

  it("a DEL has ended the lease after the restart", async () => {
    await using scene = await buildScene("del");
    const { node, place } = scene;
    for (const moment of points.del) {
      await node.daemon?.stop("SIGKILL");
      await startToDieAt(scene, moment);
      const sandbox = await node.runtime.add(node.runtime.sandbox("victim", place.netnsPath));
      const deleting = node.runtime.exec("DEL", sandbox);
      await died(scene);
      await startToDieAt(scene, undefined);
      expect(await deleting, moment).toMatchObject({ exitCode: 0, stdout: "" });
      await settledWithout(scene, sandbox);
    }
    await expectNoLoss(scene);
  }, 180_000);

  it("undoing an ADD whose plugin was killed leaves nothing once the runtime's DEL has come", async () => {
    await using scene = await buildScene("undo");
    const { node, place } = scene;
    for (const moment of points.undo) {
      await node.daemon?.stop("SIGKILL");
      await startToDieAt(scene, moment);
      await settledWithSpare(scene);
      const sandbox = node.runtime.sandbox("victim", place.netnsPath);
      await addAndKillPlugin(node, sandbox);
      await died(scene);
      await startToDieAt(scene, undefined);
      // killed before its first write, the undoing has not begun: only the runtime knows, and says so
      await node.runtime.del(sandbox);
      await settledWithout(scene, sandbox);
    }
    await expectNoLoss(scene);
  }, 180_000);

  it("the end of a cooling frees the addresses after the restart", async () => {
    await using scene = await buildScene("cool");
    const { node, place } = scene;
    for (const moment of points.coolingEnds) {
      await node.daemon?.stop("SIGKILL");
      await startToDieAt(scene, moment);
      const sandbox = await node.runtime.add(node.runtime.sandbox("victim", place.netnsPath));
      await node.runtime.del(sandbox);
      await died(scene);
      await startToDieAt(scene, undefined);
      await scene.auditor.settled(({ page }) => page.cooling.length === 0);
    }
    await expectNoLoss(scene);
  }, 180_000);

  it("taking a unit from the cloud holds it after the restart", async () => {
    const node = await newNode("hold");
    for (const moment of [...points.hold, ...points.hold]) {
      tried = [...tried, moment];
      node.launchDaemon({ CAUSEWAY_TEST_CRASH_AT: moment }, SETTINGS);
      await died({ node });
    }
    await node.startDaemon("ready for pods", {}, SETTINGS);
    await using auditor = await Auditor.open(cluster, node);
    await auditor.settled(({ page }) => page.uplinks[0]?.families.every(({ free }) => free >= 2) ?? false);
  }, 180_000);

  it("giving up a unit that the cloud took away has given it up after the restart", async () => {
    await using scene = await buildScene("drop");
    const { node, auditor } = scene;
    for (const moment of points.drop) {
      await settledWithSpare(scene);
      const unit = await takeFreeUnit(scene);
      await node.daemon?.stop("SIGKILL");
      await startToDieAt(scene, moment);
      await died(scene, CONFIRM_DEADLINE_MS);
      await node.startDaemon("ready for pods", {}, SETTINGS);
      await auditor.settled(
        ({ page }) => page.uplinks.every(({ units }) => !units.includes(unit)),
        CONFIRM_DEADLINE_MS,
      );
      await auditor.settled();
    }
    await expectNoLoss(scene);
  }, 180_000);

  it("giving units back to the cloud has given them back after the restart", async () => {
    await using scene = await buildScene("release");
    // among the last of several, too
    for (const moment of points.release.flatMap((first) => [first, first.replace(/:1$/, ":3")])) {
      await scene.node.daemon?.stop("SIGKILL");
      await startToDieAt(scene, undefined, LARGE);
      await settledWithSpare(scene, 6);
      await scene.node.daemon?.stop("SIGKILL");
      await startToDieAt(scene, moment, FRUGAL);
      await died(scene, RELEASE_DEADLINE_MS);
      await startToDieAt(scene, undefined, FRUGAL);
      await settledFrugally(scene);
    }
    await expectNoLoss(scene);
  }, 300_000);

  it("keeping units that the cloud refused to take back loses none of them", async () => {
    await using scene = await buildScene("keep");
    const { faults } = cluster.ec2;
    for (const moment of points.keep) {
      await scene.node.daemon?.stop("SIGKILL");
      await startToDieAt(scene, undefined, LARGE);
      await settledWithSpare(scene, 6);
      await scene.node.daemon?.stop("SIGKILL");
      faults.fail("UnassignPrivateIpAddresses", "UnauthorizedOperation", 1, 403);
      await startToDieAt(scene, moment, FRUGAL);
      await died(scene, RELEASE_DEADLINE_MS);
      await startToDieAt(scene, undefined, LARGE);
      await settledWithSpare(scene, 6);
    }
    await expectNoLoss(scene);
  }, 180_000);
});

/** The daemon sees the whole request and the end of its plugin at one moment. */
async function addAndKillPlugin(node: ClusterNode, sandbox: Sandbox): Promise<void> {
  node.daemon?.kill("SIGSTOP");
  const plugin = node.runtime.start("ADD", sandbox);
  await until("the request is sent", () => plugin.isWaiting());
  plugin.kill();
  await plugin.run;
  node.daemon?.kill("SIGCONT");
}

/** Somebody unassigns a free address in the cloud; gives its unit. */
async function takeFreeUnit(scene: Scene): Promise<string> {
  const { page } = await settledWithSpare(scene);
  const used = [...page.leases.flatMap(({ addresses }) => addresses), ...page.cooling];
  const [uplink] = page.uplinks;
  const unit = uplink?.units.find((text) => text.endsWith("/32") && !used.includes(text.slice(0, -3)));
  if (uplink === undefined || unit === undefined) throw new Error(`no free unit: ${JSON.stringify(page)}`);
  unassignIpv4(cluster.ec2.account, uplink.interfaceId, { addresses: [unit.slice(0, -3)], prefixes: [] });
  return unit;
}
