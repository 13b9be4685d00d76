/** What netlink messages carry behind their headers: attributes (length u16, type u16, value), read where they are. */
import { type Family, IpAddress } from "../ip.ts";
import { aligned, readHostU16, readHostU32 } from "./netlink-message.ts";

/** linux/socket.h */
export const AF_INET = 2;
export const AF_INET6 = 10;

export const addressFamily = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);

const HEADER_BYTES = 4;
/** Without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const TYPE_MASK = 0x3fff;

/** The attributes behind a header, or of a nested attribute; of two of one type the last counts. Values share the message's bytes. */
export class Attributes {
  private readonly bytes: Buffer;
  private readonly places = new Map<number, number>();

  /** Throws RangeError for bytes that are none. */
  constructor(bytes: Buffer, headerBytes = 0) {
    this.bytes = bytes;
    eachAttribute(bytes, headerBytes, (type, at) => this.places.set(type, at));
  }

  has(type: number): boolean {
    return this.places.has(type);
  }

  get(type: number): Buffer | undefined {
    const at = this.places.get(type);
    return at === undefined ? undefined : valueAt(this.bytes, at);
  }

  /** A number in the machine's order. */
  u32(type: number): number | undefined {
    const at = this.places.get(type);
    return at === undefined ? undefined : readHostU32(this.bytes, at + HEADER_BYTES);
  }

  /** Without its NUL; undefined also when it is empty. */
  text(type: number): string | undefined {
    const at = this.places.get(type);
    if (at === undefined) return undefined;
    const end = at + readHostU16(this.bytes, at);
    const nul = this.bytes.indexOf(0, at + HEADER_BYTES);
    return this.bytes.toString("utf8", at + HEADER_BYTES, nul < 0 || nul > end ? end : nul) || undefined;
  }

  address(type: number): IpAddress | undefined {
    const value = this.get(type);
    return value && IpAddress.fromBytes(value);
  }

  /** The attributes within one. */
  nested(type: number): Attributes | undefined {
    const value = this.get(type);
    return value && new Attributes(value);
  }

  values(): Buffer[] {
    return [...this.places.values()].map((at) => valueAt(this.bytes, at));
  }
}

/** Values of a list, whose attributes are all of one type. */
export function listItems(list: Buffer): Attributes[] {
  const items: Attributes[] = [];
  eachAttribute(list, 0, (_type, at) => items.push(new Attributes(valueAt(list, at))));
  return items;
}

function eachAttribute(bytes: Buffer, from: number, visit: (type: number, at: number) => void): void {
  for (let at = from; at < bytes.length; ) {
    const length = readHostU16(bytes, at);
    if (length < HEADER_BYTES || at + length > bytes.length)
      throw new RangeError(`an attribute of ${length} bytes at ${at} of ${bytes.length}`);
    visit(readHostU16(bytes, at + 2) & TYPE_MASK, at);
    at += aligned(length);
  }
}

function valueAt(bytes: Buffer, at: number): Buffer {
  return bytes.subarray(at + HEADER_BYTES, at + readHostU16(bytes, at));
}

export const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(":", ""), "hex");

/** Lower case with colons. */
export const formatMac = (bytes: Buffer): string => bytes.toString("hex").replace(/(..)(?=.)/g, "$1:");
