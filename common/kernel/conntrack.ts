/** Connection tracking over nfnetlink (linux/netfilter/nfnetlink_conntrack.h). */
import { type Family, IpAddress } from "../ip.ts";
import { ignoring } from "./errors.ts";
import { Attributes, addressFamily } from "./netlink-codec.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import type { MessageWriter } from "./netlink-writer.ts";

const CT_GET = (1 << 8) | 1;
const CT_DELETE = (1 << 8) | 2;
const CT_GET_STATS = (1 << 8) | 5;
const CTA_STATS_GLOBAL_ENTRIES = 1;
const NFGENMSG_BYTES = 4;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_TUPLE_IP = 1;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const NLA_F_NESTED = 0x8000;
/** Which parts of a tuple a filter compares, by attribute: the flags of the original direction and of the reply. */
const FILTER_FLAGS = { [CTA_TUPLE_ORIG]: 1, [CTA_TUPLE_REPLY]: 2 } as const;
/** CTA_IP_V4_SRC and _DST. The filter's flags for them have the same values. */
const IPV4_ENDS = { source: 1, destination: 2 } as const;

const DIRECTIONS = [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY] as const;
const ENDS = ["source", "destination"] as const;

type Direction = keyof typeof FILTER_FLAGS;
type End = keyof typeof IPV4_ENDS;

/**
 * Deletes every entry that holds one of the addresses as source or destination, before or after translation. Of IPv4 each look walks
 * the whole table in the kernel (9 ms with 262 144 buckets, whatever is in them); of IPv6 the whole table is read. With few entries all are read once, with
 * none nothing is. Gives how many it deleted.
 */
export function forgetConnections(
  socket: NetlinkSocket,
  addresses: readonly IpAddress[],
  few = FEW_ENTRIES,
): number {
  const wanted = new Set(addresses.map(String));
  const entries = addresses.length === 0 ? 0 : countOf(socket);
  if (entries === 0) return 0;
  if (entries <= few) return forgetAmongAll(socket, wanted);
  const ipv4 = addresses.filter(({ family }) => family === 4);
  const found = ipv4.flatMap((address) =>
    DIRECTIONS.flatMap((direction) => ENDS.flatMap((end) => find(socket, address, direction, end))),
  );
  // the kernel's filter compares IPv6 the wrong way round (seen on 6.18): it finds all entries but those meant
  const all = ipv4.length < addresses.length ? list(socket, 6) : [];
  const removed = (family: Family, entries: readonly Attributes[]) =>
    entries.filter((entry) => holdsAny(entry, wanted) && remove(socket, family, entry)).length;
  return removed(4, found) + removed(6, all);
}

/** Below it one look at everything costs less than one per address and end, each of which walks a table as large as the machine's memory allows. */
const FEW_ENTRIES = 2_000;

function forgetAmongAll(socket: NetlinkSocket, wanted: ReadonlySet<string>): number {
  const messages = socket.dump({
    type: CT_GET,
    write: (out) => out.word(0),
    doing: () => "list connections",
  });
  return messages.filter(({ data }) => {
    const entry = new Attributes(data, NFGENMSG_BYTES);
    const family = data.readUInt8(0) === addressFamily(4) ? 4 : 6;
    return holdsAny(entry, wanted) && remove(socket, family, entry);
  }).length;
}

/** Of this namespace; the table itself is the whole machine's. */
function countOf(socket: NetlinkSocket): number {
  const write = (out: MessageWriter) => out.word(0);
  const [message] = socket.ask({ type: CT_GET_STATS, write, doing: () => "count connections" });
  const count = message && new Attributes(message.data, NFGENMSG_BYTES).get(CTA_STATS_GLOBAL_ENTRIES);
  return count?.readUInt32BE() ?? Number.POSITIVE_INFINITY;
}

/** IPv4 entries with that address at that end. */
function find(
  socket: NetlinkSocket,
  address: IpAddress,
  direction: Direction,
  end: End,
): readonly Attributes[] {
  return list(socket, 4, (out) => {
    const tuple = out.open(direction);
    const ip = out.open(CTA_TUPLE_IP);
    out.value(IPV4_ENDS[end], address.toBytes());
    out.close(ip);
    out.close(tuple);
    // the one attribute here that the kernel refuses without the mark of nesting
    const filter = out.open(CTA_FILTER | NLA_F_NESTED);
    out.u32(FILTER_FLAGS[direction], IPV4_ENDS[end]);
    out.close(filter);
  });
}

function list(
  socket: NetlinkSocket,
  family: Family,
  writeFilter?: (out: MessageWriter) => void,
): readonly Attributes[] {
  const write = (out: MessageWriter) => {
    writeHeader(out, family);
    writeFilter?.(out);
  };
  const messages = socket.dump({ type: CT_GET, write, doing: () => `list IPv${family} connections` });
  return messages.map(({ data }) => new Attributes(data, NFGENMSG_BYTES));
}

/** Looks for itself at what the kernel's filter gave: a wrong entry deleted is somebody else's connection. */
function holdsAny(entry: Attributes, wanted: ReadonlySet<string>): boolean {
  return DIRECTIONS.some((direction) => {
    const addresses = entry.nested(direction)?.nested(CTA_TUPLE_IP)?.values() ?? [];
    return addresses.some((bytes) => wanted.has(IpAddress.fromBytes(bytes).toString()));
  });
}

/** Deletes by the whole tuple as the kernel gave it. A deletion without one would empty the table, so none is ever sent. */
function remove(socket: NetlinkSocket, family: Family, entry: Attributes): boolean {
  const tuple = entry.get(CTA_TUPLE_ORIG);
  if (tuple === undefined || tuple.length === 0) return false;
  const zone = entry.get(CTA_ZONE);
  const write = (out: MessageWriter) => {
    writeHeader(out, family);
    out.value(CTA_TUPLE_ORIG, tuple);
    if (zone !== undefined) out.value(CTA_ZONE, zone);
  };
  const request = { type: CT_DELETE, write, doing: () => "forget a connection" };
  return ignoring(["ENOENT"], () => socket.ask(request)) !== undefined;
}

/** struct nfgenmsg: family u8, version u8, resource id u16. */
function writeHeader(out: MessageWriter, family: Family): void {
  out.four(addressFamily(family), 0, 0, 0);
}
