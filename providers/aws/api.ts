/**
 * What we ask of EC2's interfaces, one function a call (API version 2016-11-15); api-network.ts has the rest. Commands are imported by name so that the bundle holds these
 * and no others. Every function throws CloudError only.
 */
import {
  AssignIpv6AddressesCommand,
  AssignPrivateIpAddressesCommand,
  AttachNetworkInterfaceCommand,
  CreateNetworkInterfaceCommand,
  type CreateNetworkInterfaceRequest,
  CreateTagsCommand,
  DeleteNetworkInterfaceCommand,
  DescribeNetworkInterfacesCommand,
  type DescribeNetworkInterfacesRequest,
  DetachNetworkInterfaceCommand,
  type Filter,
  ModifyNetworkInterfaceAttributeCommand,
  type NetworkInterface,
  UnassignIpv6AddressesCommand,
  UnassignPrivateIpAddressesCommand,
} from "@aws-sdk/client-ec2";
import { hasCode } from "../../common/errors.ts";
import type { InstanceId, InterfaceId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { CloudError } from "../errors.ts";
import type { UnitRequest } from "../provider.ts";
import type { Ec2Client } from "./client.ts";
import { type Ec2Interface, parseAll, readInterface } from "./schema.ts";

/** EC2 allows 5 to 1,000; a page of 200 interfaces of 50 addresses is about a megabyte and a half of XML. */
const PAGE_SIZE = 200;

/** Every interface that the filters let through, all pages. An interface that shows on two pages is given once. */
export async function listInterfaces(
  ec2: Ec2Client,
  filters: Readonly<Record<string, string>>,
  signal: AbortSignal,
  pageSize = PAGE_SIZE,
): Promise<Ec2Interface[]> {
  const Filters: Filter[] = Object.entries(filters).map(([Name, value]) => ({ Name, Values: [value] }));
  const found = new Map<InterfaceId, Ec2Interface>();
  let NextToken: string | undefined;
  do {
    const page = await describeInterfaces(ec2, { Filters, MaxResults: pageSize, NextToken }, signal);
    for (const one of parseInterfaces(page.NetworkInterfaces)) found.set(one.id, one);
    NextToken = page.NextToken;
  } while (NextToken !== undefined && NextToken !== "");
  return [...found.values()];
}

/** By id; undefined when EC2 says that there is none, which for a young id may only mean not yet. */
export async function findInterface(
  ec2: Ec2Client,
  id: InterfaceId,
  signal: AbortSignal,
): Promise<Ec2Interface | undefined> {
  try {
    const page = await describeInterfaces(ec2, { NetworkInterfaceIds: [id] }, signal);
    return parseInterfaces(page.NetworkInterfaces).find((one) => one.id === id);
  } catch (error) {
    if (hasCode(error, "not-found")) return undefined;
    throw error;
  }
}

/** Repeatable: the ClientToken makes EC2 answer with the interface that the first try made. */
export async function createInterface(
  ec2: Ec2Client,
  request: CreateNetworkInterfaceRequest & { readonly ClientToken: string },
  signal: AbortSignal,
): Promise<Ec2Interface> {
  const reply = await ec2.call("CreateNetworkInterface", "safe", signal, (client, options) =>
    client.send(new CreateNetworkInterfaceCommand(request), options),
  );
  const created = reply.NetworkInterface === undefined ? undefined : readInterface(reply.NetworkInterface);
  if (created !== undefined) return created;
  throw unreadable("CreateNetworkInterface");
}

/** Gives the attachment's id. The card index is always sent: without it EC2 takes the default card. */
export async function attachInterface(
  ec2: Ec2Client,
  request: {
    readonly id: InterfaceId;
    readonly instanceId: InstanceId;
    readonly deviceIndex: number;
    readonly cardIndex: number;
  },
  signal: AbortSignal,
): Promise<string> {
  const command = new AttachNetworkInterfaceCommand({
    NetworkInterfaceId: request.id,
    InstanceId: request.instanceId,
    DeviceIndex: request.deviceIndex,
    NetworkCardIndex: request.cardIndex,
  });
  const reply = await ec2.call("AttachNetworkInterface", "once", signal, (client, options) =>
    client.send(command, options),
  );
  if (reply.AttachmentId !== undefined) return reply.AttachmentId;
  throw unreadable("AttachNetworkInterface");
}

/** The interface goes when its instance goes. */
export async function deleteOnTermination(
  ec2: Ec2Client,
  id: InterfaceId,
  attachmentId: string,
  signal: AbortSignal,
): Promise<void> {
  const command = new ModifyNetworkInterfaceAttributeCommand({
    NetworkInterfaceId: id,
    Attachment: { AttachmentId: attachmentId, DeleteOnTermination: true },
  });
  await ec2.call("ModifyNetworkInterfaceAttribute", "safe", signal, (client, options) =>
    client.send(command, options),
  );
}

export async function detachInterface(
  ec2: Ec2Client,
  attachmentId: string,
  signal: AbortSignal,
): Promise<void> {
  await ec2.call("DetachNetworkInterface", "safe", signal, (client, options) =>
    client.send(new DetachNetworkInterfaceCommand({ AttachmentId: attachmentId }), options),
  );
}

export async function deleteInterface(ec2: Ec2Client, id: InterfaceId, signal: AbortSignal): Promise<void> {
  await ec2.call("DeleteNetworkInterface", "safe", signal, (client, options) =>
    client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id }), options),
  );
}

/** Adds units; gives what the reply names, which may be every address of the interface: describe is the truth. */
export async function assign(
  ec2: Ec2Client,
  id: InterfaceId,
  request: UnitRequest,
  signal: AbortSignal,
): Promise<Cidr[]> {
  return request.family === 4 ? assignIpv4(ec2, id, request, signal) : assignIpv6(ec2, id, request, signal);
}

/** Takes units away, all of one family and all addresses or all blocks. All or none. */
export async function unassign(
  ec2: Ec2Client,
  id: InterfaceId,
  units: readonly Cidr[],
  signal: AbortSignal,
): Promise<void> {
  const isIpv4 = units.every((unit) => unit.family === 4);
  const isSingles = units.every((unit) => unit.isSingle);
  const texts = units.map((unit) => (isSingles ? unit.address.toString() : unit.toString()));
  const NetworkInterfaceId = id;
  if (isIpv4) {
    const what = isSingles ? { PrivateIpAddresses: texts } : { Ipv4Prefixes: texts };
    await ec2.call("UnassignPrivateIpAddresses", "safe", signal, (client, options) =>
      client.send(new UnassignPrivateIpAddressesCommand({ NetworkInterfaceId, ...what }), options),
    );
  } else {
    const what = isSingles ? { Ipv6Addresses: texts } : { Ipv6Prefixes: texts };
    await ec2.call("UnassignIpv6Addresses", "safe", signal, (client, options) =>
      client.send(new UnassignIpv6AddressesCommand({ NetworkInterfaceId, ...what }), options),
    );
  }
}

export async function tag(
  ec2: Ec2Client,
  id: InterfaceId,
  tags: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const Tags = toTagList(tags);
  await ec2.call("CreateTags", "safe", signal, (client, options) =>
    client.send(new CreateTagsCommand({ Resources: [id], Tags }), options),
  );
}

/** Tags in EC2's form. */
export function toTagList(tags: ReadonlyMap<string, string>): { Key: string; Value: string }[] {
  return [...tags].map(([Key, Value]) => ({ Key, Value }));
}

async function assignIpv4(
  ec2: Ec2Client,
  id: InterfaceId,
  request: UnitRequest,
  signal: AbortSignal,
): Promise<Cidr[]> {
  const count = isSingle(request)
    ? { SecondaryPrivateIpAddressCount: request.count }
    : { Ipv4PrefixCount: request.count };
  const reply = await ec2.call("AssignPrivateIpAddresses", "once", signal, (client, options) =>
    client.send(new AssignPrivateIpAddressesCommand({ NetworkInterfaceId: id, ...count }), options),
  );
  const texts = [
    ...(reply.AssignedPrivateIpAddresses ?? []).map((entry) => entry.PrivateIpAddress),
    ...(reply.AssignedIpv4Prefixes ?? []).map((entry) => entry.Ipv4Prefix),
  ];
  return parseAll(texts, Cidr.parse);
}

async function assignIpv6(
  ec2: Ec2Client,
  id: InterfaceId,
  request: UnitRequest,
  signal: AbortSignal,
): Promise<Cidr[]> {
  const count = isSingle(request) ? { Ipv6AddressCount: request.count } : { Ipv6PrefixCount: request.count };
  const reply = await ec2.call("AssignIpv6Addresses", "once", signal, (client, options) =>
    client.send(new AssignIpv6AddressesCommand({ NetworkInterfaceId: id, ...count }), options),
  );
  return parseAll(
    [...(reply.AssignedIpv6Addresses ?? []), ...(reply.AssignedIpv6Prefixes ?? [])],
    Cidr.parse,
  );
}

/** Whether single addresses are asked for, not blocks. */
export function isSingle(request: Pick<UnitRequest, "family" | "prefixLength">): boolean {
  return request.prefixLength === (request.family === 4 ? 32 : 128);
}

function describeInterfaces(
  ec2: Ec2Client,
  request: Omit<DescribeNetworkInterfacesRequest, "NextToken"> & { readonly NextToken?: string | undefined },
  signal: AbortSignal,
) {
  return ec2.call("DescribeNetworkInterfaces", "safe", signal, (client, options) =>
    client.send(new DescribeNetworkInterfacesCommand(request), options),
  );
}

function parseInterfaces(raw: readonly NetworkInterface[] | undefined): Ec2Interface[] {
  return (raw ?? []).flatMap((one) => readInterface(one) ?? []);
}

function unreadable(operation: string): CloudError {
  return new CloudError("unavailable", `${operation}: the reply lacks what it must have`, { operation });
}
