import type { InterfaceId } from "../../../../common/ids.ts";
import { parseMac } from "../../../../common/ids.ts";
import type { IpAddress } from "../../../../common/ip.ts";
import type { Account } from "./account.ts";
import { Ec2Error, invalidCombination, invalidValue } from "./ec2-error.ts";
import type { NetworkInterface, Subnet } from "./resources.ts";
import { parseAddress, pickIpv4 } from "./subnet-addresses.ts";
import { checkTags } from "./tags.ts";
import { checkUnused, resolveUnits, type UnitRequest } from "./unit-request.ts";

export type CreateInterfaceRequest = {
  readonly subnetId: string;
  readonly description?: string | undefined;
  readonly groupIds?: readonly string[];
  /** The primary address; any free one when absent. */
  readonly primaryIpv4?: string | undefined;
  /** Secondary addresses and prefixes. */
  readonly ipv4?: UnitRequest;
  readonly ipv6?: UnitRequest;
  readonly type?: string | undefined;
  readonly tags?: ReadonlyMap<string, string>;
  readonly clientToken?: string | undefined;
};

/** CreateNetworkInterface. A client token that was used before gives what it gave then, also after that interface was deleted. */
export function createInterface(account: Account, request: CreateInterfaceRequest): NetworkInterface {
  const { clientToken, ...asked } = request;
  const fingerprint = JSON.stringify({ ...asked, tags: [...(asked.tags ?? [])].sort() });
  const earlier = clientToken === undefined ? undefined : account.tokens.get(clientToken);
  if (earlier !== undefined) {
    if (earlier.request !== fingerprint) {
      throw new Ec2Error(
        "IdempotentParameterMismatch",
        "The request uses the same client token as a previous, but non-identical request.",
      );
    }
    return earlier.created;
  }
  const created = build(account, request);
  account.interfaces.set(created.id, created);
  if (clientToken !== undefined) {
    account.tokens.set(clientToken, { request: fingerprint, created });
  }
  account.changed();
  return created;
}

function build(account: Account, request: CreateInterfaceRequest): NetworkInterface {
  const subnet = account.getSubnet(request.subnetId);
  const groups = request.groupIds?.length ? request.groupIds : [account.groups[0]?.id ?? ""];
  const addresses = chooseAddresses(account, subnet, request);
  checkTags(request.tags ?? new Map());
  return {
    id: account.newId("eni") as InterfaceId,
    mac: newMac(account),
    subnet,
    type: parseType(request.type ?? "interface"),
    createTime: account.timers.now(),
    tags: new Map(request.tags),
    description: request.description ?? "",
    groups: groups.map((id) => account.getGroup(id)),
    sourceDestCheck: true,
    ...addresses,
  };
}

function chooseAddresses(account: Account, subnet: Subnet, request: CreateInterfaceRequest) {
  const { ipv4 = {}, ipv6 = {} } = request;
  const named: IpAddress[] = (ipv4.addresses ?? []).map((text) => parseAddress(subnet, 4, text));
  if (request.primaryIpv4 === undefined && named.length > 0) {
    throw invalidCombination("Secondary addresses were given and no primary one");
  }
  const primaryIpv4 =
    request.primaryIpv4 === undefined
      ? pickPrimary(account, subnet, ipv4)
      : parseAddress(subnet, 4, request.primaryIpv4);
  const four = resolveUnits(account, subnet, 4, ipv4, [primaryIpv4]);
  const six = resolveUnits(account, subnet, 6, ipv6);
  checkUnused(account, subnet, { addresses: [primaryIpv4, ...four.addresses], prefixes: four.prefixes });
  checkUnused(account, subnet, six);
  return {
    primaryIpv4,
    secondaryIpv4: four.addresses,
    ipv4Prefixes: four.prefixes,
    ipv6: six.addresses,
    ipv6Prefixes: six.prefixes,
  };
}

/** A primary address clear of the prefixes that the same request names. */
function pickPrimary(account: Account, subnet: Subnet, ipv4: UnitRequest): IpAddress {
  const prefixes = resolveUnits(account, subnet, 4, { prefixes: ipv4.prefixes ?? [] }).prefixes;
  const [primary] = pickIpv4(
    account,
    subnet,
    1,
    prefixes.flatMap((prefix) => [...prefix.addresses()]),
  );
  if (primary === undefined) throw new Error("pickIpv4() gave fewer than asked");
  return primary;
}

function parseType(text: string): NetworkInterface["type"] {
  if (text === "interface" || text === "efa" || text === "efa-only") return text;
  throw invalidValue(`Value (${text}) for parameter interfaceType is invalid.`);
}

/** Locally administered, as EC2's are. */
function newMac(account: Account) {
  const digits = `06${account.random.hex(10)}`;
  return parseMac((digits.match(/../g) ?? []).join(":"));
}
