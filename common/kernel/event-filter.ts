/**
 * What the kernel need not even bring: programs of classic BPF (linux/filter.h) for sockets that are subscribed to events. A message that is dropped wakes
 * nobody. Loads are big-endian wherever the machine stores otherwise, and one past the end of a message drops it.
 */
import { RTM_NEWNEIGH } from "./netlink-addresses.ts";
import { RTM_NEWLINK } from "./netlink-links.ts";
import { RTM_DELROUTE, RTM_NEWROUTE } from "./netlink-routes.ts";

/** struct sock_filter: code u16, how far to jump when true and when false: u8 each, k u32. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];

const load = (width: 1 | 2 | 4, offset: number): Instruction => [LOAD[width], 0, 0, offset];
/** The same, that many bytes behind what x points at. */
const loadBehindX = (width: 2 | 4, offset: number): Instruction => [LOAD_BEHIND_X[width], 0, 0, offset];
const end = (k: number): Instruction => [0x06, 0, 0, k];
const KEEP = end(0xffffffff);
const DROP = end(0);
/** BPF_LD | BPF_ABS of a byte, a half and a word. */
const LOAD = { 1: 0x30, 2: 0x28, 4: 0x20 } as const;
/** BPF_LD | BPF_IND of a half and a word. */
const LOAD_BEHIND_X = { 2: 0x48, 4: 0x40 } as const;
const COPY_TO_X: Instruction = [0x07, 0, 0, 0];

const isEqual = (k: number, ifTrue: number, ifFalse: number): Instruction => [0x15, ifTrue, ifFalse, k];
const dropIf = (k: number): Instruction[] => [isEqual(k, 0, 1), DROP];
const dropUnless = (k: number): Instruction[] => [isEqual(k, 1, 0), DROP];

/** struct nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32. */
const [TYPE_AT, PORT_AT, BODY_AT] = [4, 12, 16];
/** In struct rtmsg. */
const ROUTE_TYPE_AT = BODY_AT + 7;
/** RTN_LOCAL, BROADCAST, ANYCAST, MULTICAST: they come and go with every address. */
const ROUTES_OF_ADDRESSES = [2, 3, 4, 5];
/** Behind struct ifinfomsg. */
const LINK_ATTRIBUTES_AT = BODY_AT + 16;
const [IFLA_IFNAME, IFLA_LINK] = [3, 5];

/** Of rtnetlink: drops what was sent through these ports, and what nobody looks at. */
export function routeEventFilter(ownPorts: readonly number[]): Buffer {
  const ofAddresses = ROUTES_OF_ADDRESSES.flatMap(dropIf);
  return assemble([
    ...dropPorts(ownPorts),
    load(2, TYPE_AT),
    ...dropIf(half(RTM_NEWNEIGH)),
    isEqual(half(RTM_NEWROUTE), 1, 0),
    isEqual(half(RTM_DELROUTE), 0, 1 + ofAddresses.length),
    load(1, ROUTE_TYPE_AT),
    ...ofAddresses,
    KEEP,
  ]);
}

/** Of nftables: drops what was sent through these ports. One message of the kernel's may hold several, all of one transaction. */
export function nftEventFilter(ownPorts: readonly number[]): Buffer {
  return assemble([...dropPorts(ownPorts), KEEP]);
}

/** Of links in all namespaces: keeps those that are set and have a far end, but for links of that many bytes in their name and these two as the first. */
export function peerEventFilter({ nameLength, prefix }: { nameLength: number; prefix: string }): Buffer {
  return assemble([
    load(2, TYPE_AT),
    ...dropUnless(half(RTM_NEWLINK)),
    // a bridge tells of its ports as links of family AF_BRIDGE
    load(1, BODY_AT),
    ...dropUnless(0),
    ...findAttribute(IFLA_LINK),
    ...dropIf(0),
    COPY_TO_X,
    loadBehindX(4, 4),
    ...dropIf(0),
    ...findAttribute(IFLA_IFNAME),
    COPY_TO_X,
    loadBehindX(2, 0),
    isEqual(half(4 + nameLength + 1), 0, 3),
    loadBehindX(2, 4),
    ...dropIf(Buffer.from(prefix).readUInt16BE()),
    KEEP,
  ]);
}

function dropPorts(ports: readonly number[]): Instruction[] {
  return [load(4, PORT_AT), ...ports.flatMap((port) => dropIf(word(port)))];
}

/** Where the attribute of that type begins, or 0: an extension of Linux (SKF_AD_OFF + SKF_AD_NLATTR), which looks from a on for type x. */
function findAttribute(type: number): Instruction[] {
  return [
    [0x00, 0, 0, LINK_ATTRIBUTES_AT],
    [0x01, 0, 0, type],
    [LOAD[4], 0, 0, (-0x1000 + 12) >>> 0],
  ];
}

/** A number in the machine's order, as it is loaded. */
const half = (value: number): number => Buffer.from(Uint16Array.of(value).buffer).readUInt16BE();
const word = (value: number): number => Buffer.from(Uint32Array.of(value).buffer).readUInt32BE();

function assemble(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  const view = {
    halves: new Uint16Array(bytes.buffer, bytes.byteOffset),
    words: new Uint32Array(bytes.buffer, bytes.byteOffset),
  };
  for (const [index, [code, ifTrue, ifFalse, k]] of program.entries()) {
    view.halves[index * 4] = code;
    bytes[index * 8 + 2] = ifTrue;
    bytes[index * 8 + 3] = ifFalse;
    view.words[index * 2 + 1] = k;
  }
  return bytes;
}
