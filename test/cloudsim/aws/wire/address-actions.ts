import { assignIpv4, assignIpv6, unassignIpv4, unassignIpv6 } from "../model/assign.ts";
import { onExisting } from "./access.ts";
import type { Action } from "./action.ts";

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
    access: [onExisting(context.account, "AssignPrivateIpAddresses", [id])],
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
    access: [onExisting(context.account, "UnassignPrivateIpAddresses", [id])],
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
    access: [onExisting(context.account, "AssignIpv6Addresses", [id])],
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
    access: [onExisting(context.account, "UnassignIpv6Addresses", [id])],
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

export const ADDRESS_ACTIONS: Readonly<Record<string, Action>> = {
  AssignPrivateIpAddresses: assignPrivateIpAddresses,
  UnassignPrivateIpAddresses: unassignPrivateIpAddresses,
  AssignIpv6Addresses: assignIpv6Addresses,
  UnassignIpv6Addresses: unassignIpv6Addresses,
};
