import type { IpAddress } from "../ip.ts";
import type { KernelEvents } from "./events.ts";
import type { Netns, NetworkStack } from "./netns.ts";
import type { Nft } from "./nft.ts";

/** Kernel work that blocks its thread for milliseconds; done by a worker thread, one job at a time. */
export interface SlowKernel {
  /**
   * Removes every link of the group in one message, after checking that each name begins with `namePrefix` (a group is anybody's to
   * use); links that do not are taken out of the group instead. An empty group is success.
   */
  removeLinkGroup(group: number, namePrefix: string): Promise<{ readonly removed: number }>;
  /** Deletes conntrack entries that hold an address as source or destination, original or reply. Gives how many were found. */
  forgetConnections(addresses: readonly IpAddress[]): Promise<{ readonly removed: number }>;
}

/** Everything of the kernel that the daemon touches: the host's namespace, the pods', and nft. */
export interface Kernel {
  readonly host: NetworkStack;
  readonly netns: Netns;
  readonly nft: Nft;
  readonly slow: SlowKernel;
  readonly events: KernelEvents;
  /** Changes with every boot (/proc/sys/kernel/random/boot_id). */
  readonly bootId: string;
  /** Closes sockets and the worker. Repeatable. */
  close(): Promise<void>;
}
