/**
 * Links that are set in other namespaces, which the kernel tells those who ask for it, of every namespace that has a number here, as that
 * of a veth's far end has. A pod with privileges can make as many such events as it likes, so they are read at a rate, out of a
 * buffer that may overflow: what was lost is told as "any of them".
 */
import { systemClock } from "../clock.ts";
import { POD_LINK_PREFIX } from "../constants.ts";
import { KernelError } from "./errors.ts";
import { peerEventFilter } from "./event-filter.ts";
import type { KernelEvent } from "./events.ts";
import {
  attachFilter,
  close,
  openNetlink,
  type Poll,
  pollReadable,
  receive,
  setBuffers,
  setSocketOption,
} from "./libc.ts";
import { decodeLink, RTM_NEWLINK } from "./netlink-links.ts";
import { NETLINK_ROUTE, parseMessages } from "./netlink-message.ts";
import { inNetns } from "./netns-window.ts";

const SOL_NETLINK = 270;
const ADD_MEMBERSHIP = 1;
const LISTEN_ALL_NSID = 8;
/** RTNLGRP_LINK. */
const LINK_GROUP = 1;
/** Some 200 events. */
const BUFFER_BYTES = 1 << 19;
/** Together they bound the work: what a pod makes beyond it is lost. */
const READ_EVERY_MS = 20;
const READS_MAX = 40;

/** Host ends, which are told of too: the prefix and 12 hex digits. */
const HOSTS_OWN_ENDS_DROPPED = peerEventFilter({
  nameLength: POD_LINK_PREFIX.length + 12,
  prefix: POD_LINK_PREFIX,
});

export class PeerEvents {
  private readonly emit: (event: KernelEvent) => void;
  private readonly fd: number;
  private readonly poll: Poll;
  private closed = false;

  /** Tells nothing without CAP_NET_BROADCAST. */
  constructor(netnsFd: number, emit: (event: KernelEvent) => void) {
    this.emit = emit;
    this.fd = inNetns(netnsFd, () => openNetlink(NETLINK_ROUTE).fd);
    this.poll = pollReadable(this.fd, () => void this.readSoon());
    if (this.askForAll()) setSocketOption(this.fd, SOL_NETLINK, ADD_MEMBERSHIP, LINK_GROUP);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.poll.close();
    close(this.fd);
  }

  private askForAll(): boolean {
    setBuffers(this.fd, BUFFER_BYTES);
    attachFilter(this.fd, HOSTS_OWN_ENDS_DROPPED);
    try {
      setSocketOption(this.fd, SOL_NETLINK, LISTEN_ALL_NSID, 1);
      return true;
    } catch (error) {
      if (error instanceof KernelError && error.code === "EPERM") return false;
      throw error;
    }
  }

  private async readSoon(): Promise<void> {
    this.poll.pause();
    await systemClock.sleep(READ_EVERY_MS);
    if (this.closed) return;
    try {
      this.drain();
    } catch {
      // whatever could not be read or understood may have been about any of them
      if (!this.closed) this.emit({ kind: "peer" });
    } finally {
      this.poll.resume();
    }
  }

  private drain(): void {
    // the last word on each counts
    const peers = new Map<string, KernelEvent>();
    for (let reads = 0; reads < READS_MAX; reads += 1) {
      const bytes = this.receive();
      if (bytes === undefined) break;
      if (bytes === "lost") peers.set("", { kind: "peer" });
      else this.note(bytes, peers);
    }
    for (const event of peers.values()) if (!this.closed) this.emit(event);
  }

  private note(bytes: Buffer, peers: Map<string, KernelEvent>): void {
    for (const { type, data } of parseMessages(bytes)) {
      if (type !== RTM_NEWLINK || data.readUInt8(0) !== 0) continue;
      const link = decodeLink(data);
      // 0: its other end has gone already
      if (link.kind !== "veth" || !link.peerIndex) continue;
      peers.set(`${link.name} ${link.peerIndex}`, { kind: "peer", link });
    }
  }

  private receive(): Buffer | "lost" | undefined {
    try {
      return receive(this.fd);
    } catch (error) {
      if (error instanceof KernelError && error.code === "ENOBUFS") return "lost";
      throw error;
    }
  }
}
