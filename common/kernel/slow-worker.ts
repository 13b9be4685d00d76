/** Entry point of the thread that does kernel work which blocks: one job at a time, in order of arrival. */
import { closeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { IpAddress } from "../ip.ts";
import { forgetConnections } from "./conntrack.ts";
import { KernelError } from "./errors.ts";
import { removeLinkGroup } from "./link-group.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "./netlink-message.ts";
import { NetlinkSocket } from "./netlink-socket.ts";
import { homeNetns, inNetns } from "./netns-window.ts";
import { openNetnsFile } from "./proc-netns.ts";
import type { SlowAnswer, SlowJob, SlowRequest, SlowStart } from "./slow-protocol.ts";

const { netnsPath } = workerData as SlowStart;
const sockets = openSockets();
const answer = (message: SlowAnswer) => parentPort?.postMessage(message);

parentPort?.on("message", ({ id, job }: SlowRequest) => {
  try {
    answer({ kind: "done", id, removed: run(job) });
  } catch (error) {
    const code = error instanceof KernelError ? error.code : "EINVAL";
    answer({ kind: "failed", id, code, message: String(error instanceof Error ? error.message : error) });
  }
});
answer({ kind: "ready", routePort: sockets.route.port, netfilterPort: sockets.netfilter.port });

function openSockets() {
  const fd = netnsPath === undefined ? homeNetns : openNetnsFile(netnsPath);
  try {
    return inNetns(fd, () => ({
      route: NetlinkSocket.open(NETLINK_ROUTE),
      netfilter: NetlinkSocket.open(NETLINK_NETFILTER),
    }));
  } finally {
    if (fd !== homeNetns) closeSync(fd);
  }
}

function run(job: SlowJob): number {
  if (job.kind === "remove-link-group") return removeLinkGroup(sockets.route, job.group, job.namePrefix);
  return forgetConnections(
    sockets.netfilter,
    job.addresses.map((address) => IpAddress.parse(address)),
  );
}
