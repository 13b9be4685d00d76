import { assignIpv4, assignIpv6, unassignIpv4, unassignIpv6 } from "../model/assign.ts";
import { attachInterface, detachInterface, findByAttachment } from "../model/attach.ts";
import { deleteInterface, modifyInterface } from "../model/change-interface.ts";
import { createInterface } from "../model/create-interface.ts";
import { invalidCombination, invalidValue, missingParameter } from "../model/ec2-error.ts";
import { createTags, deleteTags } from "../model/tags.ts";
import { type AccessRequest, existingResource, newInterface } from "./access.ts";
import type { Action, CallContext } from "./action.ts";
import type { Params } from "./params.ts";
import { attachmentXml, groupSet, interfaceXml } from "./render.ts";

/** Permission for one action on resources that exist. */
function onExisting({ account }: CallContext, action: string, ids: readonly string[]): AccessRequest {
  return { action: `ec2:${action}`, resources: ids.map((id) => existingResource(account, id)) };
}

function readTags(records: readonly Params[]): Map<string, string> {
  return new Map(records.map((tag) => [tag.required("Key"), tag.text("Value") ?? ""]));
}

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
    access: [onExisting(context, "DeleteNetworkInterface", [id])],
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
    access: [onExisting(context, "AttachNetworkInterface", [request.instanceId, request.interfaceId])],
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
    access: [onExisting(context, "DetachNetworkInterface", [attachment.instanceId, id])],
    run: () => {
      detachInterface(context.account, attachmentId);
      return { return: true };
    },
  };
};

const modifyNetworkInterfaceAttribute: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  const groupIds = params.list("SecurityGroupId");
  const attachmentId = params.text("Attachment.AttachmentId");
  const deleteOnTermination = params.boolean("Attachment.DeleteOnTermination");
  const changes = {
    groupIds,
    description: params.text("Description.Value"),
    sourceDestCheck: params.boolean("SourceDestCheck.Value"),
    deleteOnTermination:
      attachmentId === undefined || deleteOnTermination === undefined
        ? undefined
        : { attachmentId, value: deleteOnTermination },
  };
  return {
    access: [onExisting(context, "ModifyNetworkInterfaceAttribute", [id, ...groupIds])],
    run: () => {
      modifyInterface(context.account, id, changes);
      return { return: true };
    },
  };
};

const describeNetworkInterfaceAttribute: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  const attribute = params.text("Attribute") ?? "description";
  const { account } = context;
  return {
    access: [onExisting(context, "DescribeNetworkInterfaceAttribute", [id])],
    run: () => {
      const { attachment, ...rest } = account.getInterface(id);
      const reply = { networkInterfaceId: id };
      switch (attribute) {
        case "description":
          return { ...reply, description: { value: rest.description } };
        case "groupSet":
          return { ...reply, groupSet: groupSet(rest.groups) };
        case "sourceDestCheck":
          return { ...reply, sourceDestCheck: { value: rest.sourceDestCheck } };
        case "attachment":
          return attachment === undefined
            ? reply
            : { ...reply, attachment: attachmentXml(account, attachment) };
        default:
          throw invalidValue(`Value (${attribute}) for parameter attribute is invalid.`);
      }
    },
  };
};

const assignPrivateIpAddresses: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  const move = params.boolean("AllowReassignment") ?? false;
  const request = {
    addresses: params.list("PrivateIpAddress"),
    addressCount: params.integer("SecondaryPrivateIpAddressCount"),
    prefixes: params.list("Ipv4Prefix"),
    prefixCount: params.integer("Ipv4PrefixCount"),
  };
  return {
    access: [onExisting(context, "AssignPrivateIpAddresses", [id])],
    run: () => {
      const { addresses, prefixes } = assignIpv4(context.account, id, request, move);
      return {
        return: true,
        networkInterfaceId: id,
        assignedPrivateIpAddressesSet: addresses.map((address) => ({ privateIpAddress: address.toString() })),
        assignedIpv4PrefixSet: prefixes.map((prefix) => ({ ipv4Prefix: prefix.toString() })),
      };
    },
  };
};

const unassignPrivateIpAddresses: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  const units = { addresses: params.list("PrivateIpAddress"), prefixes: params.list("Ipv4Prefix") };
  return {
    access: [onExisting(context, "UnassignPrivateIpAddresses", [id])],
    run: () => {
      unassignIpv4(context.account, id, units);
      return { return: true };
    },
  };
};

const assignIpv6Addresses: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  const request = {
    addresses: params.list("Ipv6Addresses"),
    addressCount: params.integer("Ipv6AddressCount"),
    prefixes: params.list("Ipv6Prefix"),
    prefixCount: params.integer("Ipv6PrefixCount"),
  };
  return {
    access: [onExisting(context, "AssignIpv6Addresses", [id])],
    run: () => {
      const { addresses, prefixes } = assignIpv6(context.account, id, request);
      return {
        networkInterfaceId: id,
        assignedIpv6Addresses: addresses.map(String),
        assignedIpv6PrefixSet: prefixes.map(String),
      };
    },
  };
};

const unassignIpv6Addresses: Action = (params, context) => {
  const id = params.required("NetworkInterfaceId");
  const units = { addresses: params.list("Ipv6Addresses"), prefixes: params.list("Ipv6Prefix") };
  return {
    access: [onExisting(context, "UnassignIpv6Addresses", [id])],
    run: () => {
      unassignIpv6(context.account, id, units);
      return {
        networkInterfaceId: id,
        unassignedIpv6Addresses: units.addresses,
        unassignedIpv6PrefixSet: units.prefixes,
      };
    },
  };
};

const createTagsAction: Action = (params, { account }) => {
  const ids = params.list("ResourceId");
  const tags = readTags(params.records("Tag"));
  if (ids.length === 0) throw missingParameter("resourceIdSet");
  if (tags.size === 0) throw missingParameter("Tag");
  return {
    access: [{ action: "ec2:CreateTags", resources: ids.map((id) => existingResource(account, id, tags)) }],
    run: () => {
      createTags(account, ids, tags);
      return { return: true };
    },
  };
};

const deleteTagsAction: Action = (params, { account }) => {
  const ids = params.list("ResourceId");
  const tags = new Map(params.records("Tag").map((tag) => [tag.required("Key"), tag.text("Value")]));
  const requestTags = new Map([...tags].map(([key, value]) => [key, value ?? ""]));
  if (ids.length === 0) throw missingParameter("resourceIdSet");
  return {
    access: [
      { action: "ec2:DeleteTags", resources: ids.map((id) => existingResource(account, id, requestTags)) },
    ],
    run: () => {
      deleteTags(account, ids, tags);
      return { return: true };
    },
  };
};

export const CHANGE_ACTIONS: Readonly<Record<string, Action>> = {
  CreateNetworkInterface: createNetworkInterface,
  DeleteNetworkInterface: deleteNetworkInterface,
  AttachNetworkInterface: attachNetworkInterface,
  DetachNetworkInterface: detachNetworkInterface,
  ModifyNetworkInterfaceAttribute: modifyNetworkInterfaceAttribute,
  DescribeNetworkInterfaceAttribute: describeNetworkInterfaceAttribute,
  AssignPrivateIpAddresses: assignPrivateIpAddresses,
  UnassignPrivateIpAddresses: unassignPrivateIpAddresses,
  AssignIpv6Addresses: assignIpv6Addresses,
  UnassignIpv6Addresses: unassignIpv6Addresses,
  CreateTags: createTagsAction,
  DeleteTags: deleteTagsAction,
};
