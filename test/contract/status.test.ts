/** STATUS through a node's life, asked as a runtime asks: every few seconds, and whatever the daemon does. */
import { utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode, twoZones } from "../cluster/cluster.ts";
import { readPoolPage } from "../cluster/pool-page.ts";
import type { PluginRun } from "../cluster/runtime.ts";

/** Nobody listens there. */
const CLOUD_CLOSED = {
  AWS_ENDPOINT_URL_EC2: "http://127.0.0.1:1",
  AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1",
};

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.build(twoZones(`status${process.pid}`));
});

afterAll(() => cluster[Symbol.asyncDispose]());

function newNode(name: string): Promise<ClusterNode> {
  return cluster.addNode({ name, subnetId: "subnet-a", instanceType: "t3.small", profile: HOSTILE });
}

function status(node: ClusterNode): Promise<PluginRun> {
  const sandbox = { name: "none", containerId: "", netnsPath: "", ifname: "" };
  const stdin = JSON.stringify({ cniVersion: "1.1.0", name: "causeway", type: "causeway" });
  return node.runtime.exec("STATUS", sandbox, { stdin, env: { CNI_ARGS: undefined } });
}

const READY = { exitCode: 0, stdout: "", stderr: "" };

async function expectCode50(node: ClusterNode, text: RegExp): Promise<void> {
  const { exitCode, stdout } = await status(node);
  expect(exitCode).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    cniVersion: "1.1.0",
    code: 50,
    msg: expect.stringMatching(text),
  });
}

it("aws-16: is code 50 until the node can serve pods for the first time, and never again while its daemon comes back", async () => {
  const node = await newNode("node-a");
  await expectCode50(node, /has not started/);

  await node.startDaemon("serving", CLOUD_CLOSED);
  await node.daemon?.logged("pool not reconciled");
  await expectCode50(node, /no pod can be served: .*(127\.0\.0\.1:1|metadata|ECONNREFUSED)/i);
  // one that was never ready does not look ready to the shim either, once it is away
  await node.daemon?.stop("SIGKILL");
  await expectCode50(node, /has not started/);

  await node.startDaemon("ready for pods");
  expect(await status(node)).toMatchObject(READY);
  await node.daemon?.stop("SIGKILL");
  expect(await status(node)).toMatchObject(READY);

  // known from the kernel: a cloud that is away is no reason to evict pods
  await node.startDaemon("serving", CLOUD_CLOSED);
  await node.daemon?.logged("pool not reconciled");
  expect(await status(node)).toMatchObject(READY);
  await node.daemon?.stop("SIGTERM");

  await node.startDaemon("ready for pods");
  node.daemon?.kill("SIGSTOP");
  const asked = await status(node);
  expect(asked).toMatchObject(READY);
  expect(asked.durationMs).toBeLessThan(3_000);
  const alive = path.join(path.dirname(node.socketPath), "alive");
  writeFileSync(alive, "");
  utimesSync(alive, Date.now() / 1000 - 61, Date.now() / 1000 - 61);
  await expectCode50(node, /gone/);
  node.daemon?.kill("SIGCONT");
  expect(await status(node)).toMatchObject(READY);
});

it("succeeds for a node that is full", async () => {
  const node = await newNode("node-b");
  await node.startDaemon("ready for pods", {}, { "address-unit": "single" });
  // t3.small: 3 interfaces of 4 addresses, the first of each its own
  for (let index = 0; index < 9; index += 1) await node.addPod(`full-${index}`);
  const { uplinks } = await readPoolPage(node.place.netnsPath);
  expect(uplinks.flatMap(({ families }) => families.map(({ free }) => free))).toEqual([0, 0, 0, 0, 0, 0]);
  expect(await status(node)).toMatchObject(READY);
});
