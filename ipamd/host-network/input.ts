import type { Cidr, Family } from "../../common/ip.ts";
import type { LoadedUplink } from "./uplinks.ts";

/** What an operator decides about it. */
export type HostNetworkSettings = {
  /** Pods keep their address towards the internet too; something outside the node translates. Default false. */
  readonly externalSnat: boolean;
  /** Families that pods get. */
  readonly families: readonly Family[];
};

export type HostNetworkInput = {
  /** The primary among them. */
  readonly uplinks: readonly LoadedUplink[];
  /** CIDRs of the VPC, and those excluded from SNAT: pods keep their address towards them. */
  readonly inside: readonly Cidr[];
  readonly settings: HostNetworkSettings;
};
