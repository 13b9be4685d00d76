/** A subnet without a free address: the pod that gets none, the node and the operator are told exactly that. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SubnetId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { runProgram } from "../../common/kernel/processes.ts";
import type { PoolView } from "../../ipamd/pool-view.ts";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode, INSPECT_PORT, twoZones } from "./cluster.ts";
import { readPage } from "./pool-page.ts";

const SETTINGS = { "ip-families": "ipv4", "address-unit": "single", "max-eni": "2" };
/** Longer than it takes until a pod's waiting is told of. */
const ADD_WAIT_MS = "8000";
const SOON = { timeout: 15_000, interval: 100 };

let cluster: Cluster;
let node: ClusterNode;
/** What the plugin said to the pod that came when nothing was left. */
let refusal: { readonly code: number; readonly msg: string; readonly details?: string };

beforeAll(async () => {
  cluster = await Cluster.build(sixteenAddresses());
  node = await cluster.addNode({
    name: "node-a",
    subnetId: "subnet-a",
    instanceType: "m5.large",
    profile: HOSTILE,
  });
  await node.startDaemon("ready for pods", { CAUSEWAY_ADD_WAIT_MS: ADD_WAIT_MS }, SETTINGS);
  // EC2 keeps five addresses of a subnet, and the interfaces' own are two: of sixteen nine are left
  for (let number = 0; number < 9; number += 1) await node.addPod(`p${number}`);
  const sandbox = node.runtime.sandbox("late", cluster.vpc.addPlace("late").netnsPath);
  const run = await node.runtime.exec("ADD", sandbox);
  refusal = JSON.parse(run.stdout) as typeof refusal;
});
afterAll(() => cluster?.[Symbol.asyncDispose]());

function sixteenAddresses() {
  const network = twoZones(`fs${process.pid}`);
  const [first, ...others] = network.subnets;
  if (first === undefined) throw new Error("no subnet");
  const small = { ...first, id: "subnet-a" as SubnetId, ipv4: Cidr.parse("10.0.0.0/28") };
  return { ...network, subnets: [small, ...others] };
}

async function readView(): Promise<PoolView> {
  return JSON.parse((await readPage(node.place.netnsPath, "/pool")).body) as PoolView;
}

function explain(port: number, ...argv: string[]) {
  const program = [process.execPath, "dist/ipamd/causewayctl.mjs", "explain", ...argv];
  const environment = `CAUSEWAY_INSPECT=127.0.0.1:${port}`;
  return runProgram(["env", environment, "nsenter", `--net=${node.place.netnsPath}`, ...program]);
}

describe("a node whose subnet is full", () => {
  it("names the subnet in the CNI error of the pod that gets no address", () => {
    expect(refusal).toMatchObject({ code: 11 });
    expect(`${refusal.msg} ${refusal.details ?? ""}`).toMatch(/no address for this pod: .*subnet-a/);
  });

  it("tells it of the pod and of the node, once each", () => {
    const told = (what: string) => node.daemon?.lines.filter(({ msg }) => msg === what) ?? [];
    expect(told("an event of a pod")).toMatchObject([
      { pod: "demo/late", reason: "WaitingForAddress", message: expect.stringContaining("subnet-a") },
    ]);
    expect(told("a condition of this node").at(-1)).toMatchObject({
      condition: "PodAddressesAvailable",
      status: "False",
      reason: "SubnetFull",
    });
    const failures = told("the cloud did not do what the pool needs");
    expect(failures.length).toBeLessThanOrEqual(2);
  });

  it("counts it in metrics", async () => {
    const { body } = await readPage(node.place.netnsPath, "/metrics");
    const lines = body.split("\n");
    expect(lines).toContain('causeway_address_wait_seconds_count{outcome="given-up"} 1');
    expect(lines).toContain('causeway_pool_demand{part="leased"} 9');
    expect(
      lines.some((line) => /^causeway_pool_actions_total\{kind="assign",outcome="ok"\} [1-9]/.test(line)),
    ).toBe(true);
    expect(lines.some((line) => /^causeway_pool_obstacles\{kind="full-subnet"\} 1$/.test(line))).toBe(true);
    expect(
      lines.some((line) => /^causeway_pool_actions_total\{.*outcome="subnet-exhausted"\}/.test(line)),
    ).toBe(true);
  });

  it("causewayctl explain says the sum, the reason and who waits, and the same as JSON", async () => {
    const sandbox = node.runtime.sandbox("waits", cluster.vpc.addPlace("waits").netnsPath);
    const plugin = node.runtime.start("ADD", sandbox);
    await expect.poll(async () => (await readView()).waiting, SOON).toBe(1);
    const said = await explain(INSPECT_PORT);
    expect(said.exitCode, said.stderr).toBe(0);
    expect(said.stdout).toMatch(
      /^Wanted: 12 addresses: 9 leased \+ 0 cooling \+ 1 expected \+ 2 spare = 12\.$/m,
    );
    expect(said.stdout).toMatch(/^Held: 9 on \d interfaces?: 9 leased, 0 cooling, 0 free\.$/m);
    expect(said.stdout).toMatch(/^Nothing more can be had \(SubnetFull\): .*subnet-a/m);
    expect(said.stdout).toMatch(
      /^1 pod waits for an address, for the reason above:\n {2}demo\/waits, for \d+ s$/m,
    );
    expect(said.stdout).toMatch(/^ {2}address-unit=single \(file\)$/m);
    const { stdout } = await explain(INSPECT_PORT, "--json");
    const view = JSON.parse(stdout) as PoolView;
    expect(view).toMatchObject({
      limitReason: "SubnetFull",
      plan: { leased: 9, target: 12 },
      waitingPods: [{ pod: "demo/waits" }],
      settings: {
        "spare-addresses": { value: "2", from: "default" },
        "max-eni": { value: "2", from: "file" },
      },
    });
    plugin.kill();
    await plugin.run;
  });

  it("a pod that waits is served when another one ends, which is told too", async () => {
    const waits = node.runtime.sandbox("patient", cluster.vpc.addPlace("patient").netnsPath);
    node.writeSettings({ ...SETTINGS, "ip-cooldown-period": "6" });
    const cooldown = async () => (await readView()).settings["ip-cooldown-period"]?.value;
    await expect.poll(cooldown, SOON).toBe("6");
    const plugin = node.runtime.start("ADD", waits);
    await expect.poll(async () => (await readView()).waiting, SOON).toBe(1);
    const [first] = node.pods;
    if (first === undefined) throw new Error("no pod");
    await node.runtime.del(first);
    expect(await plugin.run).toMatchObject({ exitCode: 0 });
    const served = () => node.daemon?.lines.find(({ reason }) => reason === "AddressAssigned");
    await expect.poll(served, SOON).toMatchObject({ level: "info", pod: "demo/patient" });
  });

  it("causewayctl explain says in one line that nobody answers", async () => {
    const nobody = await explain(9);
    expect(nobody).toMatchObject({ exitCode: 1, stdout: "" });
    expect(nobody.stderr).toMatch(/^causewayctl: no causeway daemon answers at 127\.0\.0\.1:9 \(.*\n$/);
  });
});
