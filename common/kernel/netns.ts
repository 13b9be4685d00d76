import type { Addresses, Neighbours } from "./addresses.ts";
import type { Links } from "./links.ts";
import type { Routes } from "./routes.ts";
import type { Rules } from "./rules.ts";

/** Kernel parameters of one namespace, by path under /proc/sys with slashes: `net/ipv4/conf/eth0/rp_filter`. */
export interface Sysctl {
  /** The trimmed value; undefined when the file does not exist. */
  get(path: string): string | undefined;
  /** Writes only when the value differs. Throws KernelError ENOENT, EACCES or EINVAL naming path and value. */
  set(path: string, value: string): void;
}

/** What rtnetlink and /proc/sys reach of one network namespace. */
export interface NetworkStack {
  readonly links: Links;
  readonly addresses: Addresses;
  readonly neighbours: Neighbours;
  readonly routes: Routes;
  readonly rules: Rules;
  readonly sysctl: Sysctl;
  /**
   * Changes of links, addresses, neighbours and routes within `work` reach the kernel together at its end, in their order (sysctls are written at once).
   * All are carried out, also behind one that was refused; then the first refusal is thrown. `work` asks nothing, and catches nothing.
   */
  together<T>(work: () => T): T;
}

/** A namespace held open. Close it before the call that needed it ends: it keeps the namespace alive. */
export interface OpenNetns extends Disposable {
  readonly fd: number;
  /** `device:inode`, equal for two paths of one namespace; what tells whether a path was reused. */
  readonly id: string;
  /**
   * Runs `work` with a stack of that namespace. Synchronous by contract: nothing in it may await, start a thread or a child. The
   * stack is unusable afterwards.
   */
  run<T>(work: (stack: NetworkStack) => T): T;
}

/** Network namespaces by path. */
export interface Netns {
  /** `device:inode` of the namespace the daemon works for. */
  readonly hostId: string;
  /** Throws KernelError `netns-gone` (no such file) or `not-a-netns` (exists, but is no namespace: a mount that was not propagated). */
  open(path: string): OpenNetns;
}
