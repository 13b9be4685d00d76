import type { Family } from "../ip.ts";
import type { LinkAddress, Neighbour } from "./addresses.ts";
import type { Link } from "./links.ts";
import type { Route } from "./routes.ts";
import type { Rule } from "./rules.ts";

/**
 * A change in the host's namespace. What this process did itself is not reported, but for the removal of a group of links, of which the
 * kernel does not say who asked for it.
 */
export type KernelEvent =
  | { readonly kind: "link"; readonly change: "set" | "gone"; readonly link: Link }
  | { readonly kind: "address"; readonly change: "set" | "gone"; readonly address: LinkAddress }
  /** IPv4 routes that go with their link send no event: watch links too. */
  | { readonly kind: "route"; readonly change: "set" | "gone"; readonly route: Route }
  | { readonly kind: "rule"; readonly change: "set" | "gone"; readonly family: Family; readonly rule: Rule }
  /** A neighbour entry is gone, a permanent one or one that the kernel had found itself. */
  | {
      readonly kind: "neighbour";
      readonly change: "gone";
      readonly neighbour: Pick<Neighbour, "linkIndex" | "address">;
    }
  /** A parameter of IP was set, by whomever: the kernel does not say. The link is absent for `all` and `default`. */
  | {
      readonly kind: "parameter";
      readonly family: Family;
      readonly scope: "link" | "all" | "default";
      readonly linkIndex?: number;
      /** `rp_filter`; absent when it was not what was set. */
      readonly rpFilter?: number;
      /** `forwarding`; of `all` it is ip_forward. */
      readonly forwarding?: boolean;
    }
  /**
   * The far end of a pair was set in its own namespace, or may have been: look for yourself. `link.peerIndex` is the index of the end that
   * is here. Without a link: of any pair. Comes some milliseconds late, and not at all without CAP_NET_BROADCAST.
   */
  | { readonly kind: "peer"; readonly link?: Link }
  /** Our own table was touched by that process. Comes once per transaction. */
  | { readonly kind: "nft"; readonly processId?: number; readonly processName?: string }
  /**
   * Rules of the xtables FORWARD chain of those families came or went, by iptables over nf_tables, our own program too. Comes once per
   * transaction. Of the legacy back-end the kernel tells nothing.
   */
  | {
      readonly kind: "forward";
      readonly families: readonly Family[];
      readonly processId?: number;
      readonly processName?: string;
    }
  /** Events were lost (buffer overflow): look at everything again. */
  | { readonly kind: "lost" };

/** Watches the host's namespace. */
export interface KernelEvents {
  /** Calls the listener on the event loop, in the kernel's order. Dispose to stop; several listeners are fine. */
  subscribe(listener: (event: KernelEvent) => void): Disposable;
}
