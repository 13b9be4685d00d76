import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { runIn } from "../cloudsim/vpc/commands.ts";
import type { ClusterNode } from "../cluster/cluster.ts";
import type { BenchPod, Side } from "./sides.ts";
import { median } from "./statistics.ts";
import { settingsOf, type World } from "./world.ts";

export type Restart = {
  readonly leases: number;
  /** From the start of the process, with the cloud silent, to the end of an ADD that waited for it; medians of several restarts. */
  readonly firstAddMs: number;
  /** To its own word that it serves. */
  readonly servingMs: number;
  /** Of echo requests between two pods, one every two milliseconds while daemons died and came back. */
  readonly packetsSent: number;
  readonly packetsLost: number;
};

/** Kills the daemon so many times. Nothing of EC2 answers meanwhile. */
export async function measureRestart(
  world: World,
  node: ClusterNode,
  side: Side,
  pods: readonly BenchPod[],
  restarts: number,
): Promise<Restart> {
  const [from, to] = pods;
  if (from === undefined || to === undefined) throw new Error("two pods are needed");
  const ping = startPing(from, ipv4In(to));
  const [served, added]: [number[], number[]] = [[], []];
  const { faults } = world.cluster.ec2;
  faults.hang("*", Number.MAX_SAFE_INTEGER);
  for (let restart = 0; restart < restarts; restart += 1) {
    await delay(300);
    await node.daemon?.stop("SIGKILL");
    const begun = performance.now();
    const daemon = node.launchDaemon({}, settingsOf([4, 6]));
    const pod = await side.makePod();
    await side.addOne(pod);
    added.push(performance.now() - begun);
    served.push(Date.parse(String((await daemon.logged("serving")).time)) - (performance.timeOrigin + begun));
    await side.delOne(pod);
    await side.removePod(pod);
  }
  faults.clear();
  return {
    leases: pods.length,
    firstAddMs: median(added),
    servingMs: median(served),
    ...(await ping.end()),
  };
}

function startPing(from: BenchPod, address: string) {
  const command = [`--net=${from.netnsPath}`, "ping", "-q", "-i", "0.002", address];
  const child = spawn("nsenter", command, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  return {
    end: async () => {
      child.kill("SIGINT");
      await once(child, "close");
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
      if (sent === undefined) throw new Error(`ping said: ${text}`);
      return { packetsSent: Number(sent), packetsLost: Number(sent) - Number(received) };
    },
  };
}

function ipv4In({ netnsPath }: BenchPod): string {
  const [link] = JSON.parse(runIn(netnsPath, ["ip", "-4", "-j", "address", "show", "eth0"])) as {
    readonly addr_info: readonly { readonly local: string }[];
  }[];
  const address = link?.addr_info[0]?.local;
  if (address === undefined) throw new Error(`no IPv4 address in ${netnsPath}`);
  return address;
}
