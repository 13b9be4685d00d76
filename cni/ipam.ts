/**
 * What the CNI verbs need of the daemon: leases. Implemented by ipamd; the verbs know nothing of pools, clouds or restarts.
 */
import type { Attachment, PodUid } from "../common/ids.ts";
import type { IpAddress } from "../common/ip.ts";

/** Who asks, for the journal, logs and events. Names are absent when the runtime gave no CNI_ARGS. */
export type PodRef = { readonly namespace?: string; readonly name?: string; readonly uid?: PodUid };

/** Addresses that belong to one attachment until released, at most one per family. */
export type Lease = {
  readonly attachment: Attachment;
  readonly pod: PodRef;
  readonly ipv4?: IpAddress;
  readonly ipv6?: IpAddress;
  /** MTU of the uplink that carries them, or the setting. */
  readonly mtuBytes: number;
  /** The node's primary IPv4 address, as which pods see the node; absent on an IPv6-only node. */
  readonly nodeIpv4?: IpAddress;
  /** The uplink that carries them; absent when, after a restart, no uplink holds them any more. */
  readonly slot?: number;
};

export interface Ipam {
  /**
   * Reserves one address per wanted family, all on one uplink, and journals the reservation in the kernel. Waits in order of arrival while the
   * pool is empty, until the signal aborts. Throws PoolError (code `pool-empty`, with the limit that was hit).
   */
  reserve(attachment: Attachment, pod: PodRef, signal: AbortSignal): Promise<Lease>;
  /** The lease of an attachment, ready or half made; undefined when there is none. */
  find(attachment: Attachment): Lease | undefined;
  /** Every lease that a pod has, in order of ADD; not those whose ADD runs. */
  ready(): readonly Lease[];
  /** The link is ready: from now on the lease survives a restart. */
  confirm(lease: Lease): void;
  /** Ends a lease that pods may have used: its addresses cool down. Idempotent. */
  release(attachment: Attachment): void;
  /** Undoes reserve() of addresses that no packet has used: free at once. Idempotent. */
  cancel(attachment: Attachment): void;
}
