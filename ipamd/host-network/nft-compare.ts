/** Our nft table as nft lists it, in a form in which equal tables are equal text. Pure. */
import { Cidr, coveringCidrs, IpAddress } from "../../common/ip.ts";

/** A listing taken apart: `structure` is everything but elements; elements by set, in one canonical text each. */
export type TableForm = { readonly structure: string; readonly elements: ReadonlyMap<string, string> };

/** Of a document of `nft -j list table`. Anything unknown counts as structure. */
export function tableForm(listing: unknown): TableForm {
  const elements = new Map<string, string>();
  const structure: string[] = [];
  for (const item of (listing as Listing).nftables) {
    if (item.metainfo !== undefined) continue;
    const set = item.set ?? item.map;
    if (set !== undefined) elements.set(set.name, canonicalElements(set.elem ?? []));
    structure.push(JSON.stringify(item, withoutState));
  }
  return { structure: structure.join("\n"), elements };
}

/** The elements of one interval set of CIDRs, as text; empty when there is no such set. */
export function setElements(listing: unknown, setName: string): string[] {
  const sets = (listing as Listing).nftables.map((item) => item.set).filter((set) => set?.name === setName);
  return sets
    .flatMap((set) => set?.elem ?? [])
    .flatMap((element) => {
      const range = rangeOf(element);
      return range === undefined ? [] : coveringCidrs(range.first, range.last).map(String);
    });
}

type Listing = {
  readonly nftables: readonly {
    readonly metainfo?: unknown;
    readonly set?: NamedSet;
    readonly map?: NamedSet;
  }[];
};
type NamedSet = { readonly name: string; readonly elem?: readonly unknown[] };

/** Handles and counts differ between equal tables; elements of sets are compared apart. */
function withoutState(key: string, value: unknown): unknown {
  return ["handle", "packets", "bytes", "elem"].includes(key) ? undefined : value;
}

/** Sorted; what is next to each other and has the same value is one range, however it was written. */
function canonicalElements(elements: readonly unknown[]): string {
  const ranges: Range[] = [];
  const others: string[] = [];
  for (const element of elements) {
    const range = rangeOf(element);
    if (range === undefined) others.push(JSON.stringify(element));
    else ranges.push(range);
  }
  return [...joinRanges(ranges), ...others.sort()].join(", ");
}

type Range = { readonly first: IpAddress; readonly last: IpAddress; readonly value: string };

/** An address, `{prefix}`, `{range}`, or a pair of one of these and a value; undefined for anything else. */
function rangeOf(element: unknown): Range | undefined {
  if (Array.isArray(element)) {
    const range = rangeOf(element[0]);
    return range && { ...range, value: JSON.stringify(element[1]) };
  }
  if (typeof element === "string") {
    const address = IpAddress.tryParse(element);
    return address && { first: address, last: address, value: "" };
  }
  const { prefix, range } = element as {
    prefix?: { addr: string; len: number };
    range?: [string, string];
  };
  if (prefix !== undefined) {
    const cidr = Cidr.of(IpAddress.parse(prefix.addr), prefix.len);
    return { first: cidr.first, last: cidr.last, value: "" };
  }
  if (range === undefined) return undefined;
  return { first: IpAddress.parse(range[0]), last: IpAddress.parse(range[1]), value: "" };
}

function joinRanges(ranges: readonly Range[]): string[] {
  const joined: Range[] = [];
  for (const range of [...ranges].sort((a, b) => a.first.compare(b.first))) {
    const previous = joined.at(-1);
    const touches = previous?.value === range.value && previous.last.value + 1n === range.first.value;
    if (touches) joined.splice(-1, 1, { ...previous, last: range.last });
    else joined.push(range);
  }
  return joined.map(({ first, last, value }) => `${first}-${last}${value}`);
}
