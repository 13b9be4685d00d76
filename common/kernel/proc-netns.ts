import { closeSync, fstatSync, openSync } from "node:fs";
import { KernelError } from "./errors.ts";
import { isNetns } from "./libc.ts";
import { NetlinkAddresses, NetlinkNeighbours } from "./netlink-addresses.ts";
import { NetlinkLinks } from "./netlink-links.ts";
import { NETLINK_ROUTE } from "./netlink-message.ts";
import { NetlinkRoutes } from "./netlink-routes.ts";
import { NetlinkRules } from "./netlink-rules.ts";
import { NetlinkSocket } from "./netlink-socket.ts";
import type { Netns, NetworkStack, OpenNetns } from "./netns.ts";
import { inNetns } from "./netns-window.ts";
import { ProcSysctl } from "./proc-sysctl.ts";

/** Network namespaces by the files that stand for them. */
export class ProcNetns implements Netns {
  readonly hostId: string;

  /** @param hostFd the namespace the daemon works for */
  constructor(hostFd: number) {
    this.hostId = netnsId(hostFd);
  }

  open(path: string): OpenNetns {
    return new OpenedNetns(openNetnsFile(path));
  }
}

/** Opens and checks a namespace file. Throws KernelError `netns-gone` or `not-a-netns`. The caller closes it. */
export function openNetnsFile(path: string): number {
  const fd = openExisting(path);
  // of what was opened, not of the path, which may have changed meanwhile
  if (isNetns(fd)) return fd;
  closeSync(fd);
  throw new KernelError(
    "not-a-netns",
    `${path} is no network namespace: was its mount not propagated to here?`,
  );
}

/** What a stack and its socket reach of the namespace; dispose the socket when done. */
export function openStack(netnsFd: number): { readonly stack: NetworkStack; readonly socket: NetlinkSocket } {
  const socket = inNetns(netnsFd, () => NetlinkSocket.open(NETLINK_ROUTE));
  const stack = {
    links: new NetlinkLinks(socket),
    addresses: new NetlinkAddresses(socket),
    neighbours: new NetlinkNeighbours(socket),
    routes: new NetlinkRoutes(socket),
    rules: new NetlinkRules(socket),
    sysctl: new ProcSysctl(netnsFd),
    together: <T>(work: () => T): T => socket.together(work),
  };
  return { stack, socket };
}

class OpenedNetns implements OpenNetns {
  readonly fd: number;
  readonly id: string;
  private closed = false;

  constructor(fd: number) {
    this.fd = fd;
    this.id = netnsId(fd);
  }

  run<T>(work: (stack: NetworkStack) => T): T {
    const { stack, socket } = openStack(this.fd);
    // an open socket would keep the namespace alive
    using _ = socket;
    return work(stack);
  }

  [Symbol.dispose](): void {
    if (!this.closed) closeSync(this.fd);
    this.closed = true;
  }
}

/** What the kernel says of a path that names nothing. */
const NO_SUCH_FILE: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP"]);

function openExisting(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    const { code = "EIO" } = error as NodeJS.ErrnoException;
    throw new KernelError(
      NO_SUCH_FILE.has(code) ? "netns-gone" : code,
      `open network namespace ${path}: ${code}`,
      {
        cause: error,
      },
    );
  }
}

function netnsId(fd: number): string {
  const { dev, ino } = fstatSync(fd);
  return `${dev}:${ino}`;
}
