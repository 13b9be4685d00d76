import { attachInterface, detachInterface, findByAttachment } from "../model/attach.ts";
import { deleteInterface } from "../model/change-interface.ts";
import { createInterface } from "../model/create-interface.ts";
import { invalidCombination, invalidValue, missingParameter } from "../model/ec2-error.ts";
import { existingResource, newInterface, onExisting } from "./access.ts";
import type { Action } from "./action.ts";
import type { Params } from "./params.ts";
import { interfaceXml } from "./render.ts";
import { readTags } from "./tag-actions.ts";

/** The tags of `TagSpecification.N` for interfaces, the only resource that a call here creates. */
function readTagSpecification(params: Params): Map<string, string> {
  const tags = new Map<string, string>();
  for (const specification of params.records("TagSpecification")) {
    const type = specification.required("ResourceType");
    if (type !== "network-interface") throw invalidValue(`'${type}' is not a valid taggable resource type`);
    for (const [key, value] of readTags(specification.records("Tag"))) tags.set(key, value);
  }
  return tags;
}

/** The primary address, by `PrivateIpAddress` or by the entry of `PrivateIpAddresses` that is marked, and the secondary ones. */
function readNamedIpv4(params: Params) {
  const single = params.text("PrivateIpAddress");
  const entries = params.records("PrivateIpAddresses").map((entry) => ({
    address: entry.required("PrivateIpAddress"),
    primary: entry.boolean("Primary") ?? false,
  }));
  const marked = entries.filter(({ primary }) => primary).map(({ address }) => address);
  if (marked.length > 1 || (marked.length === 1 && single !== undefined && single !== marked[0])) {
    throw invalidCombination("Only one primary private IP address can be specified");
  }
  return {
    primary: single ?? marked[0],
    secondary: entries.filter(({ primary }) => !primary).map(({ address }) => address),
  };
}

const createNetworkInterface: Action = (params, context) => {
  const { account } = context;
  const named = readNamedIpv4(params);
  const tags = readTagSpecification(params);
  const subnetId = params.required("SubnetId");
  const groupIds = params.list("SecurityGroupId");
  const clientToken = params.text("ClientToken");
  const request = {
    subnetId,
    groupIds,
    clientToken,
    tags,
    description: params.text("Description"),
    type: params.text("InterfaceType"),
    primaryIpv4: named.primary,
    ipv4: {
      addresses: named.secondary,
      addressCount: params.integer("SecondaryPrivateIpAddressCount"),
      prefixes: params.records("Ipv4Prefix").map((entry) => entry.required("Ipv4Prefix")),
      prefixCount: params.integer("Ipv4PrefixCount"),
    },
    ipv6: {
      addresses: params.records("Ipv6Addresses").map((entry) => entry.required("Ipv6Address")),
      addressCount: params.integer("Ipv6AddressCount"),
      prefixes: params.records("Ipv6Prefix").map((entry) => entry.required("Ipv6Prefix")),
      prefixCount: params.integer("Ipv6PrefixCount"),
    },
  };
  const existing = [subnetId, ...groupIds].map((id) => existingResource(account, id));
  const access = [
    { action: "ec2:CreateNetworkInterface", resources: [newInterface(account, tags), ...existing] },
  ];
  if (tags.size > 0) {
    const tagged = newInterface(account, tags, "CreateNetworkInterface");
    access.push({ action: "ec2:CreateTags", resources: [tagged] });
  }
  return {
    access,
    run: () => ({ networkInterface: interfaceXml(account, createInterface(account, request)), clientToken }),
  };
};

const deleteNetworkInterface: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  return {
    access: [onExisting(context.account, "DeleteNetworkInterface", [id])],
    run: () => {
      deleteInterface(context.account, id);
      return { return: true };
    },
  };
};

const attachNetworkInterface: Action = (params, context) => {
  const deviceIndex = params.integer("DeviceIndex");
  if (deviceIndex === undefined) throw missingParameter("DeviceIndex");
  const request = {
    interfaceId: params.required("NetworkInterfaceId"),
    instanceId: params.required("InstanceId"),
    deviceIndex,
    cardIndex: params.integer("NetworkCardIndex"),
  };
  return {
    access: [
      onExisting(context.account, "AttachNetworkInterface", [request.instanceId, request.interfaceId]),
    ],
    run: () => {
      const { id, cardIndex } = attachInterface(context.account, request);
      return { attachmentId: id, networkCardIndex: cardIndex };
    },
  };
};

const detachNetworkInterface: Action = (params, context) => {
  const attachmentId = params.required("AttachmentId");
  params.boolean("Force");
  const { id, attachment } = findByAttachment(context.account, attachmentId);
  return {
    access: [onExisting(context.account, "DetachNetworkInterface", [attachment.instanceId, id])],
    run: () => {
      detachInterface(context.account, attachmentId);
      return { return: true };
    },
  };
};

export const INTERFACE_ACTIONS: Readonly<Record<string, Action>> = {
  CreateNetworkInterface: createNetworkInterface,
  DeleteNetworkInterface: deleteNetworkInterface,
  AttachNetworkInterface: attachNetworkInterface,
  DetachNetworkInterface: detachNetworkInterface,
};
