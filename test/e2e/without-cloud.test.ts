/** A daemon without its cloud: what is held can be given, and running pods notice nothing. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { createNetns } from "../kernel/namespaces.ts";
import { LivingNode, SETTINGS } from "./living-node.ts";

/** Nobody listens there. */
const CLOUD_CLOSED = {
  AWS_ENDPOINT_URL_EC2: "http://127.0.0.1:1",
  AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1",
};

let life: LivingNode;

beforeAll(async () => {
  life = await LivingNode.start(`away${process.pid}`);
});

afterAll(() => life[Symbol.asyncDispose]());

const cases = [
  { name: "refusing", environment: CLOUD_CLOSED, isHanging: false },
  { name: "hanging", environment: {}, isHanging: true },
];
for (const { name, environment, isHanging } of cases)
  it(`a cloud ${name} at a start changes nothing for pods: DEL works, ADD from held addresses too`, async () => {
    const { node, cluster } = life;
    await life.settledWithSpare();
    await node.daemon?.stop("SIGKILL");
    if (isHanging) {
      cluster.ec2.faults.hang("*", 10_000);
      cluster.ec2.imds(node.instance).faults.hang(/./, 10_000);
    }
    await node.startDaemon("serving", environment, SETTINGS);
    using place = createNetns();
    const { durationMs, ...pod } = await life.addIn(place, "held");
    expect(durationMs).toBeLessThan(2_000);
    expect(await life.isReached(place.path)).toBe(true);
    await node.runtime.del(pod);
    cluster.ec2.faults.clear();
    cluster.ec2.imds(node.instance).faults.clear();
    await node.daemon?.stop("SIGKILL");
    await node.startDaemon("ready for pods", {}, SETTINGS);
    await life.onlyTheLiving();
  });

it("a cloud that is away at the very first start makes an ADD wait, then fail with the reason", async () => {
  const fresh = await life.addNode("fresh");
  await fresh.startDaemon("serving", { ...CLOUD_CLOSED, CAUSEWAY_ADD_WAIT_MS: "1500" });
  using place = createNetns();
  const run = await fresh.runtime.exec("ADD", fresh.runtime.sandbox("early", place.path));
  expect(run).toMatchObject({ exitCode: 1 });
  expect(run.durationMs).toBeGreaterThan(1_400);
  expect(JSON.parse(run.stdout)).toMatchObject({
    code: 11,
    msg: expect.stringContaining("no address for this pod: "),
  });
  await fresh.daemon?.stop();
});
