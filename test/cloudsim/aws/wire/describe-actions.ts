import type { Account } from "../model/account.ts";
import { getInstanceType, INSTANCE_TYPES, type InstanceType } from "../model/instance-types.ts";
import type {
  Instance,
  NetworkInterface,
  RouteTable,
  SecurityGroup,
  Subnet,
  Vpc,
} from "../model/resources.ts";
import { freeIpv4Count } from "../model/subnet-addresses.ts";
import { ANY_RESOURCE } from "./access.ts";
import type { Action, PreparedCall } from "./action.ts";
import { type FilterTable, readFilters, tagFilters } from "./filters.ts";
import type { PageLimits } from "./paging.ts";
import {
  instanceTypeXml,
  interfaceStatus,
  interfaceXml,
  reservationXml,
  routeTableXml,
  securityGroupXml,
  subnetXml,
  vpcXml,
} from "./render.ts";
import { Sight } from "./sight.ts";
import type { XmlObject } from "./xml.ts";

type DescribeSpec<T> = {
  readonly name: string;
  /** The parameter that names resources by id, and what finds one or throws NotFound. */
  readonly ids: string;
  readonly get: (sight: Sight, id: string) => T;
  readonly all: (sight: Sight) => readonly T[];
  readonly idOf: (item: T) => string;
  readonly filters: (sight: Sight) => FilterTable<T>;
  readonly limits: PageLimits;
  /** The element of the reply that holds the list. */
  readonly set: string;
  readonly render: (sight: Sight, item: T) => XmlObject;
};

/** All Describe calls are alike: by ids or all, filtered, paged. */
function describe<T extends object>(spec: DescribeSpec<T>): Action {
  return (params, { account, pager, omitsHalf }): PreparedCall => {
    const sight = new Sight(account);
    const ids = params.list(spec.ids);
    const passes = readFilters(params, spec.filters(sight));
    params.boolean("IncludeManagedResources");
    params.integer("MaxResults");
    params.text("NextToken");
    return {
      access: [{ action: `ec2:${spec.name}`, resources: [ANY_RESOURCE] }],
      run: () => {
        const found = ids.length > 0 ? ids.map((id) => spec.get(sight, id)) : spec.all(sight);
        const passing = found.filter(passes);
        const shown = omitsHalf ? halfOf(account, passing) : passing;
        const { items, nextToken } = pager.page(params, spec.limits, shown, spec.idOf);
        return { [spec.set]: items.map((item) => spec.render(sight, item)), nextToken };
      },
    };
  };
}

/** Any half of them, rounded down, in their order. */
function halfOf<T>({ sideRandom }: Account, items: readonly T[]): T[] {
  const rest = [...items];
  while (rest.length > items.length / 2) rest.splice(sideRandom.below(rest.length), 1);
  return rest;
}

const interfaceFilters = ({ account }: Sight): FilterTable<NetworkInterface> => ({
  ...tagFilters,
  "network-interface-id": ({ id }) => [id],
  "subnet-id": ({ subnet }) => [subnet.id],
  "vpc-id": () => [account.vpc.id],
  "availability-zone": ({ subnet }) => [subnet.zone],
  description: ({ description }) => [description],
  "group-id": ({ groups }) => groups.map(({ id }) => id),
  "group-name": ({ groups }) => groups.map(({ name }) => name),
  "interface-type": ({ type }) => [type],
  "mac-address": ({ mac }) => [mac],
  "owner-id": () => [account.ownerId],
  status: (networkInterface) => [interfaceStatus(networkInterface)],
  "private-ip-address": ({ primaryIpv4 }) => [primaryIpv4.toString()],
  "addresses.private-ip-address": ({ primaryIpv4, secondaryIpv4 }) =>
    [primaryIpv4, ...secondaryIpv4].map(String),
  "ipv6-addresses.ipv6-address": ({ ipv6 }) => ipv6.map(String),
  "attachment.attachment-id": ({ attachment }) => [attachment?.id],
  "attachment.instance-id": ({ attachment }) => [attachment?.instanceId],
  "attachment.device-index": ({ attachment }) => [attachment?.deviceIndex],
  "attachment.status": ({ attachment }) => [attachment?.status ?? "detached"],
  "attachment.delete-on-termination": ({ attachment }) => [attachment?.deleteOnTermination],
});

const instanceFilters = (sight: Sight): FilterTable<Instance> => ({
  ...tagFilters,
  "instance-id": ({ id }) => [id],
  "instance-type": ({ type }) => [type.name],
  "instance-state-name": ({ state }) => [state],
  "vpc-id": () => [sight.account.vpc.id],
  "subnet-id": ({ subnet }) => [subnet.id],
  "availability-zone": ({ subnet }) => [subnet.zone],
  "private-ip-address": (instance) =>
    sight.interfacesOf(instance).map(({ primaryIpv4 }) => primaryIpv4.toString()),
  "network-interface.network-interface-id": (instance) => sight.interfacesOf(instance).map(({ id }) => id),
});

const subnetFilters = ({ account }: Sight): FilterTable<Subnet> => ({
  ...tagFilters,
  "subnet-id": ({ id }) => [id],
  "vpc-id": () => [account.vpc.id],
  "availability-zone": ({ zone }) => [zone],
  availabilityZone: ({ zone }) => [zone],
  cidr: ({ ipv4 }) => [ipv4.toString()],
  "cidr-block": ({ ipv4 }) => [ipv4.toString()],
  "available-ip-address-count": (subnet) => [freeIpv4Count(account, subnet)],
  state: () => ["available"],
});

const vpcFilters = ({ account }: Sight): FilterTable<Vpc> => ({
  ...tagFilters,
  "vpc-id": ({ id }) => [id],
  cidr: ({ ipv4 }) => [ipv4[0]?.cidr.toString()],
  "cidr-block-association.cidr-block": ({ ipv4 }) => ipv4.map(({ cidr }) => cidr.toString()),
  "owner-id": () => [account.ownerId],
  state: () => ["available"],
});

const groupFilters = ({ account }: Sight): FilterTable<SecurityGroup> => ({
  ...tagFilters,
  "group-id": ({ id }) => [id],
  "group-name": ({ name }) => [name],
  description: ({ description }) => [description],
  "vpc-id": () => [account.vpc.id],
});

/** The subnets that name the table; a subnet that none names is not listed with the main one. */
const routeTableFilters = ({ account }: Sight): FilterTable<RouteTable> => ({
  ...tagFilters,
  "route-table-id": ({ id }) => [id],
  "vpc-id": () => [account.vpc.id],
  "owner-id": () => [account.ownerId],
  "association.main": ({ isMain }) => [isMain],
  "association.subnet-id": ({ subnetIds }) => subnetIds,
});

const typeFilters = (): FilterTable<InstanceType> => ({
  "instance-type": ({ name }) => [name],
  hypervisor: () => ["nitro"],
  "current-generation": () => [true],
});

export const DESCRIBE_ACTIONS: Readonly<Record<string, Action>> = {
  DescribeNetworkInterfaces: describe({
    name: "DescribeNetworkInterfaces",
    ids: "NetworkInterfaceId",
    get: (sight, id) => sight.getInterface(id),
    all: (sight) => sight.interfaces,
    idOf: ({ id }) => id,
    filters: interfaceFilters,
    limits: { min: 5, max: 1000, notWith: "NetworkInterfaceId" },
    set: "networkInterfaceSet",
    render: ({ account }, item) => interfaceXml(account, item),
  }),
  DescribeInstances: describe({
    name: "DescribeInstances",
    ids: "InstanceId",
    get: ({ account }, id) => account.getInstance(id),
    all: ({ account }) => [...account.instances.values()],
    idOf: ({ id }) => id,
    filters: instanceFilters,
    limits: { min: 5, max: 1000, notWith: "InstanceId" },
    set: "reservationSet",
    render: reservationXml,
  }),
  DescribeInstanceTypes: describe({
    name: "DescribeInstanceTypes",
    ids: "InstanceType",
    get: (_sight, name) => getInstanceType(name),
    all: () => INSTANCE_TYPES,
    idOf: ({ name }) => name,
    filters: typeFilters,
    limits: { min: 5, max: 100, notWith: "InstanceType" },
    set: "instanceTypeSet",
    render: (_sight, type) => instanceTypeXml(type),
  }),
  DescribeSubnets: describe({
    name: "DescribeSubnets",
    ids: "SubnetId",
    get: ({ account }, id) => account.getSubnet(id),
    all: ({ account }) => account.subnets,
    idOf: ({ id }) => id,
    filters: subnetFilters,
    limits: { min: 5, max: 1000 },
    set: "subnetSet",
    render: ({ account }, item) => subnetXml(account, item),
  }),
  DescribeRouteTables: describe({
    name: "DescribeRouteTables",
    ids: "RouteTableId",
    get: ({ account }, id) => account.getRouteTable(id),
    all: ({ account }) => account.routeTables,
    idOf: ({ id }) => id,
    filters: routeTableFilters,
    limits: { min: 5, max: 100 },
    set: "routeTableSet",
    render: ({ account }, item) => routeTableXml(account, item),
  }),
  DescribeVpcs: describe({
    name: "DescribeVpcs",
    ids: "VpcId",
    get: ({ account }, id) => account.getVpc(id),
    all: ({ account }) => [account.vpc],
    idOf: ({ id }) => id,
    filters: vpcFilters,
    limits: { min: 5, max: 1000 },
    set: "vpcSet",
    render: ({ account }, item) => vpcXml(account, item),
  }),
  DescribeSecurityGroups: describe({
    name: "DescribeSecurityGroups",
    ids: "GroupId",
    get: ({ account }, id) => account.getGroup(id),
    all: ({ account }) => account.groups,
    idOf: ({ id }) => id,
    filters: groupFilters,
    limits: { min: 5, max: 1000 },
    set: "securityGroupInfo",
    render: ({ account }, item) => securityGroupXml(account, item),
  }),
};
