/**
 * Netlink messages as bytes: a fixed header, then attributes (type, length, value). Framing comes from the `netlink` package, of which
 * only this codec is used. Integers are in host order, but for netfilter's, which are in network order.
 */
import {
  AttrStream,
  parseAttributes,
  putU16be,
  putU32,
  putU32be,
  readS32,
  readU16,
  readU32,
} from "netlink/dist/structs.js";
import { type Family, IpAddress } from "../ip.ts";

export type Attributes = ReadonlyMap<number, Buffer>;
/** Adds attributes to a message. */
export type AttributeWriter = (out: AttrStream) => void;

/** linux/socket.h */
export const AF_INET = 2;
export const AF_INET6 = 10;

export const addressFamily = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);

/** Header and attributes in one piece. */
export function encodeBody(header: Uint8Array, write: AttributeWriter = () => undefined): Buffer {
  const out = new AttrStream();
  write(out);
  return Buffer.concat([header, ...out.bufs]);
}

/** The attributes behind a header of that many bytes, or of a nested attribute. */
export function decodeAttributes(bytes: Buffer, headerLength = 0): Attributes {
  const attributes = new Map<number, Buffer>();
  parseAttributes(bytes.subarray(headerLength), ({ type, data }) => attributes.set(type, data));
  return attributes;
}

export const u8 = (value: number): Buffer => Buffer.of(value);
export const u32 = (value: number): Buffer => putU32(value >>> 0);
export const u32be = (value: number): Buffer => putU32be(value >>> 0);
export const u16be = (value: number): Buffer => putU16be(value);
/** Text with the NUL that the kernel expects behind a name. */
export const text = (value: string): Buffer => Buffer.from(`${value}\0`);
export const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(":", ""), "hex");

export const readHostU16 = (bytes: Buffer, offset = 0): number => readU16.call(bytes, offset);
export const readHostU32 = (bytes: Buffer, offset = 0): number => readU32.call(bytes, offset);
export const readHostS32 = (bytes: Buffer, offset = 0): number => readS32.call(bytes, offset);

/** A number attribute, or undefined when it is absent. */
export function hostU32(attributes: Attributes, type: number): number | undefined {
  const bytes = attributes.get(type);
  return bytes === undefined ? undefined : readHostU32(bytes);
}

/** A text attribute without its NUL, or undefined when it is absent or empty. */
export function textOf(attributes: Attributes, type: number): string | undefined {
  const bytes = attributes.get(type);
  if (bytes === undefined) return undefined;
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end) || undefined;
}

export function addressOf(attributes: Attributes, type: number): IpAddress | undefined {
  const bytes = attributes.get(type);
  return bytes === undefined ? undefined : IpAddress.fromBytes(bytes);
}

/** Lower case with colons. */
export const formatMac = (bytes: Buffer): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
