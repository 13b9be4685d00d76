/** Addresses and neighbour entries over rtnetlink (linux/if_addr.h, linux/neighbour.h). */
import { type Family, IpAddress } from "../ip.ts";
import type { Addresses, LinkAddress, Neighbour, Neighbours } from "./addresses.ts";
import { ignoring } from "./errors.ts";
import { Attributes, addressFamily, formatMac, macBytes } from "./netlink-codec.ts";
import { NLM_F_CREATE, NLM_F_REPLACE, readHostS32, readHostU16, readHostU32 } from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import type { MessageWriter } from "./netlink-writer.ts";

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
      flags: NLM_F_CREATE | NLM_F_REPLACE,
      write: (out) => writeAddress(out, address),
      doing: () => `add ${describe(address)}`,
    });
  }

  remove(address: LinkAddress): void {
    const write = (out: MessageWriter) => writeAddress(out, address);
    const doing = () => `remove ${describe(address)}`;
    ignoring(["EADDRNOTAVAIL", "ENODEV"], () => this.socket.ask({ type: RTM_DELADDR, write, doing }));
  }

  list(linkIndex = 0): LinkAddress[] {
    return ([4, 6] as const).flatMap((family) => {
      const write = (out: MessageWriter) => {
        out.four(addressFamily(family), 0, 0, 0);
        out.word(linkIndex);
      };
      const request = { type: RTM_GETADDR, write, doing: () => "list addresses" };
      const messages = ignoring(["ENODEV"], () => this.socket.dump(request)) ?? [];
      return messages.map(({ data }) => decodeAddress(data));
    });
  }
}

/** An address out of a RTM_NEWADDR or RTM_DELADDR message. */
export function decodeAddress(data: Buffer): LinkAddress {
  const attributes = new Attributes(data, IFADDRMSG_BYTES);
  // with a point-to-point peer IFA_ADDRESS is the peer's; IPv6 without one has no IFA_LOCAL
  const address = attributes.address(IFA_LOCAL) ?? attributes.address(IFA_ADDRESS);
  const flags = attributes.u32(IFA_FLAGS) ?? data.readUInt8(2);
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
function writeAddress(out: MessageWriter, address: LinkAddress): void {
  const { linkIndex, prefixLength, scope = 0 } = address;
  const flags = (address.noDad ? IFA_F_NODAD : 0) | (address.noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0);
  const bytes = address.address.toBytes();
  out.four(addressFamily(address.address.family), prefixLength, 0, scope);
  out.word(linkIndex);
  out.value(IFA_LOCAL, bytes);
  out.value(IFA_ADDRESS, bytes);
  out.u32(IFA_FLAGS, flags | IFA_F_PERMANENT);
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
    this.socket.ask({
      type: RTM_NEWNEIGH,
      flags: NLM_F_CREATE | NLM_F_REPLACE,
      write: (out) => {
        writeNeighbour(out, linkIndex, address);
        out.value(NDA_LLADDR, macBytes(mac));
      },
      doing: () => `set neighbour ${address} of link ${linkIndex}`,
    });
  }

  remove({ linkIndex, address }: Pick<Neighbour, "linkIndex" | "address">): void {
    const write = (out: MessageWriter) => writeNeighbour(out, linkIndex, address);
    const doing = () => `remove neighbour ${address} of link ${linkIndex}`;
    ignoring(["ENOENT", "ENODEV"], () => this.socket.ask({ type: RTM_DELNEIGH, write, doing }));
  }

  list(linkIndex: number): Neighbour[] {
    return ([4, 6] as const).flatMap((family) => {
      const write = (out: MessageWriter) => {
        writeNeighbourHeader(out, family, 0, 0);
        out.u32(NDA_IFINDEX, linkIndex);
      };
      const doing = () => `list neighbours of link ${linkIndex}`;
      const messages =
        ignoring(["ENODEV"], () => this.socket.dump({ type: RTM_GETNEIGH, write, doing })) ?? [];
      return messages.flatMap(({ data }) => decodePermanent(data));
    });
  }
}

/** struct ndmsg: family u8, 3 bytes pad, link index s32, state u16, flags u8, type u8. */
function writeNeighbourHeader(out: MessageWriter, family: Family, linkIndex: number, state: number): void {
  out.four(addressFamily(family), 0, 0, 0);
  out.word(linkIndex);
  out.halves(state, 0);
}

function writeNeighbour(out: MessageWriter, linkIndex: number, address: IpAddress): void {
  writeNeighbourHeader(out, address.family, linkIndex, NUD_PERMANENT);
  out.value(NDA_DST, address.toBytes());
}

/** Which entry a RTM_DELNEIGH message is about. An entry that goes has lost its state and hardware address first. */
export function decodeGoneNeighbour(data: Buffer): Pick<Neighbour, "linkIndex" | "address"> | undefined {
  const address = new Attributes(data, NDMSG_BYTES).address(NDA_DST);
  return address && { linkIndex: readHostU32(data, 4), address };
}

function decodePermanent(data: Buffer): Neighbour[] {
  if ((readHostU16(data, 8) & NUD_PERMANENT) === 0) return [];
  const attributes = new Attributes(data, NDMSG_BYTES);
  const address = attributes.address(NDA_DST);
  const mac = attributes.get(NDA_LLADDR);
  if (address === undefined || mac === undefined) return [];
  return [{ linkIndex: readHostU32(data, 4), address, mac: formatMac(mac) }];
}
