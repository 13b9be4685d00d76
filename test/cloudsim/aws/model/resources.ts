/** What exists in an account. Interfaces and instances change in place, by the actions beside this file and by nothing else. */
import type { InstanceId, InterfaceId, MacAddress, SubnetId } from "../../../../common/ids.ts";
import type { Cidr, IpAddress } from "../../../../common/ip.ts";
import type { InstanceType } from "./instance-types.ts";

export type Tags = Map<string, string>;

export type SecurityGroup = {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly tags: Tags;
};

export type VpcCidr = {
  readonly cidr: Cidr;
  state: "associating" | "associated" | "disassociating" | "disassociated";
};

export type Vpc = {
  readonly id: string;
  /** The first IPv4 CIDR is the VPC's own, the others are associations. */
  readonly ipv4: VpcCidr[];
  readonly ipv6: VpcCidr[];
  readonly tags: Tags;
};

/** A range that EC2 takes no single address from by itself (VPC User Guide, "Subnet CIDR reservations"). */
export type SubnetReservation = {
  readonly id: string;
  readonly cidr: Cidr;
  /** `prefix`: blocks are taken from it. `explicit`: nothing is, but what a caller names. */
  readonly type: "prefix" | "explicit";
  readonly description: string;
  readonly tags: Tags;
};

export type Subnet = {
  readonly id: SubnetId;
  readonly zone: string;
  readonly ipv4: Cidr;
  readonly ipv6: Cidr;
  readonly tags: Tags;
  reservations: readonly SubnetReservation[];
};

/** Subnets that no table names use the main one. */
export type RouteTable = {
  readonly id: string;
  readonly isMain: boolean;
  readonly tags: Tags;
  subnetIds: readonly SubnetId[];
};

export type AttachmentStatus = "attaching" | "attached" | "detaching";

export type Attachment = {
  readonly id: string;
  readonly instanceId: InstanceId;
  readonly deviceIndex: number;
  readonly cardIndex: number;
  readonly attachTime: number;
  status: AttachmentStatus;
  deleteOnTermination: boolean;
  /** The link is there: from the end of attaching to the end of detaching. */
  plugged: boolean;
};

export type NetworkInterface = {
  readonly id: InterfaceId;
  readonly mac: MacAddress;
  readonly subnet: Subnet;
  readonly type: "interface" | "efa" | "efa-only";
  readonly createTime: number;
  readonly tags: Tags;
  description: string;
  groups: readonly SecurityGroup[];
  sourceDestCheck: boolean;
  /** Goes with the interface, never unassigned. */
  readonly primaryIpv4: IpAddress;
  secondaryIpv4: readonly IpAddress[];
  ipv4Prefixes: readonly Cidr[];
  ipv6: readonly IpAddress[];
  ipv6Prefixes: readonly Cidr[];
  /** Translated 1:1 to the primary address. */
  publicIpv4?: IpAddress;
  attachment?: Attachment;
};

export type InstanceState = "running" | "stopped" | "terminated";

export type Instance = {
  readonly id: InstanceId;
  /** What the data plane calls its namespace. */
  readonly name: string;
  readonly type: InstanceType;
  readonly subnet: Subnet;
  readonly launchTime: number;
  readonly tags: Tags;
  state: InstanceState;
};

/** Everything the network delivers to an interface: single addresses as /32 and /128, then prefixes, sorted. */
export function unitsOf(networkInterface: NetworkInterface): Cidr[] {
  const { primaryIpv4, secondaryIpv4, ipv6, ipv4Prefixes, ipv6Prefixes } = networkInterface;
  const singles = [primaryIpv4, ...secondaryIpv4, ...ipv6].map((address) => address.toCidr());
  return [...singles, ...ipv4Prefixes, ...ipv6Prefixes].sort((a, b) => a.compare(b));
}
