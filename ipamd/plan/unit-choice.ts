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
  /** The interface has room for fewer single addresses than a block has, and no block yet: single ones first would leave no room for what comes. */
  readonly isCramped: boolean;
};

export type Choice = { readonly requests: readonly UnitRequest[]; readonly gained: number };

const BITS: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };
/** Fewer than these may well be all that a small node ever has. */
const CRAMPED_MIN = 4;
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
  if (want.isCramped && want.short >= CRAMPED_MIN) return withOneBlock(want, blockLength);
  if (alone.gained >= want.short) return alone;
  const mixed = mixture(want, blockLength);
  if (mixed.gained >= want.short) return mixed;
  return mixed.gained >= alone.gained ? mixed : alone;
}

/** One block, and single addresses for the rest while they fit. */
function withOneBlock(want: Want, blockLength: number): Choice {
  const left = { ...want, isCramped: false, room: want.room - 1, short: want.short - blockSize(blockLength) };
  const one = blocks(want, 1, blockLength);
  const others = chooseUnits(left);
  return { requests: merged([...one.requests, ...others.requests]), gained: one.gained + others.gained };
}

/** Of each size one request. */
function merged(requests: readonly UnitRequest[]): UnitRequest[] {
  const bySize = Map.groupBy(requests, ({ prefixLength }) => prefixLength);
  return [...bySize.values()].flatMap(([first, ...more]) =>
    first === undefined
      ? []
      : [{ ...first, count: more.reduce((sum, { count }) => sum + count, first.count) }],
  );
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
