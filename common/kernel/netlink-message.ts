/** Netlink messages as the kernel sends them (linux/netlink.h): a header of 16 bytes in the machine's order, a body, and room up to 4 bytes. */
import { endianness } from "node:os";

export type NetlinkMessage = {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Of an event: through which port the change was asked for; 0 when the kernel does not say. */
  readonly port: number;
  readonly data: Buffer;
};

/** NETLINK_ROUTE and NETLINK_NETFILTER. */
export const [NETLINK_ROUTE, NETLINK_NETFILTER] = [0, 12];

/** struct nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32. */
export const NLMSG_HEADER_BYTES = 16;
export const [NLMSG_ERROR, NLMSG_DONE] = [2, 3];

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const isLittle = endianness() === "LE";
export const readHostU16 = (bytes: Buffer, at = 0): number =>
  isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
export const readHostU32 = (bytes: Buffer, at = 0): number =>
  isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
export const readHostS32 = (bytes: Buffer, at = 0): number => readHostU32(bytes, at) | 0;

/** Where the next message or attribute begins behind so many bytes. */
export const aligned = (bytes: number): number => (bytes + 3) & ~3;

/** The messages of one datagram, which share its bytes. Throws RangeError for bytes that are none. */
export function parseMessages(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = readHostU32(bytes, at);
    if (length < NLMSG_HEADER_BYTES || at + length > bytes.length)
      throw new RangeError(`a netlink message of ${length} bytes at ${at} of ${bytes.length}`);
    messages.push({
      type: readHostU16(bytes, at + 4),
      flags: readHostU16(bytes, at + 6),
      sequence: readHostU32(bytes, at + 8),
      port: readHostU32(bytes, at + 12),
      data: bytes.subarray(at + NLMSG_HEADER_BYTES, at + length),
    });
    at += aligned(length);
  }
  return messages;
}
