import { closeSync, readFileSync } from "node:fs";
import type { Kernel } from "./kernel.ts";
import { NetlinkEvents } from "./netlink-events.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "./netlink-message.ts";
import { NetlinkNft } from "./netlink-nft.ts";
import { NetlinkSocket } from "./netlink-socket.ts";
import { homeNetns, inNetns, startThreadPool } from "./netns-window.ts";
import { NftProgram } from "./nft-program.ts";
import { OwnPorts } from "./own-ports.ts";
import { openNetnsFile, openStack, ProcNetns } from "./proc-netns.ts";
import { WorkerKernel } from "./slow-kernel.ts";

export type KernelOptions = {
  /** The host's namespace, when it is not the one this process is in. Several kernels may live in one process. */
  readonly netnsPath?: string;
};

/** Room for a few thousand elements in one nft transaction, and for the refusals of all of them. */
const NFT_BUFFER_BYTES = 4 << 20;

/** The machine's own kernel. Needs CAP_NET_ADMIN, and CAP_SYS_ADMIN for setns. Throws KernelError. */
export async function openKernel({ netnsPath }: KernelOptions = {}): Promise<Kernel> {
  await startThreadPool();
  const hostFd = netnsPath === undefined ? homeNetns : openNetnsFile(netnsPath);
  const own = new OwnPorts();
  const host = openStack(hostFd);
  own.add(NETLINK_ROUTE, host.socket.port);
  const nftSocket = inNetns(hostFd, () => NetlinkSocket.open(NETLINK_NETFILTER));
  nftSocket.enlarge(NFT_BUFFER_BYTES);
  own.add(NETLINK_NETFILTER, nftSocket.port);
  const events = new NetlinkEvents(hostFd, own);
  const slow = new WorkerKernel(own, netnsPath);
  let closing: Promise<void> | undefined;
  const close = () => {
    events.close();
    host.socket[Symbol.dispose]();
    nftSocket[Symbol.dispose]();
    // once: by a second time the number belongs to something else
    if (hostFd !== homeNetns) closeSync(hostFd);
    return slow.close();
  };
  return {
    host: host.stack,
    netns: new ProcNetns(hostFd),
    nft: new NetlinkNft(nftSocket, new NftProgram(own, netnsPath)),
    slow,
    events,
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    close: () => (closing ??= close()),
  };
}
