/**
 * Elements of our sets as nfnetlink attributes (linux/netfilter/nf_tables.h). A unit is a range: its first address as one element, and the
 * address behind its last one as another with the flag INTERVAL_END, unless the range reaches the end of all addresses.
 */
import { coveringCidrs, type Family, IpAddress } from "../ip.ts";
import type { Attributes } from "./netlink-codec.ts";
import type { MessageWriter } from "./netlink-writer.ts";
import type { NftElement } from "./nft.ts";

const ELEM_KEY = 1;
const ELEM_DATA = 2;
const ELEM_FLAGS = 3;
const INTERVAL_END = 1;
const DATA_VALUE = 1;
const DATA_VERDICT = 2;
const VERDICT_CODE = 1;
const VERDICT_CHAIN = 2;
const NFT_GOTO = -4;
const LIST_ELEM = 1;
const IFNAME_BYTES = 16;

type Genuine = Extract<NftElement, { set: "genuine" }>;
type Unit = Extract<NftElement, { set: "uplink" }>;

/** The kernel sets that hold an element: a unit is in a map and in a set. */
export function setNames(element: NftElement): readonly string[] {
  if (element.set === "genuine") return [`genuine${element.address.family}`];
  return [`uplink${element.unit.family}`, `units${element.unit.family}`];
}

/** Writes an element into the list of one of its sets; with its verdict when it is added to a map. */
export function writeElement(out: MessageWriter, element: NftElement, withVerdict: boolean): void {
  if (element.set === "genuine") writeGenuine(out, element);
  else writeUnit(out, element, withVerdict);
}

/** The pairs of a genuine set out of its elements. */
export function decodeGenuine(elements: readonly Attributes[]): Genuine[] {
  return elements.map((element) => {
    const key = keyOf(element);
    const name = key.subarray(0, IFNAME_BYTES);
    return {
      set: "genuine",
      link: name.toString("utf8", 0, name.indexOf(0)),
      address: IpAddress.fromBytes(key.subarray(IFNAME_BYTES)),
    };
  });
}

/** The units of an uplink map out of its elements, in order of address; a range that is no prefix comes as several. */
export function decodeUnits(elements: readonly Attributes[]): Unit[] {
  const bounds = elements.map((element) => ({
    address: IpAddress.fromBytes(keyOf(element)),
    isEnd: ((element.get(ELEM_FLAGS)?.readUInt32BE() ?? 0) & INTERVAL_END) !== 0,
    slot: slotOf(element),
  }));
  // where one range ends and the next begins at one address, the end comes first
  bounds.sort((a, b) => a.address.compare(b.address) || Number(b.isEnd) - Number(a.isEnd));
  return bounds.flatMap(({ address, isEnd, slot }, index) => {
    if (isEnd) return [];
    const next = bounds[index + 1];
    const last = next === undefined ? lastAddress(address.family) : next.address.plus(-1);
    return coveringCidrs(address, last).map((unit) => ({ set: "uplink" as const, unit, slot }));
  });
}

function genuineKey({ link, address }: Genuine): Buffer {
  const name = Buffer.alloc(IFNAME_BYTES);
  name.write(link);
  return Buffer.concat([name, address.toBytes()]);
}

function writeKey(out: MessageWriter, key: Buffer): void {
  const data = out.open(ELEM_KEY);
  out.value(DATA_VALUE, key);
  out.close(data);
}

function writeGenuine(out: MessageWriter, element: Genuine): void {
  const item = out.open(LIST_ELEM);
  writeKey(out, genuineKey(element));
  out.close(item);
}

function writeUnit(out: MessageWriter, { unit, slot }: Unit, withVerdict: boolean): void {
  const first = out.open(LIST_ELEM);
  writeKey(out, unit.first.toBytes());
  if (withVerdict) writeGoto(out, slot);
  out.close(first);
  if (unit.last.equals(lastAddress(unit.family))) return;
  const behind = out.open(LIST_ELEM);
  writeKey(out, unit.last.plus(1).toBytes());
  out.u32be(ELEM_FLAGS, INTERVAL_END);
  out.close(behind);
}

function writeGoto(out: MessageWriter, slot: number): void {
  const data = out.open(ELEM_DATA);
  const verdict = out.open(DATA_VERDICT);
  out.u32be(VERDICT_CODE, NFT_GOTO);
  out.text(VERDICT_CHAIN, `use-${slot}`);
  out.close(verdict);
  out.close(data);
}

function keyOf(element: Attributes): Buffer {
  return element.nested(ELEM_KEY)?.get(DATA_VALUE) ?? Buffer.alloc(4);
}

/** 0 for an element without a verdict that is ours. */
function slotOf(element: Attributes): number {
  const chain = element.nested(ELEM_DATA)?.nested(DATA_VERDICT)?.text(VERDICT_CHAIN);
  return Number(/^use-(\d+)$/.exec(chain ?? "")?.[1] ?? 0);
}

function lastAddress(family: Family): IpAddress {
  return IpAddress.fromValue(family, (1n << (family === 4 ? 32n : 128n)) - 1n);
}
