import type { CloudInterface, Subnet } from "../provider.ts";
import { gatewaysOf } from "./network-facts.ts";
import { foreignUnitsOf, type NodeOwner, ownershipOf, poolKeyOf } from "./ownership.ts";
import type { Ec2Interface } from "./schema.ts";

/** An interface in the seam's terms. Pure. */
export function toCloudInterface(one: Ec2Interface, subnet: Subnet, owner: NodeOwner): CloudInterface {
  const ownership = ownershipOf(one, owner);
  const foreignUnits = foreignUnitsOf(one, ownership);
  return {
    id: one.id,
    mac: one.mac,
    subnet,
    isPrimary: one.mac === owner.identity.primaryMac,
    ownership,
    state: one.attachment?.state ?? "detached",
    ...(one.attachment === undefined ? {} : { deviceIndex: one.attachment.deviceIndex }),
    cardIndex: one.attachment?.cardIndex ?? 0,
    own: one.own,
    units: one.units.filter((unit) => !foreignUnits.some((foreign) => foreign.equals(unit))),
    foreignUnits,
    gateways: gatewaysOf(subnet),
    poolKey: poolKeyOf(one),
  };
}
