import { type Cidr, IpAddress } from "../../../../common/ip.ts";
import type { Account } from "./account.ts";
import { invalidValue, missingParameter } from "./ec2-error.ts";
import { checkRoom } from "./limits.ts";
import type { NetworkInterface } from "./resources.ts";
import { holderOf } from "./subnet-addresses.ts";
import { checkUnused, countAsked, resolveUnits, type UnitRequest, type Units } from "./unit-request.ts";

/** AssignPrivateIpAddresses: answers with the new addresses only. With `move`, addresses leave the interface that has them. */
export function assignIpv4(
  account: Account,
  interfaceId: string,
  request: UnitRequest,
  move: boolean,
): Units {
  const networkInterface = account.getInterface(interfaceId);
  const { subnet, secondaryIpv4 } = networkInterface;
  if (countAsked(request) === 0) throw missingParameter("privateIpAddress or secondaryPrivateIpAddressCount");
  const here = new Set(secondaryIpv4.map(String));
  const repeated = (request.addresses ?? []).filter((text) => here.has(text)).length;
  checkRoom(account, networkInterface, { ipv4: countAsked(request) - repeated, ipv6: 0 });
  const units = resolveUnits(account, subnet, 4, request);
  const addresses = units.addresses.filter((address) => !here.has(address.toString()));
  const moved = addresses.filter((address) => canMove(account, networkInterface, address, move));
  const rest = addresses.filter((address) => !moved.includes(address));
  checkUnused(account, subnet, { addresses: rest, prefixes: units.prefixes });
  for (const address of moved) takeAway(account, networkInterface, address);
  networkInterface.secondaryIpv4 = [...secondaryIpv4, ...addresses];
  networkInterface.ipv4Prefixes = [...networkInterface.ipv4Prefixes, ...units.prefixes];
  account.changed(networkInterface);
  return units;
}

/** True when another interface has the address and gives it up; throws when it does not; false when nobody has it. */
function canMove(account: Account, to: NetworkInterface, address: IpAddress, move: boolean): boolean {
  const from = holderOf(account, to.subnet, address.toCidr());
  if (from === undefined) return false;
  const isSecondary = from.secondaryIpv4.some((other) => other.equals(address));
  if (!move || !isSecondary) {
    throw invalidValue(`[${address}] is already assigned, but move is not allowed.`);
  }
  return true;
}

function takeAway(account: Account, to: NetworkInterface, address: IpAddress): void {
  const from = holderOf(account, to.subnet, address.toCidr());
  if (from === undefined) return;
  from.secondaryIpv4 = from.secondaryIpv4.filter((other) => !other.equals(address));
  account.changed(from);
}

/** AssignIpv6Addresses: answers with the new addresses only. */
export function assignIpv6(account: Account, interfaceId: string, request: UnitRequest): Units {
  const networkInterface = account.getInterface(interfaceId);
  const asked = countAsked(request);
  if (asked === 0) throw missingParameter("ipv6Addresses or ipv6AddressCount");
  checkRoom(account, networkInterface, { ipv4: 0, ipv6: asked });
  const units = resolveUnits(account, networkInterface.subnet, 6, request);
  checkUnused(account, networkInterface.subnet, units);
  networkInterface.ipv6 = [...networkInterface.ipv6, ...units.addresses];
  networkInterface.ipv6Prefixes = [...networkInterface.ipv6Prefixes, ...units.prefixes];
  account.changed(networkInterface);
  return units;
}

/** UnassignPrivateIpAddresses: all of them or, when one is not there or is the primary, none. */
export function unassignIpv4(
  account: Account,
  interfaceId: string,
  units: { readonly addresses: readonly string[]; readonly prefixes: readonly string[] },
): void {
  const networkInterface = account.getInterface(interfaceId);
  if (units.addresses.length + units.prefixes.length === 0) throw missingParameter("privateIpAddress");
  if (units.addresses.includes(networkInterface.primaryIpv4.toString())) {
    throw invalidValue("The primary IP address of an interface cannot be unassigned.");
  }
  const addresses = without(networkInterface, networkInterface.secondaryIpv4, units.addresses);
  const prefixes = without(networkInterface, networkInterface.ipv4Prefixes, units.prefixes);
  networkInterface.secondaryIpv4 = addresses;
  networkInterface.ipv4Prefixes = prefixes;
  account.changed(networkInterface);
}

/** UnassignIpv6Addresses: all of them or, when one is not there, none. */
export function unassignIpv6(
  account: Account,
  interfaceId: string,
  units: { readonly addresses: readonly string[]; readonly prefixes: readonly string[] },
): void {
  const networkInterface = account.getInterface(interfaceId);
  if (units.addresses.length + units.prefixes.length === 0) throw missingParameter("ipv6Addresses");
  const addresses = without(networkInterface, networkInterface.ipv6, units.addresses);
  const prefixes = without(networkInterface, networkInterface.ipv6Prefixes, units.prefixes);
  networkInterface.ipv6 = addresses;
  networkInterface.ipv6Prefixes = prefixes;
  account.changed(networkInterface);
}

/** `have` less `remove`; throws when one of them is not there. */
function without<T extends IpAddress | Cidr>(
  networkInterface: NetworkInterface,
  have: readonly T[],
  remove: readonly string[],
): T[] {
  const texts = new Set(have.map(String));
  const gone = new Set(remove.map(canonical));
  if (![...gone].every((text) => texts.has(text))) {
    throw invalidValue(
      `Some of the specified addresses are not assigned to interface ${networkInterface.id}`,
    );
  }
  return have.filter((unit) => !gone.has(unit.toString()));
}

/** `2001:DB8::0/80` as `2001:db8::/80`; anything that is no address as it is. */
function canonical(text: string): string {
  const [start = "", length] = text.split("/");
  const address = IpAddress.tryParse(start)?.toString() ?? start;
  return length === undefined ? address : `${address}/${length}`;
}
