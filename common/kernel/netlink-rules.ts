/** Policy routing rules over rtnetlink (linux/fib_rules.h). */
import { FlagsNew } from "netlink/dist/constants.js";
import { Cidr, type Family, type IpAddress } from "../ip.ts";
import { ignoring } from "./errors.ts";
import {
  AF_INET,
  type Attributes,
  addressFamily,
  addressOf,
  decodeAttributes,
  encodeBody,
  hostU32,
  readHostU32,
  text,
  textOf,
  u8,
  u32,
} from "./netlink-codec.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { isSameRule, type Rule, type Rules } from "./rules.ts";

export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const RULE_HEADER_BYTES = 12;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_SUPPRESS_IFGROUP = 13;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_PROTOCOL = 21;
/** FRA_TUN_ID, _OIFNAME, _L3MDEV, _UID_RANGE, _IP_PROTO, _SPORT_RANGE, _DPORT_RANGE, _DSCP, _FLOWLABEL. */
const NARROWING = [12, 17, 19, 20, 22, 23, 24, 25, 26];
const FIB_RULE_INVERT = 2;
const FR_ACT_TO_TBL = 1;
/** -1 as u32: nothing is suppressed. */
const UNSET = 0xffffffff;

/** Rules of the namespace that the socket belongs to. */
export class NetlinkRules implements Rules {
  private readonly socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.socket = socket;
  }

  add(rule: Rule): void {
    const flags = FlagsNew.CREATE | FlagsNew.EXCL;
    const request = { type: RTM_NEWRULE, flags, body: encodeRule(rule), doing: `add ${describe(rule)}` };
    ignoring(["EEXIST"], () => this.socket.ask(request));
  }

  remove(rule: Rule): void {
    // what a removal leaves out matches anything: a rule with fewer conditions would take one with more
    if (!this.list(rule.family).some((other) => isSameRule(other, rule))) return;
    const request = { type: RTM_DELRULE, body: encodeRule(rule), doing: `remove ${describe(rule)}` };
    ignoring(["ENOENT"], () => this.socket.ask(request));
  }

  list(family: Family): Rule[] {
    const header = Buffer.concat([u8(addressFamily(family)), Buffer.alloc(RULE_HEADER_BYTES - 1)]);
    const messages = this.socket.dump({ type: RTM_GETRULE, body: header, doing: `list IPv${family} rules` });
    return messages.map(({ data }) => decodeRule(data));
  }
}

/** A rule out of a RTM_NEWRULE or RTM_DELRULE message. */
export function decodeRule(data: Buffer): Rule {
  const attributes = decodeAttributes(data, RULE_HEADER_BYTES);
  const from = prefixOf(addressOf(attributes, FRA_SRC), data.readUInt8(2));
  const to = prefixOf(addressOf(attributes, FRA_DST), data.readUInt8(1));
  const inLink = textOf(attributes, FRA_IIFNAME);
  const mask = hostU32(attributes, FRA_FWMASK) ?? 0;
  const value = hostU32(attributes, FRA_FWMARK) ?? 0;
  const suppressPrefixLength = setNumber(attributes, FRA_SUPPRESS_PREFIXLEN);
  const suppressLinkGroup = setNumber(attributes, FRA_SUPPRESS_IFGROUP);
  const isInverted = (readHostU32(data, 8) & FIB_RULE_INVERT) !== 0;
  const isNarrowed = data.readUInt8(3) !== 0 || NARROWING.some((type) => attributes.has(type));
  const isLookup = data.readUInt8(7) === FR_ACT_TO_TBL;
  return {
    family: data.readUInt8(0) === AF_INET ? 4 : 6,
    priority: hostU32(attributes, FRA_PRIORITY) ?? 0,
    table: isLookup ? (hostU32(attributes, FRA_TABLE) ?? data.readUInt8(4)) : 0,
    protocol: attributes.get(FRA_PROTOCOL)?.readUInt8() ?? 0,
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(inLink !== undefined && { inLink }),
    ...(mask !== 0 && { mark: { value, mask } }),
    ...(isInverted && { inverted: true }),
    ...(isNarrowed && { narrowed: true }),
    ...(suppressPrefixLength !== undefined && { suppressPrefixLength }),
    ...(suppressLinkGroup !== undefined && { suppressLinkGroup }),
  };
}

function prefixOf(address: IpAddress | undefined, length: number): Cidr | undefined {
  return address === undefined ? undefined : Cidr.of(address, length);
}

function setNumber(attributes: Attributes, type: number): number | undefined {
  const value = hostU32(attributes, type);
  return value === UNSET ? undefined : value;
}

/** struct fib_rule_hdr: family, destination length, source length, tos, table, 2 reserved, action: u8 each; flags u32. */
function encodeRule(rule: Rule): Buffer {
  const lengths = [rule.to?.prefixLength ?? 0, rule.from?.prefixLength ?? 0];
  const header = Buffer.of(addressFamily(rule.family), ...lengths, 0, 0, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0);
  return encodeBody(header, (out) => {
    out.push(FRA_PRIORITY, u32(rule.priority));
    out.push(FRA_TABLE, u32(rule.table));
    out.push(FRA_PROTOCOL, u8(rule.protocol));
    if (rule.from !== undefined) out.push(FRA_SRC, rule.from.address.toBytes());
    if (rule.to !== undefined) out.push(FRA_DST, rule.to.address.toBytes());
    if (rule.inLink !== undefined) out.push(FRA_IIFNAME, text(rule.inLink));
    if (rule.mark !== undefined) {
      out.push(FRA_FWMARK, u32(rule.mark.value));
      out.push(FRA_FWMASK, u32(rule.mark.mask));
    }
    if (rule.suppressPrefixLength !== undefined)
      out.push(FRA_SUPPRESS_PREFIXLEN, u32(rule.suppressPrefixLength));
    if (rule.suppressLinkGroup !== undefined) out.push(FRA_SUPPRESS_IFGROUP, u32(rule.suppressLinkGroup));
  });
}

function describe({ family, priority, table }: Rule): string {
  return `IPv${family} rule ${priority}, which looks up table ${table}`;
}
