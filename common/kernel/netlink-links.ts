/** Links over rtnetlink (linux/if_link.h). */
import type { MacAddress } from "../ids.ts";
import { ignoring, KernelError } from "./errors.ts";
import type { Link, LinkChange, Links, VethPair } from "./links.ts";
import { checkAlias } from "./links.ts";
import { AF_INET6, Attributes, formatMac, macBytes } from "./netlink-codec.ts";
import { NLM_F_CREATE, NLM_F_EXCL, readHostS32, readHostU32 } from "./netlink-message.ts";
import type { NetlinkRequest, NetlinkSocket } from "./netlink-socket.ts";
import type { MessageWriter } from "./netlink-writer.ts";

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
    const doing = () => `make the pair ${pair.hostName} and ${pair.podName}`;
    const [created, found] = this.socket.exchange([
      {
        type: RTM_NEWLINK,
        flags: NLM_F_CREATE | NLM_F_EXCL,
        write: (out) => writePair(out, pair),
        doing,
      },
      // kernels before 6.2 do not echo a new link, so its indexes are asked for, in the same send
      lookup(pair.hostName, doing),
    ]);
    const refusal = created?.refusal ?? found?.refusal;
    if (refusal !== undefined) throw refusal;
    const data = found?.messages[0]?.data;
    if (data === undefined) return { hostIndex: 0, podIndex: 0 };
    const podIndex = new Attributes(data, IFINFOMSG_BYTES).u32(IFLA_LINK) ?? 0;
    return { hostIndex: readHostS32(data, 4), podIndex };
  }

  find(ref: number | string): Link | undefined {
    const data = this.read(ref);
    return data && decodeLink(data);
  }

  findPeer(ref: number): Link | undefined {
    const data = this.read(ref);
    if (data === undefined) return undefined;
    const attributes = new Attributes(data, IFINFOMSG_BYTES);
    const peerIndex = attributes.u32(IFLA_LINK);
    const found = peerIndex && this.read(peerIndex, attributes.u32(IFLA_LINK_NETNSID));
    const peer = found ? decodeLink(found) : undefined;
    // the number of a namespace that went may stand for another by now
    return peer?.peerIndex === ref ? peer : undefined;
  }

  list(kind?: "veth"): Link[] {
    const write = (out: MessageWriter) => {
      writeHeader(out, 0);
      out.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
      if (kind === undefined) return;
      const info = out.open(IFLA_LINKINFO);
      out.text(IFLA_INFO_KIND, kind);
      out.close(info);
    };
    const request = { type: RTM_GETLINK, write, doing: () => "list links" };
    return this.socket.dump(request).map(({ data }) => decodeLink(data));
  }

  change(ref: number | string, change: LinkChange): void {
    checkAlias(change.alias);
    // together with `up` in one message, `up` comes first and a tentative link-local address appears
    if (change.addrGenModeNone) this.set(ref, {}, writeAddrGenModeNone);
    const { addrGenModeNone, ...rest } = change;
    if (Object.keys(rest).length > 0) this.set(ref, rest, (out) => writeChange(out, rest));
  }

  remove(ref: number | string): void {
    const write = (out: MessageWriter) => writeRef(out, ref);
    this.socket.ask({ type: RTM_DELLINK, write, doing: () => `remove link ${ref}` });
  }

  /** @param netnsId the number by which this namespace knows the one to look in; this one when left out */
  private read(ref: number | string, netnsId?: number): Buffer | undefined {
    // ERANGE: no link can have so long a name; EINVAL: that namespace is gone
    const absent = netnsId === undefined ? ["ENODEV", "ERANGE"] : ["ENODEV", "EINVAL"];
    const answer = ignoring(absent, () => this.socket.ask(lookup(ref, () => `look up link ${ref}`, netnsId)));
    return answer?.[0]?.data;
  }

  private set(ref: number | string, change: LinkChange, writeMore: (out: MessageWriter) => void): void {
    // a new name travels in the attribute that would name the link, so then it is named by index
    const target = change.name !== undefined && typeof ref === "string" ? this.indexOf(ref) : ref;
    const write = (out: MessageWriter) => {
      writeRef(out, target, change.up);
      writeMore(out);
    };
    this.socket.ask({ type: RTM_SETLINK, write, doing: () => `change link ${ref}` });
  }

  private indexOf(name: string): number {
    const link = this.find(name);
    if (link === undefined) throw new KernelError("ENODEV", `no link is called ${name}`);
    return link.index;
  }
}

/** A link out of a RTM_NEWLINK or RTM_DELLINK message. */
export function decodeLink(data: Buffer): Link {
  const attributes = new Attributes(data, IFINFOMSG_BYTES);
  const address = attributes.get(IFLA_ADDRESS);
  const alias = attributes.text(IFLA_IFALIAS);
  const kind = attributes.nested(IFLA_LINKINFO)?.text(IFLA_INFO_KIND);
  const peerIndex = attributes.u32(IFLA_LINK);
  const hasMac = address?.length === 6 && address.some((byte) => byte !== 0);
  return {
    index: readHostS32(data, 4),
    name: attributes.text(IFLA_IFNAME) ?? "",
    mtuBytes: attributes.u32(IFLA_MTU) ?? 0,
    up: (readHostU32(data, 8) & IFF_UP) !== 0,
    carries: attributes.get(IFLA_OPERSTATE)?.readUInt8(0) === IF_OPER_UP,
    group: attributes.u32(IFLA_GROUP) ?? 0,
    ...(hasMac && { mac: formatMac(address) as MacAddress }),
    ...(alias !== undefined && { alias }),
    ...(kind !== undefined && { kind }),
    ...(peerIndex !== undefined && { peerIndex }),
  };
}

/** A removal of every link of a group, which fails with ENODEV when there is none. */
export function removalOfGroup(group: number): NetlinkRequest {
  const write = (out: MessageWriter) => {
    writeHeader(out, 0);
    out.u32(IFLA_GROUP, group);
  };
  return { type: RTM_DELLINK, write, doing: () => `remove the links of group ${group}` };
}

/** struct ifinfomsg: family u8, pad u8, type u16, index s32, flags u32, change mask u32. */
function writeHeader(out: MessageWriter, index: number, up?: boolean): void {
  out.word(0);
  out.word(index);
  out.word(up ? IFF_UP : 0);
  out.word(up === undefined ? 0 : IFF_UP);
}

function writeRef(out: MessageWriter, ref: number | string, up?: boolean): void {
  writeHeader(out, typeof ref === "number" ? ref : 0, up);
  if (typeof ref === "string") out.text(IFLA_IFNAME, ref);
}

function lookup(ref: number | string, doing: () => string, netnsId?: number): NetlinkRequest {
  const write = (out: MessageWriter) => {
    writeRef(out, ref);
    if (netnsId !== undefined) out.u32(IFLA_TARGET_NETNSID, netnsId);
    out.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  };
  return { type: RTM_GETLINK, write, doing };
}

function writePair(out: MessageWriter, pair: VethPair): void {
  writeHeader(out, 0);
  writeEnd(out, pair.hostName, pair.hostMac, pair.mtuBytes);
  const info = out.open(IFLA_LINKINFO);
  out.text(IFLA_INFO_KIND, "veth");
  const data = out.open(IFLA_INFO_DATA);
  const peer = out.open(VETH_INFO_PEER);
  writeHeader(out, 0);
  writeEnd(out, pair.podName, pair.podMac, pair.mtuBytes);
  out.u32(IFLA_NET_NS_FD, pair.podNetnsFd);
  for (const nest of [peer, data, info]) out.close(nest);
}

function writeEnd(out: MessageWriter, name: string, mac: MacAddress, mtuBytes: number): void {
  out.text(IFLA_IFNAME, name);
  out.value(IFLA_ADDRESS, macBytes(mac));
  out.u32(IFLA_MTU, mtuBytes);
  // the default is a queue per possible CPU and end: three times slower to make on a large machine, and of no use
  out.u32(IFLA_NUM_TX_QUEUES, 1);
  out.u32(IFLA_NUM_RX_QUEUES, 1);
}

function writeAddrGenModeNone(out: MessageWriter): void {
  const families = out.open(IFLA_AF_SPEC);
  const inet6 = out.open(AF_INET6);
  out.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  out.close(inet6);
  out.close(families);
}

function writeChange(out: MessageWriter, change: LinkChange): void {
  if (change.name !== undefined) out.text(IFLA_IFNAME, change.name);
  if (change.mac !== undefined) out.value(IFLA_ADDRESS, macBytes(change.mac));
  if (change.mtuBytes !== undefined) out.u32(IFLA_MTU, change.mtuBytes);
  if (change.alias !== undefined) out.text(IFLA_IFALIAS, change.alias);
  if (change.group !== undefined) out.u32(IFLA_GROUP, change.group);
}
