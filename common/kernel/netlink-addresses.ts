/** Addresses and neighbour entries over rtnetlink (linux/if_addr.h, linux/neighbour.h). */
import { FlagsNew } from "netlink/dist/constants.js";
import { IpAddress } from "../ip.ts";
import type { Addresses, LinkAddress, Neighbour, Neighbours } from "./addresses.ts";
import { ignoring } from "./errors.ts";
import {
  addressFamily,
  addressOf,
  decodeAttributes,
  encodeBody,
  formatMac,
  hostU32,
  macBytes,
  readHostS32,
  readHostU16,
  readHostU32,
  u8,
  u32,
} from "./netlink-codec.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFADDRMSG_BYTES = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const NDMSG_BYTES = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NUD_PERMANENT = 0x80;

/** Addresses of the namespace that the socket belongs to. */
export class NetlinkAddresses implements Addresses {
  private readonly socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.socket = socket;
  }

  add(address: LinkAddress): void {
    this.socket.ask({
      type: RTM_NEWADDR,
      flags: FlagsNew.CREATE | FlagsNew.REPLACE,
      body: encodeAddress(address),
      doing: `add ${describe(address)}`,
    });
  }

  remove(address: LinkAddress): void {
    const request = { type: RTM_DELADDR, body: encodeAddress(address), doing: `remove ${describe(address)}` };
    ignoring(["EADDRNOTAVAIL", "ENODEV"], () => this.socket.ask(request));
  }

  list(linkIndex = 0): LinkAddress[] {
    return ([4, 6] as const).flatMap((family) => {
      const header = Buffer.concat([Buffer.of(addressFamily(family), 0, 0, 0), u32(linkIndex)]);
      const request = { type: RTM_GETADDR, body: header, doing: "list addresses" };
      const messages = ignoring(["ENODEV"], () => this.socket.dump(request)) ?? [];
      return messages.map(({ data }) => decodeAddress(data));
    });
  }
}

/** An address out of a RTM_NEWADDR or RTM_DELADDR message. */
export function decodeAddress(data: Buffer): LinkAddress {
  const attributes = decodeAttributes(data, IFADDRMSG_BYTES);
  // with a point-to-point peer IFA_ADDRESS is the peer's; IPv6 without one has no IFA_LOCAL
  const address = addressOf(attributes, IFA_LOCAL) ?? addressOf(attributes, IFA_ADDRESS);
  const flags = hostU32(attributes, IFA_FLAGS) ?? data.readUInt8(2);
  return {
    linkIndex: readHostS32(data, 4),
    address: address ?? IpAddress.fromValue(4, 0n),
    prefixLength: data.readUInt8(1),
    scope: data.readUInt8(3),
    ...((flags & IFA_F_NODAD) !== 0 && { noDad: true }),
    ...((flags & IFA_F_NOPREFIXROUTE) !== 0 && { noPrefixRoute: true }),
    ...((flags & IFA_F_TENTATIVE) !== 0 && { tentative: true }),
    ...((flags & IFA_F_PERMANENT) !== 0 && { permanent: true }),
  };
}

/** struct ifaddrmsg: family, prefix length, flags, scope: u8 each; link index u32. */
function encodeAddress(address: LinkAddress): Buffer {
  const { linkIndex, prefixLength, scope = 0 } = address;
  const flags = (address.noDad ? IFA_F_NODAD : 0) | (address.noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0);
  const header = [Buffer.of(addressFamily(address.address.family), prefixLength, 0, scope), u32(linkIndex)];
  const bytes = address.address.toBytes();
  return encodeBody(Buffer.concat(header), (out) => {
    out.push(IFA_LOCAL, bytes);
    out.push(IFA_ADDRESS, bytes);
    out.push(IFA_FLAGS, u32(flags | IFA_F_PERMANENT));
  });
}

function describe({ address, prefixLength, linkIndex }: LinkAddress): string {
  return `address ${address}/${prefixLength} of link ${linkIndex}`;
}

/** Neighbour entries of the namespace that the socket belongs to. */
export class NetlinkNeighbours implements Neighbours {
  private readonly socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.socket = socket;
  }

  set({ linkIndex, address, mac }: Neighbour): void {
    const body = encodeBody(neighbourHeader(linkIndex, address), (out) => {
      out.push(NDA_DST, address.toBytes());
      out.push(NDA_LLADDR, macBytes(mac));
    });
    const flags = FlagsNew.CREATE | FlagsNew.REPLACE;
    this.socket.ask({
      type: RTM_NEWNEIGH,
      flags,
      body,
      doing: `set neighbour ${address} of link ${linkIndex}`,
    });
  }

  remove({ linkIndex, address }: Pick<Neighbour, "linkIndex" | "address">): void {
    const body = encodeBody(neighbourHeader(linkIndex, address), (out) =>
      out.push(NDA_DST, address.toBytes()),
    );
    const doing = `remove neighbour ${address} of link ${linkIndex}`;
    ignoring(["ENOENT", "ENODEV"], () => this.socket.ask({ type: RTM_DELNEIGH, body, doing }));
  }

  list(linkIndex: number): Neighbour[] {
    return ([4, 6] as const).flatMap((family) => {
      const header = Buffer.concat([u8(addressFamily(family)), Buffer.alloc(NDMSG_BYTES - 1)]);
      const body = encodeBody(header, (out) => out.push(NDA_IFINDEX, u32(linkIndex)));
      const doing = `list neighbours of link ${linkIndex}`;
      const messages =
        ignoring(["ENODEV"], () => this.socket.dump({ type: RTM_GETNEIGH, body, doing })) ?? [];
      return messages.flatMap(({ data }) => decodePermanent(data));
    });
  }
}

/** struct ndmsg: family u8, 3 bytes pad, link index s32, state u16, flags u8, type u8. */
function neighbourHeader(linkIndex: number, address: IpAddress): Buffer {
  return Buffer.concat([
    Buffer.of(addressFamily(address.family), 0, 0, 0),
    u32(linkIndex),
    Buffer.from(Uint16Array.of(NUD_PERMANENT, 0).buffer),
  ]);
}

/** Which entry a RTM_DELNEIGH message is about. An entry that goes has lost its state and hardware address first. */
export function decodeGoneNeighbour(data: Buffer): Pick<Neighbour, "linkIndex" | "address"> | undefined {
  const address = addressOf(decodeAttributes(data, NDMSG_BYTES), NDA_DST);
  return address && { linkIndex: readHostU32(data, 4), address };
}

function decodePermanent(data: Buffer): Neighbour[] {
  if ((readHostU16(data, 8) & NUD_PERMANENT) === 0) return [];
  const attributes = decodeAttributes(data, NDMSG_BYTES);
  const address = addressOf(attributes, NDA_DST);
  const mac = attributes.get(NDA_LLADDR);
  if (address === undefined || mac === undefined) return [];
  return [{ linkIndex: readHostU32(data, 4), address, mac: formatMac(mac) }];
}
