/** What the cloud is asked to change until a node that has nothing serves many pods: by the embedded EC2's own log. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import type { Cluster } from "../cluster/cluster.ts";

/** Instance types that are tried, with the unit of addresses there, and how many writes there may be for 100 pods. */
export const COLD_NODES = {
  "m5.large": { unit: "block", writesMax: 2 },
  "m5.4xlarge": { unit: "single", writesMax: 10 },
} as const;
export type ColdNode = keyof typeof COLD_NODES;

/** Changing calls by instance type; and which they were. */
export type Writes = Readonly<Record<ColdNode, number>> & {
  readonly pods: number;
  readonly calls: Readonly<Record<ColdNode, Readonly<Record<string, number>>>>;
};

const READY_WITHIN_MS = 60_000;

/** IPv4, as the settings have it by themselves. All pods are bound to the node before its daemon starts. */
export async function measureWrites(
  cluster: Cluster,
  pods: number,
  progress: (done: number) => void,
): Promise<Writes> {
  const large = await writesOn(cluster, "m5.large", pods);
  progress(1);
  const huge = await writesOn(cluster, "m5.4xlarge", pods);
  progress(2);
  const count = (calls: Readonly<Record<string, number>>) =>
    Object.values(calls).reduce((sum, times) => sum + times, 0);
  return {
    "m5.large": count(large),
    "m5.4xlarge": count(huge),
    pods,
    calls: { "m5.large": large, "m5.4xlarge": huge },
  };
}

async function writesOn(cluster: Cluster, type: ColdNode, count: number): Promise<Record<string, number>> {
  const name = `cold-${type.replace(".", "-")}`;
  const node = await cluster.addNode({ name, subnetId: "subnet-a", instanceType: type, profile: HOSTILE });
  const pods = Array.from({ length: count }, (_, number) => `${name}-${number}`);
  const bound = path.join(cluster.folder, `${name}-pods.json`);
  writeFileSync(
    bound,
    JSON.stringify(pods.map((pod) => ({ uid: `uid-${pod}`, namespace: "demo", name: pod }))),
  );
  const before = cluster.ec2.calls.writes().length;
  const settings = { "ip-families": "ipv4", "address-unit": COLD_NODES[type].unit };
  await node.startDaemon("ready for pods", { CAUSEWAY_PODS: bound }, settings);
  await node.poolHasFree(count, READY_WITHIN_MS, [4]);
  for (const pod of pods) await node.addPod(pod);
  await node.daemon?.stop();
  const calls: Record<string, number> = {};
  for (const { action } of cluster.ec2.calls.writes().slice(before)) calls[action] = (calls[action] ?? 0) + 1;
  return calls;
}
