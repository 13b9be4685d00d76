/**
 * Which addresses of a subnet are free, and which are taken next. EC2 takes them from anywhere in the subnet, so a subnet in use is
 * fragmented: enough addresses, and still no aligned /28.
 */
import { Cidr, IpAddress } from "../../../../common/ip.ts";
import type { Account } from "./account.ts";
import { Ec2Error, invalidValue } from "./ec2-error.ts";
import type { Subnet } from "./resources.ts";

export const IPV4_PREFIX_LENGTH = 28;
export const IPV6_PREFIX_LENGTH = 80;
const PREFIX_ADDRESSES = 16;

/** The network, the router, DNS, one for later, and broadcast (VPC User Guide, "Subnet CIDR reservations and sizing"). */
function isReserved(range: Cidr, address: IpAddress): boolean {
  const offset = address.value - range.first.value;
  return offset < 4n || address.value === range.last.value;
}

/** Every IPv4 address in use in the subnet, by value. */
function usedIpv4(account: Account, subnet: Subnet): Set<bigint> {
  const used = new Set<bigint>();
  for (const { primaryIpv4, secondaryIpv4, ipv4Prefixes } of account.interfacesIn(subnet)) {
    for (const address of [primaryIpv4, ...secondaryIpv4]) used.add(address.value);
    for (const prefix of ipv4Prefixes) for (const address of prefix.addresses()) used.add(address.value);
  }
  return used;
}

/** AvailableIpAddressCount: all but the five reserved and those in use; a prefix uses 16. */
export function freeIpv4Count(account: Account, subnet: Subnet): number {
  return Number(subnet.ipv4.size) - 5 - usedIpv4(account, subnet).size;
}

function freeIpv4(account: Account, subnet: Subnet, taken: ReadonlySet<bigint>): IpAddress[] {
  const used = usedIpv4(account, subnet);
  return [...subnet.ipv4.addresses()].filter(
    (address) => !isReserved(subnet.ipv4, address) && !used.has(address.value) && !taken.has(address.value),
  );
}

/** `count` free addresses from anywhere in the subnet, none of `taken`. Throws InsufficientFreeAddressesInSubnet and takes none. */
export function pickIpv4(
  account: Account,
  subnet: Subnet,
  count: number,
  taken: readonly IpAddress[] = [],
): IpAddress[] {
  const free = freeIpv4(account, subnet, new Set(taken.map(({ value }) => value)));
  if (free.length < count) {
    throw new Ec2Error(
      "InsufficientFreeAddressesInSubnet",
      "The specified subnet does not have enough free addresses to satisfy the request.",
    );
  }
  return pickFrom(account, free, count);
}

/**
 * `count` free /28, without an address of `taken`. Too few addresses is InvalidParameterValue, enough of them but in the wrong places
 * InsufficientCidrBlocks (what AWS support said of the two: cilium/cilium#31016).
 */
export function pickIpv4Prefixes(
  account: Account,
  subnet: Subnet,
  count: number,
  taken: readonly IpAddress[] = [],
): Cidr[] {
  const free = freeIpv4(account, subnet, new Set(taken.map(({ value }) => value)));
  if (free.length < count * PREFIX_ADDRESSES) {
    throw invalidValue("There aren't sufficient free Ipv4 addresses or prefixes");
  }
  const perPrefix = Map.groupBy(free, (address) => Cidr.of(address, IPV4_PREFIX_LENGTH).toString());
  const whole = [...perPrefix].filter(([, addresses]) => addresses.length === PREFIX_ADDRESSES);
  if (whole.length < count) {
    throw new Ec2Error(
      "InsufficientCidrBlocks",
      "The specified subnet does not have enough free cidr blocks to satisfy the request.",
    );
  }
  return pickFrom(account, whole, count).map(([text]) => Cidr.parse(text));
}

function pickFrom<T>(account: Account, from: readonly T[], count: number): T[] {
  const rest = [...from];
  return Array.from({ length: count }, () => rest.splice(account.random.below(rest.length), 1)[0] as T);
}

/** `count` free IPv6 addresses or /80 prefixes of the subnet's range. */
export function pickIpv6(account: Account, subnet: Subnet, prefixLength: 128 | 80, count: number): Cidr[] {
  const picked: Cidr[] = [];
  while (picked.length < count) {
    const offset = account.random.bits(128 - subnet.ipv6.prefixLength);
    const candidate = Cidr.of(subnet.ipv6.first.plus(offset), prefixLength);
    if (picked.some((other) => other.overlaps(candidate))) continue;
    if (isFreeIpv6(account, subnet, candidate)) picked.push(candidate);
  }
  return picked;
}

/** In the subnet, clear of the reserved addresses and of everything assigned. */
function isFreeIpv6(account: Account, subnet: Subnet, candidate: Cidr): boolean {
  const reserved = candidate.contains(subnet.ipv6.first) || isReserved(subnet.ipv6, candidate.first);
  return (
    !reserved && !candidate.contains(subnet.ipv6.last) && holderOf(account, subnet, candidate) === undefined
  );
}

/** The interface that has an address or prefix overlapping this one. */
export function holderOf(account: Account, subnet: Subnet, wanted: Cidr) {
  return account
    .interfacesIn(subnet)
    .find(({ primaryIpv4, secondaryIpv4, ipv4Prefixes, ipv6, ipv6Prefixes }) =>
      wanted.family === 4
        ? [primaryIpv4, ...secondaryIpv4].some((address) => wanted.contains(address)) ||
          ipv4Prefixes.some((prefix) => prefix.overlaps(wanted))
        : ipv6.some((address) => wanted.contains(address)) ||
          ipv6Prefixes.some((prefix) => prefix.overlaps(wanted)),
    );
}

/** Parses an address that the caller names. Throws when it is none, not of the subnet, or reserved. */
export function parseAddress(subnet: Subnet, family: 4 | 6, text: string): IpAddress {
  const address = IpAddress.tryParse(text);
  if (address?.family !== family) throw invalidValue(`invalid value for parameter address: ${text}`);
  const range = family === 4 ? subnet.ipv4 : subnet.ipv6;
  if (!range.contains(address)) {
    throw invalidValue(`Address ${text} does not fall within the subnet's address range`);
  }
  if (isReserved(range, address)) throw invalidValue(`Address ${text} is in subnet's reserved address range`);
  return address;
}

/** Parses a prefix that the caller names. Throws when it has the wrong length, host bits, or is outside the subnet. */
export function parsePrefix(subnet: Subnet, family: 4 | 6, text: string): Cidr {
  const length = family === 4 ? IPV4_PREFIX_LENGTH : IPV6_PREFIX_LENGTH;
  const range = family === 4 ? subnet.ipv4 : subnet.ipv6;
  const [start = "", bits] = text.split("/");
  const address = IpAddress.tryParse(start);
  if (
    address?.family !== family ||
    bits !== String(length) ||
    !Cidr.of(address, length).first.equals(address)
  ) {
    throw invalidValue(`Value (${text}) for parameter prefix is invalid. It must be a /${length}.`);
  }
  const prefix = Cidr.of(address, length);
  if (!range.contains(prefix) || prefix.contains(range.first) || prefix.contains(range.last)) {
    throw invalidValue(`Prefix ${text} does not fall within the subnet's address range`);
  }
  return prefix;
}
