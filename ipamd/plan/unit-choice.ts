/**
 * Which units to ask for when so many addresses are short: single ones, blocks, or some of each. A call of the cloud gives any number of one kind, so
 * fewer kinds are fewer calls; a block is given back only as a whole, so what it has too much stays for long.
 */
import type { Family } from "../../common/ip.ts";
import type { UnitRequest } from "../../providers/provider.ts";
import { blockSize } from "./capacity.ts";

export type Want = {
  readonly family: Family;
  /** Addresses that are short. */
  readonly short: number;
  /** Units that the interface can still take. */
  readonly room: number;
  /** The kinds that may be asked for: `block` where a subnet has them and the instance can. */
  readonly kinds: "single" | "block" | "both";
  /** The prefix length of a block; needed unless singles alone may be asked for. */
  readonly blockLength: number | undefined;
  /** Addresses that blocks may bring beyond what is short. */
  readonly waste: number;
};

export type Choice = { readonly requests: readonly UnitRequest[]; readonly gained: number };

const BITS: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };
const NOTHING: Choice = { requests: [], gained: 0 };

export function chooseUnits(want: Want): Choice {
  const { family, kinds, blockLength } = want;
  if (want.short <= 0 || want.room <= 0) return NOTHING;
  if (kinds === "single" || blockLength === undefined) return singles(want, want.short);
  // one block of IPv6 is more than a node can use, and costs nobody an address
  if (family === 6) return blocks(want, 1, blockLength);
  const whole = Math.ceil(want.short / blockSize(blockLength));
  if (kinds === "block") return blocks(want, whole, blockLength);
  const alone = singles(want, want.short);
  if (alone.gained >= want.short) return alone;
  const mixed = mixture(want, blockLength);
  if (mixed.gained >= want.short) return mixed;
  // not even so: another interface would cost more calls than a block wastes addresses
  return blocks(want, whole, blockLength);
}

/** As many whole blocks as waste no more than allowed, and single addresses for the rest. */
function mixture(want: Want, blockLength: number): Choice {
  const count = Math.floor((want.short + want.waste) / blockSize(blockLength));
  const some = blocks(want, count, blockLength);
  const rest = want.short - some.gained;
  const others = singles({ ...want, room: want.room - count }, rest);
  return { requests: [...some.requests, ...others.requests], gained: some.gained + others.gained };
}

function singles({ family, room }: Pick<Want, "family" | "room">, wanted: number): Choice {
  const count = Math.max(0, Math.min(wanted, room));
  if (count === 0) return NOTHING;
  return { requests: [{ family, prefixLength: BITS[family], count }], gained: count };
}

function blocks({ family, room }: Want, wanted: number, prefixLength: number): Choice {
  const count = Math.max(0, Math.min(wanted, room));
  if (count === 0) return NOTHING;
  const gained = family === 6 ? Number.MAX_SAFE_INTEGER : count * blockSize(prefixLength);
  return { requests: [{ family, prefixLength, count }], gained };
}
