import type { Cidr } from "../../common/ip.ts";
import type { NftElement } from "../../common/kernel/nft.ts";
import type { Uplink } from "../uplink.ts";

/** What the host's network must carry besides pods. */
export type HostWanted = {
  readonly uplinks: readonly Uplink[];
  /** Units by the slot that holds them. */
  readonly units: ReadonlyMap<number, readonly Cidr[]>;
  /** The network's CIDRs; destinations in them and in the excluded ones are reached with the pod's own address. */
  readonly networkCidrs: readonly Cidr[];
};

/** The host's rules, uplink tables, sysctls, nft table and FORWARD accepts. */
export interface HostNetwork {
  /**
   * Makes the host match what `wanted` and `genuine` (every pair of a running pod) give when its turn comes; calls run one after another. Idempotent: gives what
   * it wrote, for people, and a second call writes nothing. Throws KernelError.
   */
  apply(wanted: () => HostWanted, genuine: () => readonly NftElement[]): Promise<readonly string[]>;
  /** As apply(), of the FORWARD accepts alone: cheap. Does nothing before the first whole apply. */
  applyForward(): Promise<readonly string[]>;
  /** The network's CIDRs as the nft table remembers them, for a start without the cloud. Empty when there is no table. */
  rememberedCidrs(): Promise<readonly Cidr[]>;
}
