/** Resources as EC2 puts them into replies; names from the API reference's response shapes (version 2016-11-15). */
import type { Cidr } from "../../../../common/ip.ts";
import type { Account } from "../model/account.ts";
import type { InstanceType } from "../model/instance-types.ts";
import type {
  Attachment,
  Instance,
  InstanceState,
  NetworkInterface,
  RouteTable,
  SecurityGroup,
  Subnet,
  SubnetReservation,
  Tags,
  Vpc,
  VpcCidr,
} from "../model/resources.ts";
import { freeIpv4Count } from "../model/subnet-addresses.ts";
import type { Sight } from "./sight.ts";
import type { XmlObject } from "./xml.ts";

const isoTime = (ms: number) => new Date(ms).toISOString();

export const tagSet = (tags: Tags): XmlObject[] => [...tags].map(([key, value]) => ({ key, value }));

export const groupSet = (groups: readonly SecurityGroup[]): XmlObject[] =>
  groups.map(({ id, name }) => ({ groupId: id, groupName: name }));

const prefixSet = (name: string, prefixes: readonly Cidr[]): XmlObject[] =>
  prefixes.map((prefix) => ({ [name]: prefix.toString() }));

/** `available`, `attaching` and so on are the attachment's; the interface itself is free or in use. */
export function interfaceStatus({ attachment }: NetworkInterface): string {
  if (attachment === undefined) return "available";
  return attachment.status === "detaching" ? "detaching" : "in-use";
}

export function attachmentXml(account: Account, attachment: Attachment): XmlObject {
  return {
    attachmentId: attachment.id,
    instanceId: attachment.instanceId,
    instanceOwnerId: account.ownerId,
    deviceIndex: attachment.deviceIndex,
    networkCardIndex: attachment.cardIndex,
    status: attachment.status,
    attachTime: isoTime(attachment.attachTime),
    deleteOnTermination: attachment.deleteOnTermination,
  };
}

/** What DescribeNetworkInterfaces and DescribeInstances say alike. */
function commonInterfaceXml(account: Account, networkInterface: NetworkInterface): XmlObject {
  const { primaryIpv4, secondaryIpv4, attachment } = networkInterface;
  return {
    networkInterfaceId: networkInterface.id,
    subnetId: networkInterface.subnet.id,
    vpcId: account.vpc.id,
    description: networkInterface.description,
    ownerId: account.ownerId,
    status: interfaceStatus(networkInterface),
    macAddress: networkInterface.mac,
    privateIpAddress: primaryIpv4.toString(),
    sourceDestCheck: networkInterface.sourceDestCheck,
    interfaceType: networkInterface.type,
    groupSet: groupSet(networkInterface.groups),
    association: associationXml(networkInterface),
    attachment: attachment === undefined ? undefined : attachmentXml(account, attachment),
    privateIpAddressesSet: [primaryIpv4, ...secondaryIpv4].map((address) => ({
      privateIpAddress: address.toString(),
      primary: address === primaryIpv4,
      association: address === primaryIpv4 ? associationXml(networkInterface) : undefined,
    })),
    ipv4PrefixSet: prefixSet("ipv4Prefix", networkInterface.ipv4Prefixes),
    ipv6AddressesSet: networkInterface.ipv6.map((address) => ({
      ipv6Address: address.toString(),
      isPrimaryIpv6: false,
    })),
    ipv6PrefixSet: prefixSet("ipv6Prefix", networkInterface.ipv6Prefixes),
  };
}

function associationXml({ publicIpv4 }: NetworkInterface): XmlObject | undefined {
  if (publicIpv4 === undefined) return undefined;
  return { publicIp: publicIpv4.toString(), publicDnsName: "", ipOwnerId: "amazon" };
}

export function interfaceXml(account: Account, networkInterface: NetworkInterface): XmlObject {
  return {
    ...commonInterfaceXml(account, networkInterface),
    availabilityZone: networkInterface.subnet.zone,
    requesterManaged: false,
    tagSet: tagSet(networkInterface.tags),
  };
}

const STATE_CODES: Readonly<Record<InstanceState, number>> = { running: 16, terminated: 48, stopped: 80 };

export function reservationXml(sight: Sight, instance: Instance): XmlObject {
  const { account } = sight;
  const attached = sight.interfacesOf(instance);
  const primary = attached.find(({ attachment }) => attachment?.deviceIndex === 0);
  const isThere = instance.state !== "terminated";
  const item: XmlObject = {
    instanceId: instance.id,
    instanceType: instance.type.name,
    instanceState: { code: STATE_CODES[instance.state], name: instance.state },
    privateIpAddress: primary?.primaryIpv4.toString(),
    ipAddress: primary?.publicIpv4?.toString(),
    launchTime: isoTime(instance.launchTime),
    placement: { availabilityZone: instance.subnet.zone, tenancy: "default" },
    subnetId: isThere ? instance.subnet.id : undefined,
    vpcId: isThere ? account.vpc.id : undefined,
    hypervisor: "xen",
    groupSet: groupSet(primary?.groups ?? []),
    tagSet: tagSet(instance.tags),
    networkInterfaceSet: attached.map((networkInterface) => commonInterfaceXml(account, networkInterface)),
  };
  return { reservationId: `r-${instance.id.slice(2)}`, ownerId: account.ownerId, instancesSet: [item] };
}

export function instanceTypeXml(type: InstanceType): XmlObject {
  return {
    instanceType: type.name,
    currentGeneration: true,
    bareMetal: false,
    hypervisor: "nitro",
    vCpuInfo: { defaultVCpus: type.vcpus },
    memoryInfo: { sizeInMiB: type.memoryMib },
    networkInfo: {
      networkPerformance: type.networkPerformance,
      maximumNetworkInterfaces: type.interfacesMax,
      maximumNetworkCards: type.cards.length,
      defaultNetworkCardIndex: 0,
      networkCards: type.cards.map((card) => ({
        networkCardIndex: card.index,
        networkPerformance: type.networkPerformance,
        maximumNetworkInterfaces: card.interfacesMax,
        interfaceTypeSet: card.interfaceTypes,
      })),
      ipv4AddressesPerInterface: type.ipv4PerInterface,
      ipv6AddressesPerInterface: type.ipv6PerInterface,
      ipv6Supported: true,
      enaSupport: "required",
      efaSupported: type.efaInterfacesMax !== undefined,
      efaInfo:
        type.efaInterfacesMax === undefined ? undefined : { maximumEfaInterfaces: type.efaInterfacesMax },
    },
  };
}

export function subnetXml(account: Account, subnet: Subnet): XmlObject {
  return {
    subnetId: subnet.id,
    subnetArn: `arn:aws:ec2:${account.region}:${account.ownerId}:subnet/${subnet.id}`,
    state: "available",
    vpcId: account.vpc.id,
    ownerId: account.ownerId,
    cidrBlock: subnet.ipv4.toString(),
    ipv6CidrBlockAssociationSet: [
      {
        associationId: `subnet-cidr-assoc-${subnet.id.slice(7)}`,
        ipv6CidrBlock: subnet.ipv6.toString(),
        ipv6CidrBlockState: { state: "associated" },
      },
    ],
    availableIpAddressCount: freeIpv4Count(account, subnet),
    availabilityZone: subnet.zone,
    defaultForAz: false,
    mapPublicIpOnLaunch: false,
    assignIpv6AddressOnCreation: false,
    ipv6Native: false,
    tagSet: tagSet(subnet.tags),
  };
}

export function subnetReservationXml(
  account: Account,
  subnet: Subnet,
  { id, cidr, type, description, tags }: SubnetReservation,
): XmlObject {
  return {
    subnetCidrReservationId: id,
    subnetId: subnet.id,
    cidr: cidr.toString(),
    reservationType: type,
    ownerId: account.ownerId,
    description,
    tagSet: tagSet(tags),
  };
}

/** With the routes that every table has: the VPC's own CIDRs. */
export function routeTableXml(account: Account, { id, isMain, subnetIds, tags }: RouteTable): XmlObject {
  const association = (name: string, rest: XmlObject): XmlObject => ({
    routeTableAssociationId: `rtbassoc-0${name}`,
    routeTableId: id,
    associationState: { state: "associated" },
    ...rest,
  });
  const local = (destination: string, cidrs: readonly VpcCidr[]) =>
    cidrs
      .filter(({ state }) => state === "associated")
      .map(({ cidr }): XmlObject => {
        const route = { gatewayId: "local", state: "active", origin: "CreateRouteTable" };
        return { [destination]: cidr.toString(), ...route };
      });
  return {
    routeTableId: id,
    vpcId: account.vpc.id,
    ownerId: account.ownerId,
    routeSet: [
      ...local("destinationCidrBlock", account.vpc.ipv4),
      ...local("destinationIpv6CidrBlock", account.vpc.ipv6),
    ],
    associationSet: [
      ...(isMain ? [association(id.slice(5), { main: true })] : []),
      ...subnetIds.map((subnetId) => association(subnetId.slice(7), { main: false, subnetId })),
    ],
    propagatingVgwSet: [],
    tagSet: tagSet(tags),
  };
}

export function vpcXml(account: Account, vpc: Vpc): XmlObject {
  return {
    vpcId: vpc.id,
    ownerId: account.ownerId,
    state: "available",
    cidrBlock: vpc.ipv4[0]?.cidr.toString(),
    cidrBlockAssociationSet: vpc.ipv4.map(({ cidr, state }, index) => ({
      associationId: `vpc-cidr-assoc-${index}`,
      cidrBlock: cidr.toString(),
      cidrBlockState: { state },
    })),
    ipv6CidrBlockAssociationSet: vpc.ipv6.map(({ cidr, state }, index) => ({
      associationId: `vpc-cidr-assoc-v6-${index}`,
      ipv6CidrBlock: cidr.toString(),
      ipv6CidrBlockState: { state },
    })),
    instanceTenancy: "default",
    isDefault: false,
    tagSet: tagSet(vpc.tags),
  };
}

export function securityGroupXml(account: Account, group: SecurityGroup): XmlObject {
  return {
    groupId: group.id,
    groupName: group.name,
    groupDescription: group.description,
    ownerId: account.ownerId,
    vpcId: account.vpc.id,
    ipPermissions: [],
    ipPermissionsEgress: [],
    tagSet: tagSet(group.tags),
  };
}
