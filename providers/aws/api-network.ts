/** What we ask of EC2 beside interfaces, all of it reads: the network, instance types, instances. Every function throws CloudError only. */
import {
  DescribeInstancesCommand,
  DescribeInstanceTypesCommand,
  DescribeRouteTablesCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  type Filter,
  type InstanceTypeInfo,
} from "@aws-sdk/client-ec2";
import type { InstanceId } from "../../common/ids.ts";
import type { Cidr } from "../../common/ip.ts";
import { CloudError } from "../errors.ts";
import type { Ec2Client } from "./client.ts";
import {
  type Ec2RouteTable,
  type Ec2Subnet,
  readInstanceStates,
  readNetworkCidrs,
  readRouteTable,
  readSubnet,
} from "./schema.ts";

/** EC2 allows 5 to 100 route tables, and more of the others. */
const PAGE_SIZE = 100;

/** Values by filter name; a subnet passes when it passes each. */
export type Filters = Readonly<Record<string, readonly string[]>>;

/** By filter, so that one subnet which may not be seen does not hide the others. */
export async function listSubnets(
  ec2: Ec2Client,
  filters: Filters,
  signal: AbortSignal,
): Promise<Ec2Subnet[]> {
  return allPages(async (page) => {
    const command = new DescribeSubnetsCommand({ Filters: toFilters(filters), ...page });
    const reply = await ec2.call("DescribeSubnets", "safe", signal, (client, options) =>
      client.send(command, options),
    );
    return { items: (reply.Subnets ?? []).flatMap((raw) => readSubnet(raw) ?? []), next: reply.NextToken };
  });
}

/** Every route table of the network, with the subnets that name it. */
export async function listRouteTables(
  ec2: Ec2Client,
  vpcId: string,
  signal: AbortSignal,
): Promise<Ec2RouteTable[]> {
  return allPages(async (page) => {
    const command = new DescribeRouteTablesCommand({ Filters: toFilters({ "vpc-id": [vpcId] }), ...page });
    const reply = await ec2.call("DescribeRouteTables", "safe", signal, (client, options) =>
      client.send(command, options),
    );
    return { items: (reply.RouteTables ?? []).map(readRouteTable), next: reply.NextToken };
  });
}

/** The state of each of these instances that EC2 knows: `running`, `terminated`, … One that is missing is unknown to EC2. */
export async function instanceStates(
  ec2: Ec2Client,
  ids: readonly InstanceId[],
  signal: AbortSignal,
): Promise<ReadonlyMap<InstanceId, string>> {
  const entries = await allPages(async (page) => {
    // by filter: by id, one that is unknown fails the whole call
    const command = new DescribeInstancesCommand({ Filters: toFilters({ "instance-id": ids }), ...page });
    const reply = await ec2.call("DescribeInstances", "safe", signal, (client, options) =>
      client.send(command, options),
    );
    return { items: readInstanceStates(reply.Reservations), next: reply.NextToken };
  });
  return new Map(entries);
}

/** The network's own CIDRs. Throws `not-found` when EC2 does not show it. */
export async function networkCidrs(ec2: Ec2Client, vpcId: string, signal: AbortSignal): Promise<Cidr[]> {
  const reply = await ec2.call("DescribeVpcs", "safe", signal, (client, options) =>
    client.send(new DescribeVpcsCommand({ VpcIds: [vpcId] }), options),
  );
  const vpc = reply.Vpcs?.[0];
  if (vpc !== undefined) return readNetworkCidrs(vpc);
  throw new CloudError("not-found", `DescribeVpcs: no answer for ${vpcId}`, { operation: "DescribeVpcs" });
}

export async function instanceType(
  ec2: Ec2Client,
  name: string,
  signal: AbortSignal,
): Promise<InstanceTypeInfo> {
  // the enum of the SDK's version is never the whole list
  const InstanceTypes = [name as NonNullable<InstanceTypeInfo["InstanceType"]>];
  const reply = await ec2.call("DescribeInstanceTypes", "safe", signal, (client, options) =>
    client.send(new DescribeInstanceTypesCommand({ InstanceTypes }), options),
  );
  const info = reply.InstanceTypes?.[0];
  if (info !== undefined) return info;
  throw new CloudError("not-found", `DescribeInstanceTypes: no answer for ${name}`, {
    operation: "DescribeInstanceTypes",
  });
}

type Page = { readonly MaxResults: number; readonly NextToken?: string };

async function allPages<T>(
  read: (page: Page) => Promise<{ readonly items: readonly T[]; readonly next: string | undefined }>,
): Promise<T[]> {
  const found: T[] = [];
  let token: string | undefined;
  do {
    const page = await read({ MaxResults: PAGE_SIZE, ...(token === undefined ? {} : { NextToken: token }) });
    found.push(...page.items);
    token = page.next;
  } while (token !== undefined && token !== "");
  return found;
}

function toFilters(filters: Filters): Filter[] {
  return Object.entries(filters).map(([Name, Values]) => ({ Name, Values: [...Values] }));
}
