import type { MacAddress } from "../../ids.ts";
import type { Family, IpAddress } from "../../ip.ts";
import { KernelError } from "../errors.ts";
import type { KernelEvent, KernelEvents } from "../events.ts";
import type { Kernel, SlowKernel } from "../kernel.ts";
import type { Netns, NetworkStack, OpenNetns } from "../netns.ts";
import { MemoryNamespace } from "./namespace.ts";
import { MemoryNft } from "./nft.ts";
import { printNamespace } from "./print.ts";
import { memoryStack } from "./stack.ts";

/** Another process, as events name it. */
export type Stranger = { readonly processId?: number; readonly processName?: string };

/** A tracked connection; its addresses in any order and of either direction. */
export type MemoryConnection = { readonly addresses: readonly IpAddress[] };

type OpenPath = { readonly namespace: MemoryNamespace; readonly fds: Set<number>; unlinked: boolean };

/**
 * A kernel in memory that keeps state and the real one's rules, for tests without privileges. What a test does as somebody else goes
 * through asOther(), and is reported by events; what the kernel's user does is not.
 */
export class MemoryKernel implements Kernel {
  readonly host: NetworkStack;
  readonly netns: Netns;
  readonly nft: MemoryNft;
  readonly slow: SlowKernel;
  readonly events: KernelEvents;
  readonly bootId: string;
  /** The host's namespace itself, for printing and looking. */
  readonly hostNamespace: MemoryNamespace;
  connections: MemoryConnection[] = [];
  private readonly paths = new Map<string, OpenPath | "plain-file">();
  private readonly byFd = new Map<number, OpenPath>();
  private readonly listeners = new Set<(event: KernelEvent) => void>();
  private stranger: Stranger | undefined;
  private lastId = 1;

  constructor({ bootId = "boot-1" }: { readonly bootId?: string } = {}) {
    this.bootId = bootId;
    this.hostNamespace = new MemoryNamespace("4:1", (event) => this.report(event));
    this.host = this.stackOf(() => this.hostNamespace);
    this.netns = { hostId: this.hostNamespace.id, open: (path) => this.open(path) };
    this.nft = new MemoryNft(() => this.report({ kind: "nft", ...this.stranger }));
    this.slow = {
      removeLinkGroup: async (group, namePrefix) => ({ removed: this.removeGroup(group, namePrefix) }),
      forgetConnections: async (addresses) => ({ removed: this.forget(addresses) }),
    };
    this.events = { subscribe: (listener) => this.subscribe(listener) };
  }

  /** A new namespace at a path, as a runtime makes it. Throws EEXIST. */
  createNetns(path: string): MemoryNamespace {
    if (this.paths.has(path)) throw new KernelError("EEXIST", `${path} exists`);
    this.lastId += 1;
    const namespace = new MemoryNamespace(`4:${this.lastId}`, (event) => this.reportPeer(event));
    this.paths.set(path, { namespace, fds: new Set(), unlinked: false });
    return namespace;
  }

  /** A file that is no namespace, as when a mount was not propagated. */
  createPlainFile(path: string): void {
    this.paths.set(path, "plain-file");
  }

  /** Removes a path. Its namespace, and the pairs that reach into it, go when nobody holds it open. Repeatable. */
  destroyNetns(path: string): void {
    const found = this.paths.get(path);
    this.paths.delete(path);
    if (found === undefined || found === "plain-file") return;
    found.unlinked = true;
    this.destroyIfUnused(found);
  }

  /** As an administrator: `ip link set NAME down`, and up again with `setLinkUp`. Throws ENODEV. */
  setLinkDown(name: string): void {
    this.asOther(() => this.host.links.change(name, { up: false }));
  }

  setLinkUp(name: string): void {
    this.asOther(() => this.host.links.change(name, { up: true }));
  }

  /** As a program in that namespace: `ip link set NAME address MAC`. Throws ENODEV. */
  setMac(path: string, name: string, mac: MacAddress): void {
    using netns = this.open(path);
    this.asOther(() => netns.run(({ links }) => links.change(name, { mac })));
  }

  /** Does the work as another process: its changes are reported by events. Synchronous, but for nft.load(), which takes effect at once. */
  asOther<T>(work: () => T, stranger: Stranger = { processId: 4242, processName: "ip" }): T {
    const before = this.stranger;
    this.stranger = stranger;
    try {
      return work();
    } finally {
      this.stranger = before;
    }
  }

  /** Tells watchers that events were lost. */
  loseEvents(): void {
    this.asOther(() => this.report({ kind: "lost" }));
  }

  /** Tells watchers that another process changed rules of xtables FORWARD chains, which are not part of this fake. */
  touchForward(families: readonly Family[]): void {
    this.asOther(() => this.report({ kind: "forward", families, ...this.stranger }), {
      processId: 4242,
      processName: "iptables",
    });
  }

  /** Tells watchers that the kernel has forgotten a neighbour that it had found itself, which are not part of this fake. */
  forgetNeighbour(linkIndex: number, address: IpAddress): void {
    this.asOther(() => this.report({ kind: "neighbour", change: "gone", neighbour: { linkIndex, address } }));
  }

  /** The host's links, addresses, neighbours, routes and rules as `ip` lines, then nft elements. */
  print(): string[] {
    return [...printNamespace(this.hostNamespace), ...this.nft.print()];
  }

  async close(): Promise<void> {
    this.listeners.clear();
  }

  /** Of other namespaces, changes of links that are paired with one here. */
  private reportPeer(event: KernelEvent): void {
    if (event.kind !== "link" || event.change !== "set" || event.link.peerIndex === undefined) return;
    this.report({ kind: "peer", link: event.link });
  }

  private stackOf(namespace: () => MemoryNamespace): NetworkStack {
    return memoryStack(namespace, (fd) => this.byFd.get(fd)?.namespace);
  }

  private open(path: string): OpenNetns {
    const found = this.paths.get(path);
    if (found === undefined) throw new KernelError("netns-gone", `open network namespace ${path}: ENOENT`);
    if (found === "plain-file") throw new KernelError("not-a-netns", `${path} is no network namespace`);
    this.lastId += 1;
    const fd = this.lastId;
    found.fds.add(fd);
    this.byFd.set(fd, found);
    return {
      fd,
      id: found.namespace.id,
      run: (work) => this.runIn(found.namespace, work),
      [Symbol.dispose]: () => {
        found.fds.delete(fd);
        this.byFd.delete(fd);
        this.destroyIfUnused(found);
      },
    };
  }

  private runIn<T>(namespace: MemoryNamespace, work: (stack: NetworkStack) => T): T {
    let isOver = false;
    const stack = this.stackOf(() => {
      if (isOver) throw new KernelError("EBADF", "this stack was used after its run() ended");
      return namespace;
    });
    try {
      return work(stack);
    } finally {
      isOver = true;
    }
  }

  private destroyIfUnused(path: OpenPath): void {
    if (path.unlinked && path.fds.size === 0) this.asOther(() => path.namespace.destroy());
  }

  private removeGroup(group: number, namePrefix: string): number {
    if (group <= 0) throw new RangeError(`the links of group ${group} are not to be removed`);
    const members = this.host.links.list().filter((link) => link.group === group);
    const ours = members.filter((link) => link.name.startsWith(namePrefix));
    for (const link of members) {
      // the kernel does not say who removed a group
      if (ours.includes(link)) this.asOther(() => this.hostNamespace.removeLink(link.index));
      else this.host.links.change(link.index, { group: 0 });
    }
    return ours.length;
  }

  private forget(addresses: readonly IpAddress[]): number {
    const before = this.connections.length;
    const isHeld = (address: IpAddress) => addresses.some((other) => other.equals(address));
    this.connections = this.connections.filter((connection) => !connection.addresses.some(isHeld));
    return before - this.connections.length;
  }

  private subscribe(listener: (event: KernelEvent) => void): Disposable {
    const subscriber = (event: KernelEvent) => listener(event);
    this.listeners.add(subscriber);
    return { [Symbol.dispose]: () => this.listeners.delete(subscriber) };
  }

  private report(event: KernelEvent): void {
    if (this.stranger === undefined) return;
    for (const listener of this.listeners) {
      queueMicrotask(() => this.listeners.has(listener) && listener(event));
    }
  }
}
