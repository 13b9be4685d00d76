import { Cidr } from "../../common/ip.ts";
import type { UnitRequest } from "../provider.ts";

/** At each end of a subnet: what clouds keep for themselves (AWS: the first four and the last). */
const RESERVED_FIRST = 4n;
const RESERVED_LAST = 1n;

/** The lowest units of that size in the range that overlap neither each other, nor what is used, nor what is reserved. */
export function freeUnits(range: Cidr, used: readonly Cidr[], request: UnitRequest): Cidr[] {
  const taken = used.filter((one) => one.overlaps(range)).sort((a, b) => a.compare(b));
  const last = range.last.value - RESERVED_LAST;
  const free: Cidr[] = [];
  let next = Cidr.of(range.first.plus(RESERVED_FIRST), request.prefixLength);
  if (next.first.value < range.first.value + RESERVED_FIRST) next = after(next, request.prefixLength);
  while (free.length < request.count && next.last.value <= last) {
    const obstacle = taken.find((one) => one.overlaps(next));
    if (obstacle === undefined) free.push(next);
    // a block in the way may be longer than one step
    next = after(obstacle !== undefined && obstacle.size > next.size ? obstacle : next, request.prefixLength);
  }
  return free;
}

function after(unit: Cidr, prefixLength: number): Cidr {
  return Cidr.of(unit.last.plus(1), prefixLength);
}
