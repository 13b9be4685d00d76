/**
 * Which addresses of a subnet are free, and which are taken next. EC2 takes them from anywhere in the subnet, so a subnet in use is
 * fragmented: enough addresses, and still no aligned /28. Reserved ranges are left alone: what is reserved for prefixes gives prefixes,
 * before the rest of the subnet does, and no single address.
 */
import { Cidr, IpAddress } from "../../../../common/ip.ts";
import type { Account } from "./account.ts";
import { Ec2Error, invalidValue } from "./ec2-error.ts";
import type { Subnet, SubnetReservation } from "./resources.ts";

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

function reservationsOf(
  subnet: Subnet,
  family: 4 | 6,
  ...types: readonly SubnetReservation["type"][]
): SubnetReservation[] {
  return subnet.reservations.filter(({ cidr, type }) => cidr.family === family && types.includes(type));
}

function isSetAside(subnet: Subnet, unit: Cidr, ...types: readonly SubnetReservation["type"][]): boolean {
  return reservationsOf(subnet, unit.family, ...types).some(({ cidr }) => cidr.overlaps(unit));
}

/** `count` free addresses from anywhere in the subnet, none of `taken`. Throws InsufficientFreeAddressesInSubnet and takes none. */
export function pickIpv4(
  account: Account,
  subnet: Subnet,
  count: number,
  taken: readonly IpAddress[] = [],
): IpAddress[] {
  const free = freeIpv4(account, subnet, new Set(taken.map(({ value }) => value))).filter(
    (address) => !isSetAside(subnet, address.toCidr(), "prefix", "explicit"),
  );
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
  const whole = wholePrefixes(free).filter((prefix) => !isSetAside(subnet, prefix, "explicit"));
  if (whole.length < count) {
    throw new Ec2Error(
      "InsufficientCidrBlocks",
      "The specified subnet does not have enough free cidr blocks to satisfy the request.",
    );
  }
  const reserved = whole.filter((prefix) => isInReservation(subnet, prefix));
  const first = pickFrom(account, reserved, Math.min(count, reserved.length));
  const others = whole.filter((prefix) => !reserved.includes(prefix));
  return [...first, ...pickFrom(account, others, count - first.length)];
}

/** The aligned /28 whose every address is among these. */
function wholePrefixes(free: readonly IpAddress[]): Cidr[] {
  const perPrefix = Map.groupBy(free, (address) => Cidr.of(address, IPV4_PREFIX_LENGTH).toString());
  return [...perPrefix]
    .filter(([, addresses]) => addresses.length === PREFIX_ADDRESSES)
    .map(([text]) => Cidr.parse(text));
}

/** The aligned /28 of a subnet that are free now and in no reservation. */
export function freeIpv4Prefixes(account: Account, subnet: Subnet): Cidr[] {
  return wholePrefixes(freeIpv4(account, subnet, new Set())).filter(
    (prefix) => !isSetAside(subnet, prefix, "prefix", "explicit"),
  );
}

function isInReservation(subnet: Subnet, prefix: Cidr): boolean {
  return reservationsOf(subnet, prefix.family, "prefix").some(({ cidr }) => cidr.contains(prefix));
}

function pickFrom<T>(account: Account, from: readonly T[], count: number): T[] {
  const rest = [...from];
  return Array.from({ length: count }, () => rest.splice(account.random.below(rest.length), 1)[0] as T);
}

/** `count` free IPv6 addresses or /80 prefixes of the subnet's range. */
export function pickIpv6(account: Account, subnet: Subnet, prefixLength: 128 | 80, count: number): Cidr[] {
  const picked = prefixLength === 80 ? pickReservedIpv6(account, subnet, count) : [];
  while (picked.length < count) {
    const candidate = drawIpv6(account, subnet.ipv6, prefixLength);
    const types = prefixLength === 80 ? (["explicit"] as const) : (["prefix", "explicit"] as const);
    if (isSetAside(subnet, candidate, ...types)) continue;
    if (picked.some((other) => other.overlaps(candidate))) continue;
    if (isFreeIpv6(account, subnet, candidate)) picked.push(candidate);
  }
  return picked;
}

/** Enough to find one of a few free prefixes; a range that is nearly used up may be left for the rest of the subnet. */
const RESERVED_DRAWS = 200;

/** Up to `count` /80 of the ranges that are reserved for them. */
function pickReservedIpv6(account: Account, subnet: Subnet, count: number): Cidr[] {
  const picked: Cidr[] = [];
  for (const { cidr } of reservationsOf(subnet, 6, "prefix")) {
    if (cidr.prefixLength > IPV6_PREFIX_LENGTH) continue;
    for (let draw = 0; draw < RESERVED_DRAWS && picked.length < count; draw += 1) {
      const candidate = drawIpv6(account, cidr, IPV6_PREFIX_LENGTH);
      if (picked.some((other) => other.overlaps(candidate))) continue;
      if (isFreeIpv6(account, subnet, candidate)) picked.push(candidate);
    }
  }
  return picked;
}

function drawIpv6(account: Account, range: Cidr, prefixLength: 128 | 80): Cidr {
  return Cidr.of(range.first.plus(account.random.bits(128 - range.prefixLength)), prefixLength);
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
