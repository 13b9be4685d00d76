import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { ClusterNode } from "../cluster/cluster.ts";
import type { Side } from "./sides.ts";

/** Megabytes of 2^20 bytes. Resident memory counts the shared Node binary; anonymous memory is the daemon's own. */
export type Memory = { readonly residentMb: number; readonly anonymousMb: number };

export type MemoryResults = {
  readonly idle: Memory;
  readonly withPods: Memory & { readonly pods: number };
  /** After so many ADDs and as many DELs, with those pods there. */
  readonly afterChurn: Memory & { readonly addsAndDels: number };
};

/** Longer than the daemon keeps its thread for slow work, after which it gives memory back. */
const REST_MS = 7_000;
const AT_ONCE = 20;

/** The node has no pods at first. */
export async function measureMemory(
  node: ClusterNode,
  side: Side,
  { pods, churn }: { readonly pods: number; readonly churn: number },
  progress: (done: number) => void,
): Promise<MemoryResults> {
  const idle = await restingMemory(node);
  await side.fill(pods);
  const withPods = { ...(await restingMemory(node)), pods };
  const pod = await side.makePod();
  for (let done = 0; done < churn; done += AT_ONCE) {
    await side.churn(pod, Math.min(AT_ONCE, churn - done));
    progress(done);
  }
  return { idle, withPods, afterChurn: { ...(await restingMemory(node)), addsAndDels: churn } };
}

async function restingMemory(node: ClusterNode): Promise<Memory> {
  await delay(REST_MS);
  const status = readFileSync(`/proc/${node.daemon?.pid}/status`, "utf8");
  const megabytes = (field: string) =>
    Math.round(Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 102.4) / 10;
  return { residentMb: megabytes("VmRSS"), anonymousMb: megabytes("RssAnon") };
}
