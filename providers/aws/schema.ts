/**
 * The fields of EC2's replies that we read. Lenient: whatever else a reply holds is ignored, and what we cannot use (an item
 * without an id, a value that is no address) is left out rather than trusted.
 */
import type { NetworkInterface, Reservation, RouteTable, Subnet, Vpc } from "@aws-sdk/client-ec2";
import {
  type InstanceId,
  type InterfaceId,
  type MacAddress,
  parseMac,
  type SubnetId,
} from "../../common/ids.ts";
import { Cidr, IpAddress } from "../../common/ip.ts";

export type AttachmentState = "attaching" | "attached" | "detaching";

export type Ec2Attachment = {
  readonly id: string;
  readonly instanceId?: InstanceId;
  readonly state: AttachmentState;
  readonly deviceIndex: number;
  readonly cardIndex: number;
  readonly deleteOnTermination: boolean;
};

/** An interface as EC2 tells it. */
export type Ec2Interface = {
  readonly id: InterfaceId;
  readonly mac: MacAddress;
  readonly subnetId: SubnetId;
  readonly vpcId: string;
  readonly zone: string;
  readonly securityGroupIds: readonly string[];
  readonly tags: ReadonlyMap<string, string>;
  readonly attachment?: Ec2Attachment;
  /** By EC2's flags for the primary address, never by position. */
  readonly own: readonly IpAddress[];
  /** Every other address and every block, sorted. */
  readonly units: readonly Cidr[];
};

export type Ec2Subnet = {
  readonly id: SubnetId;
  readonly zone: string;
  readonly ipv4?: Cidr;
  readonly ipv6?: Cidr;
  readonly freeIpv4?: number;
  readonly tags: ReadonlyMap<string, string>;
};

export type Ec2RouteTable = {
  /** Subnets that name none are its. */
  readonly isMain: boolean;
  readonly subnetIds: readonly SubnetId[];
};

/** Undefined: not enough of it to be used (no id, no MAC, no subnet). */
export function readInterface(raw: NetworkInterface): Ec2Interface | undefined {
  const mac = tryParse(raw.MacAddress, parseMac);
  if (raw.NetworkInterfaceId === undefined || mac === undefined || raw.SubnetId === undefined)
    return undefined;
  const own = readOwn(raw);
  const attachment = readAttachment(raw);
  return {
    id: raw.NetworkInterfaceId as InterfaceId,
    mac,
    subnetId: raw.SubnetId as SubnetId,
    vpcId: raw.VpcId ?? "",
    zone: raw.AvailabilityZone ?? "",
    securityGroupIds: (raw.Groups ?? []).flatMap(({ GroupId }) => (GroupId === undefined ? [] : [GroupId])),
    tags: readTags(raw.TagSet),
    ...(attachment === undefined ? {} : { attachment }),
    own,
    units: readUnits(raw, own),
  };
}

export function readSubnet(raw: Subnet): Ec2Subnet | undefined {
  if (raw.SubnetId === undefined) return undefined;
  const ipv4 = tryParse(raw.CidrBlock, Cidr.parse);
  const associated = raw.Ipv6CidrBlockAssociationSet?.find(
    (entry) => entry.Ipv6CidrBlockState?.State === "associated",
  );
  const ipv6 = tryParse(associated?.Ipv6CidrBlock, Cidr.parse);
  return {
    id: raw.SubnetId as SubnetId,
    zone: raw.AvailabilityZone ?? "",
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    ...(raw.AvailableIpAddressCount === undefined ? {} : { freeIpv4: raw.AvailableIpAddressCount }),
    tags: readTags(raw.Tags),
  };
}

/** Associations in another state than associated are left out. */
export function readRouteTable(raw: RouteTable): Ec2RouteTable {
  const associations = (raw.Associations ?? []).filter(
    ({ AssociationState }) => (AssociationState?.State ?? "associated") === "associated",
  );
  return {
    isMain: associations.some(({ Main }) => Main === true),
    subnetIds: associations.flatMap(({ SubnetId }) => (SubnetId === undefined ? [] : [SubnetId as SubnetId])),
  };
}

/** Instances without an id or a state are left out. */
export function readInstanceStates(raw: readonly Reservation[] | undefined): [InstanceId, string][] {
  return (raw ?? [])
    .flatMap(({ Instances }) => Instances ?? [])
    .flatMap(({ InstanceId: id, State }): [InstanceId, string][] =>
      id === undefined || State?.Name === undefined ? [] : [[id as InstanceId, State.Name]],
    );
}

/** The CIDRs in state associated only, both families: one that is failing or on its way out is not the network's. */
export function readNetworkCidrs(raw: Vpc): Cidr[] {
  const ipv4 = (raw.CidrBlockAssociationSet ?? [])
    .filter((entry) => entry.CidrBlockState?.State === "associated")
    .map((entry) => entry.CidrBlock);
  const ipv6 = (raw.Ipv6CidrBlockAssociationSet ?? [])
    .filter((entry) => entry.Ipv6CidrBlockState?.State === "associated")
    .map((entry) => entry.Ipv6CidrBlock);
  return parseAll([...ipv4, ...ipv6], Cidr.parse).sort((a, b) => a.compare(b));
}

/** The values that parse; the others are left out. */
export function parseAll<T>(texts: readonly (string | undefined)[], parse: (text: string) => T): T[] {
  return texts.flatMap((text) => {
    const value = tryParse(text, parse);
    return value === undefined ? [] : [value];
  });
}

function readOwn(raw: NetworkInterface): IpAddress[] {
  const flagged = [
    ...(raw.PrivateIpAddresses ?? []).filter((entry) => entry.Primary).map((entry) => entry.PrivateIpAddress),
    // the interface's own field says the same; both are believed, since an own address must never reach a pod
    raw.PrivateIpAddress,
    ...(raw.Ipv6Addresses ?? []).filter((entry) => entry.IsPrimaryIpv6).map((entry) => entry.Ipv6Address),
  ];
  const byText = new Map(parseAll(flagged, IpAddress.parse).map((address) => [address.toString(), address]));
  return [...byText.values()];
}

function readUnits(raw: NetworkInterface, own: readonly IpAddress[]): Cidr[] {
  const texts = [
    ...(raw.PrivateIpAddresses ?? []).map((entry) => entry.PrivateIpAddress),
    ...(raw.Ipv4Prefixes ?? []).map((entry) => entry.Ipv4Prefix),
    ...(raw.Ipv6Addresses ?? []).map((entry) => entry.Ipv6Address),
    ...(raw.Ipv6Prefixes ?? []).map((entry) => entry.Ipv6Prefix),
  ];
  return parseAll(texts, Cidr.parse)
    .filter((unit) => !own.some((address) => unit.contains(address)))
    .sort((a, b) => a.compare(b));
}

function readAttachment(raw: NetworkInterface): Ec2Attachment | undefined {
  const attachment = raw.Attachment;
  // the interface's own status knows of a detachment first
  const state = raw.Status === "detaching" ? "detaching" : attachment?.Status;
  if (attachment?.AttachmentId === undefined || state === undefined || state === "detached") return undefined;
  return {
    id: attachment.AttachmentId,
    ...(attachment.InstanceId === undefined ? {} : { instanceId: attachment.InstanceId as InstanceId }),
    state,
    deviceIndex: attachment.DeviceIndex ?? 0,
    cardIndex: attachment.NetworkCardIndex ?? 0,
    deleteOnTermination: attachment.DeleteOnTermination ?? false,
  };
}

function readTags(
  raw: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[] | undefined,
): ReadonlyMap<string, string> {
  return new Map((raw ?? []).map(({ Key = "", Value = "" }) => [Key, Value]));
}

function tryParse<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  if (text === undefined) return undefined;
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}
