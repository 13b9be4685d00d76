import type { Account } from "./account.ts";
import { Ec2Error } from "./ec2-error.ts";
import type { Instance, NetworkInterface } from "./resources.ts";

/** Addresses and prefixes of each family: each counts one against the limit of its family. */
export type UnitCounts = { readonly ipv4: number; readonly ipv6: number };

export function countUnits(networkInterface: NetworkInterface): UnitCounts {
  return {
    ipv4: 1 + networkInterface.secondaryIpv4.length + networkInterface.ipv4Prefixes.length,
    ipv6: networkInterface.ipv6.length + networkInterface.ipv6Prefixes.length,
  };
}

/** Throws PrivateIpAddressLimitExceeded when an interface with these units would be more than the type allows. */
export function checkUnitLimit(instance: Instance, counts: UnitCounts): void {
  const { ipv4PerInterface, ipv6PerInterface } = instance.type;
  if (counts.ipv4 > ipv4PerInterface) {
    throw new Ec2Error("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.");
  }
  if (counts.ipv6 > ipv6PerInterface) {
    throw new Ec2Error("PrivateIpAddressLimitExceeded", "Number of IPv6 addresses will exceed limit.");
  }
}

/** As checkUnitLimit(), for units to be added. An interface without an instance has no limit yet. */
export function checkRoom(account: Account, networkInterface: NetworkInterface, added: UnitCounts): void {
  const { attachment } = networkInterface;
  if (attachment === undefined) return;
  const now = countUnits(networkInterface);
  checkUnitLimit(account.getInstance(attachment.instanceId), {
    ipv4: now.ipv4 + added.ipv4,
    ipv6: now.ipv6 + added.ipv6,
  });
}
