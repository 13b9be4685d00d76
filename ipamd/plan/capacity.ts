/** What interfaces have and could have, counted in pods: one address of every family, all on one interface. Pure. */
import type { Cidr, Family } from "../../common/ip.ts";
import type { CloudInterface, UnitRequest } from "../../providers/provider.ts";
import type { PlanInput, Shelf, UnitFact } from "./facts.ts";

/** Addresses that could be given now, by family. */
export function freeOf({ units }: Pick<Shelf, "units">, family: Family): number {
  return sum(units.filter(({ unit }) => unit.family === family).map(({ free }) => free));
}

/** Pods that could be served now: on each uplink the family with the fewest free decides. */
export function freePods(
  shelves: readonly { readonly units: readonly UnitFact[] }[],
  families: readonly Family[],
): number {
  return sum(shelves.map((shelf) => Math.min(...families.map((family) => freeOf(shelf, family)))));
}

/** Pods that have addresses, or had them a moment ago: what the pool says, whoever they are. */
export function podsUsing(
  shelves: readonly Shelf[],
  families: readonly Family[],
  use: "leased" | "cooling",
): number {
  const counts = families.map((family) =>
    sum(
      shelves.flatMap(({ units }) =>
        units.filter(({ unit }) => unit.family === family).map((fact) => fact[use]),
      ),
    ),
  );
  return Math.max(...counts);
}

/** Units that an interface can still take. Those on their way back take their place until the cloud does not list them. */
export function roomOn(
  { capabilities }: Pick<PlanInput, "capabilities">,
  one: CloudInterface,
  shelf: Shelf | undefined,
  family: Family,
): number {
  const held = new Set(
    [...one.units, ...one.foreignUnits, ...(shelf?.units ?? []).map(({ unit }) => unit)]
      .filter((unit) => unit.family === family)
      .map(String),
  );
  const own = family === 6 ? one.own.filter((address) => address.family === 6).length : 0;
  return Math.max(0, capabilities.unitsPerInterface[family] - held.size - own);
}

/** Addresses in units, by family; saturates as counts of IPv6 do. */
export function addressesIn(units: readonly Cidr[], family: Family): number {
  return sum(units.filter((unit) => unit.family === family).map(({ size }) => saturated(size)));
}

/** Pods that such units will serve. */
export function podsOf(requests: readonly UnitRequest[], families: readonly Family[]): number {
  const bits = { 4: 32, 6: 128 } as const;
  const counts = families.map((family) =>
    sum(
      requests
        .filter((request) => request.family === family)
        .map(({ count, prefixLength }) => count * saturated(1n << BigInt(bits[family] - prefixLength))),
    ),
  );
  return Math.min(...counts);
}

/** The prefix length of blocks, where the cloud has them on this instance. */
export function blockLengthOf({ capabilities }: PlanInput, family: Family): number | undefined {
  const single = family === 4 ? 32 : 128;
  return capabilities.unitLengths[family].find((length) => length < single);
}

/** Addresses in a block of IPv4. */
export function blockSize(prefixLength: number): number {
  return 2 ** (32 - prefixLength);
}

const MANY = Number.MAX_SAFE_INTEGER;

function saturated(size: bigint): number {
  return size > BigInt(MANY) ? MANY : Number(size);
}

function sum(numbers: readonly number[]): number {
  return Math.min(
    MANY,
    numbers.reduce((total, number) => total + number, 0),
  );
}
