/** What a chained plugin or the pod itself does to the pod's own end of its pair. */
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runIn } from "../cloudsim/vpc/index.ts";
import type { PodOf } from "./cluster.ts";
import { FieldNode, RESTORED } from "./field-node.ts";

const MAC = "02:42:0a:3c:00:99";
let field: FieldNode;

beforeAll(async () => {
  field = await FieldNode.start("pe");
  await field.addPods("p0", "p1");
  await field.expectTalk();
});

afterAll(() => field?.[Symbol.asyncDispose]());

const inPod = (pod: PodOf, line: string) => runIn(pod.netnsPath, ["sh", "-ec", line]);
const addresses = (pod: PodOf) => [pod.ipv4, pod.ipv6].filter((address) => address !== undefined);

/** From the node, which has nothing but its permanent entries to find the pod by. */
function answersNode(pod: PodOf): boolean {
  return addresses(pod).every((address) =>
    field.sh(`ping -c1 -W1 ${address} || true`).includes(" 1 received"),
  );
}

/** What a runtime does with the next plugin of the chain: the real one that sets hardware addresses. */
function chainTuning(pod: PodOf, mac: string): void {
  const prevResult = {
    cniVersion: "1.0.0",
    interfaces: [{ name: "eth0", sandbox: pod.netnsPath }],
    ips: addresses(pod).map((address) => ({ address: String(address.toCidr()), interface: 0 })),
  };
  execFileSync("/usr/lib/cni/tuning", {
    input: JSON.stringify({ cniVersion: "1.0.0", name: "causeway", type: "tuning", mac, prevResult }),
    env: {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netnsPath,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/usr/lib/cni",
    },
  });
}

/** proc(5): fields 14 and 15 of stat, in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

it("oth-56: a pod whose MAC a chained plugin changes talks with the node and the network at once", async () => {
  const [pod] = await field.addPods("tuned");
  if (pod === undefined) throw new Error("no pod");
  chainTuning(pod, MAC);
  await expect.poll(() => answersNode(pod), RESTORED).toBe(true);
  await field.expectTalk();
});

it("oth-56: a changed MAC is followed again by the next daemon, and so is its return", async () => {
  const [pod] = field.node.pods;
  if (pod === undefined) throw new Error("no pod");
  const own = inPod(pod, "ip -j link show eth0").match(/"address":"([^"]*)"/)?.[1];
  await field.node.daemon?.stop();
  inPod(pod, `ip link set eth0 address ${MAC}`);
  expect(answersNode(pod)).toBe(false);
  await field.node.startDaemon();
  await expect.poll(() => answersNode(pod), RESTORED).toBe(true);
  await field.node.daemon?.stop();
  await field.node.startDaemon();
  expect(answersNode(pod)).toBe(true);
  inPod(pod, `ip link set eth0 address ${own}`);
  await expect.poll(() => answersNode(pod), RESTORED).toBe(true);
  await field.expectTalk();
});

it("oth-56: a pod that set its own link down and up is whole again once it puts back what is inside it", async () => {
  const pod = field.node.pods[1];
  if (pod === undefined) throw new Error("no pod");
  const hostSide = () => field.lines(`ip neighbour show dev ${pod.hostLink} nud permanent`).sort();
  const before = hostSide();
  const read = () => {
    const routes = ["-4", "-6"].flatMap((family) =>
      inPod(pod, `ip ${family} route show default`).split("\n"),
    );
    const entries = inPod(pod, "ip neighbour show nud permanent").split("\n");
    return { routes: routes.filter((line) => line !== ""), entries: entries.filter((line) => line !== "") };
  };
  const had = read();
  inPod(pod, "ip link set eth0 down; ip link set eth0 up");
  expect(read()).toEqual({ routes: [], entries: [] });
  inPod(
    pod,
    [
      `ip address add ${pod.ipv6}/128 dev eth0 nodad`,
      ...had.entries.map((entry) => `ip neighbour replace ${entry.replace("PERMANENT", "nud permanent")}`),
      ...had.routes.map((route) => `ip route add ${route.replace(/ pref \w+/, "").trim()}`),
    ].join("\n"),
  );
  expect(hostSide()).toEqual(before);
  await field.expectTalk();
});

it("oth-56: a pod that changes its link without end costs the daemon little, and another pod is followed meanwhile", async () => {
  const [noisy, pod] = await field.addPods("noisy", "quiet");
  const daemon = field.node.daemon;
  if (noisy === undefined || pod === undefined || daemon === undefined) throw new Error("not there");
  const changes = `link set eth0 address ${MAC}\nlink set eth0 address 02:42:0a:3c:00:98\n`.repeat(20_000);
  const batch = path.join(field.cluster.folder, "changes");
  writeFileSync(batch, changes);
  const forever = `while :; do ip -batch ${batch}; done`;
  const netns = path.basename(noisy.netnsPath);
  // a group of its own, as what runs under the shell would end only with its 40 000 changes
  const noise = spawn("ip", ["netns", "exec", netns, "sh", "-c", forever], { detached: true });
  try {
    const before = cpuMs(daemon.pid);
    const startedAt = performance.now();
    inPod(pod, `ip link set eth0 address ${MAC}`);
    await expect.poll(() => answersNode(pod), RESTORED).toBe(true);
    await expect.poll(() => performance.now() - startedAt, RESTORED).toBeGreaterThan(2_000);
    const share = (cpuMs(daemon.pid) - before) / (performance.now() - startedAt);
    // read as they come, they take a whole core
    expect(share).toBeLessThan(0.4);
  } finally {
    process.kill(-(noise.pid ?? 0), "SIGKILL");
  }
  await expect.poll(() => answersNode(noisy), RESTORED).toBe(true);
});
