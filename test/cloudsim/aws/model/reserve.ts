import { Cidr } from "../../../../common/ip.ts";
import type { Account } from "./account.ts";
import { Ec2Error, invalidValue } from "./ec2-error.ts";
import type { Subnet, SubnetReservation } from "./resources.ts";
import { checkTags } from "./tags.ts";

export type ReservationRequest = {
  readonly subnetId: string;
  readonly cidr: string;
  readonly type: string;
  readonly description?: string | undefined;
  readonly tags?: ReadonlyMap<string, string>;
};

/** CreateSubnetCidrReservation: what is in use in the range stays so. Throws when it leaves the subnet or overlaps another reservation. */
export function reserveRange(account: Account, request: ReservationRequest): SubnetReservation {
  const subnet = account.getSubnet(request.subnetId);
  const { type } = request;
  if (type !== "prefix" && type !== "explicit") {
    throw invalidValue(`Value (${type}) for parameter reservationType is invalid.`);
  }
  checkTags(request.tags ?? new Map());
  const created: SubnetReservation = {
    id: account.newId("scr"),
    cidr: parseRange(subnet, request.cidr),
    type,
    description: request.description ?? "",
    tags: new Map(request.tags),
  };
  subnet.reservations = [...subnet.reservations, created];
  account.changed();
  return created;
}

function parseRange(subnet: Subnet, text: string): Cidr {
  const cidr = readCidr(text);
  if (!(cidr.family === 4 ? subnet.ipv4 : subnet.ipv6).contains(cidr)) {
    throw invalidValue(`The CIDR '${text}' is not within the range of subnet ${subnet.id}`);
  }
  if (subnet.reservations.some((other) => other.cidr.overlaps(cidr))) {
    throw invalidValue(`The CIDR '${text}' conflicts with another reservation`);
  }
  return cidr;
}

function readCidr(text: string): Cidr {
  try {
    return Cidr.parse(text);
  } catch {
    throw invalidValue(`Value (${text}) for parameter cidr is invalid.`);
  }
}

/** DeleteSubnetCidrReservation: what is assigned in the range stays so. Gives what was there. */
export function releaseRange(
  account: Account,
  id: string,
): { readonly subnet: Subnet; readonly reservation: SubnetReservation } {
  for (const subnet of account.subnets) {
    const reservation = subnet.reservations.find((one) => one.id === id);
    if (reservation === undefined) continue;
    subnet.reservations = subnet.reservations.filter((one) => one !== reservation);
    account.changed();
    return { subnet, reservation };
  }
  throw new Ec2Error(
    "InvalidSubnetCidrReservationId.NotFound",
    `The subnet CIDR reservation ID '${id}' does not exist`,
  );
}
