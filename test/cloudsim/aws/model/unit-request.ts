/** "These, or so many": how every call that creates or assigns asks for addresses and prefixes. */
import type { Cidr, IpAddress } from "../../../../common/ip.ts";
import type { Account } from "./account.ts";
import { Ec2Error, invalidCombination } from "./ec2-error.ts";
import type { Subnet } from "./resources.ts";
import {
  holderOf,
  parseAddress,
  parsePrefix,
  pickIpv4,
  pickIpv4Prefixes,
  pickIpv6,
} from "./subnet-addresses.ts";

/** At most one of the four may be given. Counts of 0 are as good as absent. */
export type UnitRequest = {
  readonly addresses?: readonly string[];
  readonly addressCount?: number | undefined;
  readonly prefixes?: readonly string[];
  readonly prefixCount?: number | undefined;
};

export type Units = { readonly addresses: readonly IpAddress[]; readonly prefixes: readonly Cidr[] };

const NONE: Units = { addresses: [], prefixes: [] };

function kindsAsked(request: UnitRequest): string[] {
  const kinds: string[] = [];
  if ((request.addresses?.length ?? 0) > 0) kinds.push("addresses");
  if ((request.addressCount ?? 0) > 0) kinds.push("a count of addresses");
  if ((request.prefixes?.length ?? 0) > 0) kinds.push("prefixes");
  if ((request.prefixCount ?? 0) > 0) kinds.push("a count of prefixes");
  return kinds;
}

/** How many units a request asks for. Throws InvalidParameterCombination when it mixes kinds. */
export function countAsked(request: UnitRequest): number {
  const kinds = kindsAsked(request);
  if (kinds.length > 1) throw invalidCombination(`You cannot specify ${kinds.join(" and ")} in one request`);
  return (
    (request.addresses?.length ?? 0) +
    (request.addressCount ?? 0) +
    (request.prefixes?.length ?? 0) +
    (request.prefixCount ?? 0)
  );
}

/** Finds what a request asks for, all of it or nothing; `taken` is spoken for by the same call. Changes nothing. */
export function resolveUnits(
  account: Account,
  subnet: Subnet,
  family: 4 | 6,
  request: UnitRequest,
  taken: readonly IpAddress[] = [],
): Units {
  const { addresses = [], addressCount = 0, prefixes = [], prefixCount = 0 } = request;
  countAsked(request);
  if (addresses.length > 0) {
    return { ...NONE, addresses: addresses.map((text) => parseAddress(subnet, family, text)) };
  }
  if (prefixes.length > 0) {
    return { ...NONE, prefixes: prefixes.map((text) => parsePrefix(subnet, family, text)) };
  }
  if (addressCount > 0) {
    const picked =
      family === 4
        ? pickIpv4(account, subnet, addressCount, taken)
        : pickIpv6(account, subnet, 128, addressCount).map(({ first }) => first);
    return { ...NONE, addresses: picked };
  }
  if (prefixCount > 0) {
    const picked =
      family === 4
        ? pickIpv4Prefixes(account, subnet, prefixCount, taken)
        : pickIpv6(account, subnet, 80, prefixCount);
    return { ...NONE, prefixes: picked };
  }
  return NONE;
}

/** Throws InvalidIPAddress.InUse when a unit is on an interface, or twice in one request. */
export function checkUnused(account: Account, subnet: Subnet, units: Units): void {
  const wanted = [...units.addresses.map((address) => address.toCidr()), ...units.prefixes];
  for (const [index, unit] of wanted.entries()) {
    const twice = wanted.some((other, at) => at < index && other.overlaps(unit));
    if (twice || holderOf(account, subnet, unit) !== undefined) {
      throw new Ec2Error("InvalidIPAddress.InUse", `Address ${unit.first} is in use.`);
    }
  }
}
