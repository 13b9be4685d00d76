/**
 * What nftables tells its subscribers (NFNLGRP_NFTABLES): every object of a transaction that came or went, in whichever table, then a message that
 * names the process. Where kube-proxy writes iptables, thousands of them are not for us; those are passed over after a look at their first bytes.
 */
import { NFT_TABLE } from "../constants.ts";
import type { Family } from "../ip.ts";
import type { KernelEvent } from "./events.ts";
import { AF_INET, AF_INET6, Attributes } from "./netlink-codec.ts";
import { type NetlinkMessage, readHostU16 } from "./netlink-message.ts";

/** NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h. */
export const NFT_GROUPS: readonly number[] = [7];

/** NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_*, of linux/netfilter/nf_tables.h. */
const NFT_DELTABLE = 0xa02;
const NFT_DELCHAIN = 0xa05;
const NFT_NEWRULE = 0xa06;
const NFT_DELRULE = 0xa08;
const NFT_NEWGEN = 0xa0f;

/** struct nfgenmsg: family u8, version u8, res_id u16. */
const NFGENMSG_BYTES = 4;
/** The first attribute of every object but NEWGEN is its table: length u16, type u16, name and NUL. */
const TABLE_OFFSET = NFGENMSG_BYTES + 4;
/** NFTA_CHAIN_NAME, NFTA_RULE_CHAIN. */
const CHAIN_ATTRIBUTE: ReadonlyMap<number, number> = new Map([
  [NFT_DELCHAIN, 3],
  [NFT_NEWRULE, 2],
  [NFT_DELRULE, 2],
]);
const GEN_PROC_PID = 2;
const GEN_PROC_NAME = 3;

const OUR_TABLE = Buffer.from(`${NFT_TABLE}\0`);
/** Where iptables over nf_tables keeps FORWARD. */
const FILTER_TABLE = Buffer.from("filter\0");
const FORWARD_CHAIN = "FORWARD";
const FAMILY: ReadonlyMap<number, Family> = new Map([
  [AF_INET, 4],
  [AF_INET6, 6],
]);

/** Gives a decoder for the messages of one socket, in their order: the events of a transaction come with its last message. */
export function nftDecoder(): (message: NetlinkMessage) => readonly KernelEvent[] {
  let isOursTouched = false;
  const forwards = new Set<Family>();
  return ({ type, data }) => {
    if (type === NFT_NEWGEN) {
      if (!isOursTouched && forwards.size === 0) return [];
      const events = [...told(isOursTouched, [...forwards])].map((event) => ({
        ...event,
        ...processOf(data),
      }));
      isOursTouched = false;
      forwards.clear();
      return events;
    }
    if (isOfTable(data, OUR_TABLE)) isOursTouched = true;
    else if (isOfTable(data, FILTER_TABLE)) {
      const family = FAMILY.get(data.readUInt8(0));
      if (family !== undefined && isOfForward(type, data)) forwards.add(family);
    }
    return [];
  };
}

function told(isOursTouched: boolean, families: readonly Family[]): KernelEvent[] {
  const events: KernelEvent[] = [];
  if (isOursTouched) events.push({ kind: "nft" });
  if (families.length > 0) events.push({ kind: "forward", families });
  return events;
}

/** Without parsing: of a sync of kube-proxy nearly all messages end here. */
function isOfTable(data: Buffer, name: Buffer): boolean {
  return (
    data.length >= TABLE_OFFSET + name.length &&
    readHostU16(data, NFGENMSG_BYTES) === name.length + 4 &&
    data.compare(name, 0, name.length, TABLE_OFFSET, TABLE_OFFSET + name.length) === 0
  );
}

/** A policy (NEWCHAIN) is not looked at: our accepts come before it. */
function isOfForward(type: number, data: Buffer): boolean {
  if (type === NFT_DELTABLE) return true;
  const attribute = CHAIN_ATTRIBUTE.get(type);
  return attribute !== undefined && new Attributes(data, NFGENMSG_BYTES).text(attribute) === FORWARD_CHAIN;
}

function processOf(data: Buffer): { readonly processId?: number; readonly processName?: string } {
  const attributes = new Attributes(data, NFGENMSG_BYTES);
  const processId = attributes.get(GEN_PROC_PID)?.readUInt32BE();
  const processName = attributes.text(GEN_PROC_NAME);
  return {
    ...(processId !== undefined && { processId }),
    ...(processName !== undefined && { processName }),
  };
}
