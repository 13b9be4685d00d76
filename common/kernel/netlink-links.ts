/** Links over rtnetlink (linux/if_link.h). */
import { FlagsNew } from "netlink/dist/constants.js";
import type { AttrStream } from "netlink/dist/structs.js";
import type { MacAddress } from "../ids.ts";
import { ignoring, KernelError } from "./errors.ts";
import type { Link, LinkChange, Links, VethPair } from "./links.ts";
import { checkAlias } from "./links.ts";
import {
  AF_INET6,
  type AttributeWriter,
  decodeAttributes,
  encodeBody,
  formatMac,
  hostU32,
  macBytes,
  readHostS32,
  readHostU32,
  text,
  textOf,
  u8,
  u32,
} from "./netlink-codec.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_IFALIAS = 20;
/** RFC 2863, include/uapi/linux/if.h. */
const IF_OPER_UP = 6;
const IFLA_AF_SPEC = 26;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_SKIP_STATS = 8;
const IFLA_LINK_NETNSID = 37;
const IFLA_TARGET_NETNSID = 46;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFF_UP = 1;
const IFINFOMSG_BYTES = 16;

/** Links of the namespace that the socket belongs to. */
export class NetlinkLinks implements Links {
  private readonly socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.socket = socket;
  }

  createPair(pair: VethPair): { readonly hostIndex: number; readonly podIndex: number } {
    const doing = `make the pair ${pair.hostName} and ${pair.podName}`;
    const [created, found] = this.socket.exchange([
      {
        type: RTM_NEWLINK,
        flags: FlagsNew.CREATE | FlagsNew.EXCL,
        body: encodeBody(linkHeader(0), writePair(pair)),
        doing,
      },
      // kernels before 6.2 do not echo a new link, so its indexes are asked for, in the same send
      lookup(pair.hostName, doing),
    ]);
    const refusal = created?.refusal ?? found?.refusal;
    if (refusal !== undefined) throw refusal;
    const link = found?.messages[0] && decodeLink(found.messages[0].data);
    return { hostIndex: link?.index ?? 0, podIndex: link?.peerIndex ?? 0 };
  }

  find(ref: number | string): Link | undefined {
    const data = this.read(ref);
    return data && decodeLink(data);
  }

  findPeer(ref: number): Link | undefined {
    const data = this.read(ref);
    if (data === undefined) return undefined;
    const attributes = decodeAttributes(data, IFINFOMSG_BYTES);
    const peerIndex = hostU32(attributes, IFLA_LINK);
    const found = peerIndex && this.read(peerIndex, hostU32(attributes, IFLA_LINK_NETNSID));
    const peer = found ? decodeLink(found) : undefined;
    // the number of a namespace that went may stand for another by now
    return peer?.peerIndex === ref ? peer : undefined;
  }

  list(kind?: "veth"): Link[] {
    const body = encodeBody(linkHeader(0), (out) => {
      out.push(IFLA_EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS));
      if (kind !== undefined) out.push(IFLA_LINKINFO, (info) => info.push(IFLA_INFO_KIND, text(kind)));
    });
    return this.socket
      .dump({ type: RTM_GETLINK, body, doing: "list links" })
      .map(({ data }) => decodeLink(data));
  }

  change(ref: number | string, change: LinkChange): void {
    checkAlias(change.alias);
    const doing = `change link ${ref}`;
    // together with `up` in one message, `up` comes first and a tentative link-local address appears
    if (change.addrGenModeNone) this.set(ref, {}, writeAddrGenModeNone, doing);
    const { addrGenModeNone, ...rest } = change;
    if (Object.keys(rest).length > 0) this.set(ref, rest, (out) => writeChange(out, rest), doing);
  }

  remove(ref: number | string): void {
    this.socket.ask({ type: RTM_DELLINK, body: encodeBody(...refer(ref)), doing: `remove link ${ref}` });
  }

  /** @param netnsId the number by which this namespace knows the one to look in; this one when left out */
  private read(ref: number | string, netnsId?: number): Buffer | undefined {
    // ERANGE: no link can have so long a name; EINVAL: that namespace is gone
    const absent = netnsId === undefined ? ["ENODEV", "ERANGE"] : ["ENODEV", "EINVAL"];
    const answer = ignoring(absent, () => this.socket.ask(lookup(ref, `look up link ${ref}`, netnsId)));
    return answer?.[0]?.data;
  }

  private set(ref: number | string, change: LinkChange, write: AttributeWriter, doing: string): void {
    // a new name travels in the attribute that would name the link, so then it is named by index
    const target = change.name !== undefined && typeof ref === "string" ? this.indexOf(ref) : ref;
    const [header, writeRef] = refer(target, change.up);
    const body = encodeBody(header, (out) => {
      writeRef(out);
      write(out);
    });
    this.socket.ask({ type: RTM_SETLINK, body, doing });
  }

  private indexOf(name: string): number {
    const link = this.find(name);
    if (link === undefined) throw new KernelError("ENODEV", `no link is called ${name}`);
    return link.index;
  }
}

/** A link out of a RTM_NEWLINK or RTM_DELLINK message. */
export function decodeLink(data: Buffer): Link {
  const attributes = decodeAttributes(data, IFINFOMSG_BYTES);
  const address = attributes.get(IFLA_ADDRESS);
  const alias = textOf(attributes, IFLA_IFALIAS);
  const info = attributes.get(IFLA_LINKINFO);
  const kind = info === undefined ? undefined : textOf(decodeAttributes(info), IFLA_INFO_KIND);
  const peerIndex = hostU32(attributes, IFLA_LINK);
  const hasMac = address?.length === 6 && address.some((byte) => byte !== 0);
  return {
    index: readHostS32(data, 4),
    name: textOf(attributes, IFLA_IFNAME) ?? "",
    mtuBytes: hostU32(attributes, IFLA_MTU) ?? 0,
    up: (readHostU32(data, 8) & IFF_UP) !== 0,
    carries: attributes.get(IFLA_OPERSTATE)?.readUInt8(0) === IF_OPER_UP,
    group: hostU32(attributes, IFLA_GROUP) ?? 0,
    ...(hasMac && { mac: formatMac(address) as MacAddress }),
    ...(alias !== undefined && { alias }),
    ...(kind !== undefined && { kind }),
    ...(peerIndex !== undefined && { peerIndex }),
  };
}

/** A removal of every link of a group, which fails with ENODEV when there is none. */
export function removalOfGroup(group: number): { type: number; body: Buffer; doing: string } {
  const body = encodeBody(linkHeader(0), (out) => out.push(IFLA_GROUP, u32(group)));
  return { type: RTM_DELLINK, body, doing: `remove the links of group ${group}` };
}

/** struct ifinfomsg: family u8, pad u8, type u16, index s32, flags u32, change mask u32. */
function linkHeader(index: number, up?: boolean): Buffer {
  const words = up === undefined ? [0, 0] : [up ? IFF_UP : 0, IFF_UP];
  return Buffer.concat([u32(0), u32(index), ...words.map(u32)]);
}

function refer(ref: number | string, up?: boolean): [Buffer, AttributeWriter] {
  if (typeof ref === "number") return [linkHeader(ref, up), () => undefined];
  return [linkHeader(0, up), (out) => out.push(IFLA_IFNAME, text(ref))];
}

function lookup(ref: number | string, doing: string, netnsId?: number) {
  const [header, writeRef] = refer(ref);
  const body = encodeBody(header, (out) => {
    writeRef(out);
    if (netnsId !== undefined) out.push(IFLA_TARGET_NETNSID, u32(netnsId));
    out.push(IFLA_EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS));
  });
  return { type: RTM_GETLINK, body, doing };
}

function writePair(pair: VethPair): AttributeWriter {
  // the default is a queue per possible CPU and end: three times slower to make on a large machine, and of no use
  const writeEnd = (out: AttrStream, name: string, mac: MacAddress) => {
    out.push(IFLA_IFNAME, text(name));
    out.push(IFLA_ADDRESS, macBytes(mac));
    out.push(IFLA_MTU, u32(pair.mtuBytes));
    out.push(IFLA_NUM_TX_QUEUES, u32(1));
    out.push(IFLA_NUM_RX_QUEUES, u32(1));
  };
  const writePeer = (peer: AttrStream) => {
    peer.emit(linkHeader(0));
    writeEnd(peer, pair.podName, pair.podMac);
    peer.push(IFLA_NET_NS_FD, u32(pair.podNetnsFd));
  };
  return (out) => {
    writeEnd(out, pair.hostName, pair.hostMac);
    out.push(IFLA_LINKINFO, (info) => {
      info.push(IFLA_INFO_KIND, text("veth"));
      info.push(IFLA_INFO_DATA, (data) => data.push(VETH_INFO_PEER, writePeer));
    });
  };
}

function writeAddrGenModeNone(out: AttrStream): void {
  out.push(IFLA_AF_SPEC, (families) =>
    families.push(AF_INET6, (inet6) => inet6.push(IFLA_INET6_ADDR_GEN_MODE, u8(IN6_ADDR_GEN_MODE_NONE))),
  );
}

function writeChange(out: AttrStream, change: LinkChange): void {
  if (change.name !== undefined) out.push(IFLA_IFNAME, text(change.name));
  if (change.mac !== undefined) out.push(IFLA_ADDRESS, macBytes(change.mac));
  if (change.mtuBytes !== undefined) out.push(IFLA_MTU, u32(change.mtuBytes));
  if (change.alias !== undefined) out.push(IFLA_IFALIAS, text(change.alias));
  if (change.group !== undefined) out.push(IFLA_GROUP, u32(change.group));
}
