/** Policy routing rules over rtnetlink (linux/fib_rules.h). */
import { Cidr, type Family, type IpAddress } from "../ip.ts";
import { ignoring } from "./errors.ts";
import { AF_INET, Attributes, addressFamily } from "./netlink-codec.ts";
import { NLM_F_CREATE, NLM_F_EXCL, readHostU32 } from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import type { MessageWriter } from "./netlink-writer.ts";
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
    const flags = NLM_F_CREATE | NLM_F_EXCL;
    const write = (out: MessageWriter) => writeRule(out, rule);
    const doing = () => `add ${describe(rule)}`;
    ignoring(["EEXIST"], () => this.socket.ask({ type: RTM_NEWRULE, flags, write, doing }));
  }

  remove(rule: Rule): void {
    // what a removal leaves out matches anything: a rule with fewer conditions would take one with more
    if (!this.list(rule.family).some((other) => isSameRule(other, rule))) return;
    const write = (out: MessageWriter) => writeRule(out, rule);
    const doing = () => `remove ${describe(rule)}`;
    ignoring(["ENOENT"], () => this.socket.ask({ type: RTM_DELRULE, write, doing }));
  }

  list(family: Family): Rule[] {
    const write = (out: MessageWriter) => {
      out.four(addressFamily(family), 0, 0, 0);
      out.word(0);
      out.word(0);
    };
    const request = { type: RTM_GETRULE, write, doing: () => `list IPv${family} rules` };
    return this.socket.dump(request).map(({ data }) => decodeRule(data));
  }
}

/** A rule out of a RTM_NEWRULE or RTM_DELRULE message. */
export function decodeRule(data: Buffer): Rule {
  const attributes = new Attributes(data, RULE_HEADER_BYTES);
  const from = prefixOf(attributes.address(FRA_SRC), data.readUInt8(2));
  const to = prefixOf(attributes.address(FRA_DST), data.readUInt8(1));
  const inLink = attributes.text(FRA_IIFNAME);
  const mask = attributes.u32(FRA_FWMASK) ?? 0;
  const value = attributes.u32(FRA_FWMARK) ?? 0;
  const suppressPrefixLength = setNumber(attributes, FRA_SUPPRESS_PREFIXLEN);
  const suppressLinkGroup = setNumber(attributes, FRA_SUPPRESS_IFGROUP);
  const isInverted = (readHostU32(data, 8) & FIB_RULE_INVERT) !== 0;
  const isNarrowed = data.readUInt8(3) !== 0 || NARROWING.some((type) => attributes.has(type));
  const isLookup = data.readUInt8(7) === FR_ACT_TO_TBL;
  return {
    family: data.readUInt8(0) === AF_INET ? 4 : 6,
    priority: attributes.u32(FRA_PRIORITY) ?? 0,
    table: isLookup ? (attributes.u32(FRA_TABLE) ?? data.readUInt8(4)) : 0,
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
  const value = attributes.u32(type);
  return value === UNSET ? undefined : value;
}

/** struct fib_rule_hdr: family, destination length, source length, tos, table, 2 reserved, action: u8 each; flags u32. */
function writeRule(out: MessageWriter, rule: Rule): void {
  const { from, to, inLink, mark, suppressPrefixLength, suppressLinkGroup } = rule;
  out.four(addressFamily(rule.family), to?.prefixLength ?? 0, from?.prefixLength ?? 0, 0);
  out.four(0, 0, 0, FR_ACT_TO_TBL);
  out.word(0);
  out.u32(FRA_PRIORITY, rule.priority);
  out.u32(FRA_TABLE, rule.table);
  out.u8(FRA_PROTOCOL, rule.protocol);
  if (from !== undefined) out.value(FRA_SRC, from.address.toBytes());
  if (to !== undefined) out.value(FRA_DST, to.address.toBytes());
  if (inLink !== undefined) out.text(FRA_IIFNAME, inLink);
  if (mark !== undefined) {
    out.u32(FRA_FWMARK, mark.value);
    out.u32(FRA_FWMASK, mark.mask);
  }
  if (suppressPrefixLength !== undefined) out.u32(FRA_SUPPRESS_PREFIXLEN, suppressPrefixLength);
  if (suppressLinkGroup !== undefined) out.u32(FRA_SUPPRESS_IFGROUP, suppressLinkGroup);
}

function describe({ family, priority, table }: Rule): string {
  return `IPv${family} rule ${priority}, which looks up table ${table}`;
}
