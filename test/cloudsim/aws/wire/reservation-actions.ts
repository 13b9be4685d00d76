import { missingParameter } from "../model/ec2-error.ts";
import { releaseRange, reserveRange } from "../model/reserve.ts";
import { ANY_RESOURCE, onExisting } from "./access.ts";
import type { Action } from "./action.ts";
import { readFilters } from "./filters.ts";
import { subnetReservationXml } from "./render.ts";
import { readTags } from "./tag-actions.ts";

const createSubnetCidrReservation: Action = (params, { account }) => {
  const request = {
    subnetId: params.required("SubnetId"),
    cidr: params.required("Cidr"),
    type: params.required("ReservationType"),
    description: params.text("Description"),
    tags: new Map(
      params.records("TagSpecification").flatMap((one) => {
        one.required("ResourceType");
        return [...readTags(one.records("Tag"))];
      }),
    ),
  };
  return {
    access: [onExisting(account, "CreateSubnetCidrReservation", [request.subnetId])],
    run: () => {
      const created = reserveRange(account, request);
      const subnet = account.getSubnet(request.subnetId);
      return { subnetCidrReservation: subnetReservationXml(account, subnet, created) };
    },
  };
};

const deleteSubnetCidrReservation: Action = (params, { account }) => {
  const id = params.required("SubnetCidrReservationId");
  return {
    access: [{ action: "ec2:DeleteSubnetCidrReservation", resources: [ANY_RESOURCE] }],
    run: () => {
      const { subnet, reservation } = releaseRange(account, id);
      return { deletedSubnetCidrReservation: subnetReservationXml(account, subnet, reservation) };
    },
  };
};

const getSubnetCidrReservations: Action = (params, { account }) => {
  const subnetId = params.text("SubnetId");
  if (subnetId === undefined) throw missingParameter("SubnetId");
  const passes = readFilters<{ readonly type: string }>(params, { reservationType: ({ type }) => [type] });
  return {
    access: [{ action: "ec2:GetSubnetCidrReservations", resources: [ANY_RESOURCE] }],
    run: () => {
      const subnet = account.getSubnet(subnetId);
      const of = (family: 4 | 6) =>
        subnet.reservations
          .filter((one) => one.cidr.family === family && passes(one))
          .map((one) => subnetReservationXml(account, subnet, one));
      return { subnetIpv4CidrReservationSet: of(4), subnetIpv6CidrReservationSet: of(6) };
    },
  };
};

export const RESERVATION_ACTIONS: Readonly<Record<string, Action>> = {
  CreateSubnetCidrReservation: createSubnetCidrReservation,
  DeleteSubnetCidrReservation: deleteSubnetCidrReservation,
  GetSubnetCidrReservations: getSubnetCidrReservations,
};
