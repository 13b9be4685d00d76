/**
 * IP addresses and prefixes as values. Nothing in the project passes an address as a bare string: text is parsed
 * once, at the edge, and printed in canonical form (RFC 5952 for IPv6).
 */

/** 4 for IPv4, 6 for IPv6. */
export type Family = 4 | 6;

const BITS = { 4: 32, 6: 128 } as const;
const LOW_64 = (1n << 64n) - 1n;

/** One address. Immutable; compare with equals(), or by toString(), which is canonical. */
export class IpAddress {
  readonly family: Family;
  /** The address as an unsigned integer of 32 or 128 bits. */
  readonly value: bigint;
  /** Made when it is first asked for: an ADD asks a dozen times. */
  #text: string | undefined;

  private constructor(family: Family, value: bigint) {
    this.family = family;
    this.value = value;
  }

  /** Parses `10.0.0.1` or `2001:db8::1`. Throws RangeError naming the text; zone ids and ports are refused. */
  static parse(text: string): IpAddress {
    const address = IpAddress.tryParse(text);
    if (address === undefined) throw new RangeError(`not an IP address: ${JSON.stringify(text)}`);
    return address;
  }

  /** As parse(), but undefined instead of throwing. */
  static tryParse(text: string): IpAddress | undefined {
    if (text.includes(":")) {
      const value = parseIpv6(text);
      return value === undefined ? undefined : new IpAddress(6, value);
    }
    const value = parseIpv4(text);
    return value === undefined ? undefined : new IpAddress(4, value);
  }

  /** Throws RangeError when the value does not fit the family. */
  static fromValue(family: Family, value: bigint): IpAddress {
    if (value < 0n || value >> BigInt(BITS[family]) !== 0n) {
      throw new RangeError(`${value} does not fit an IPv${family} address`);
    }
    return new IpAddress(family, value);
  }

  /** 4 or 16 bytes in network order, as the kernel has them. Throws RangeError for any other length. */
  static fromBytes(bytes: Uint8Array): IpAddress {
    if (bytes.length !== 4 && bytes.length !== 16) {
      throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length === 4) return new IpAddress(4, BigInt(view.getUint32(0)));
    return new IpAddress(6, (view.getBigUint64(0) << 64n) | view.getBigUint64(8));
  }

  /** 4 or 16 bytes in network order. */
  toBytes(): Buffer {
    const bytes = Buffer.allocUnsafe(BITS[this.family] / 8);
    if (this.family === 4) {
      bytes.writeUInt32BE(Number(this.value));
    } else {
      bytes.writeBigUInt64BE(this.value >> 64n);
      bytes.writeBigUInt64BE(this.value & LOW_64, 8);
    }
    return bytes;
  }

  equals(other: IpAddress): boolean {
    return this.family === other.family && this.value === other.value;
  }

  /** IPv4 before IPv6, then by value: negative, 0 or positive, for sort(). */
  compare(other: IpAddress): number {
    if (this.family !== other.family) return this.family - other.family;
    return this.value < other.value ? -1 : this.value > other.value ? 1 : 0;
  }

  /** This address plus an offset, which may be negative. Throws RangeError past either end. */
  plus(offset: number | bigint): IpAddress {
    return IpAddress.fromValue(this.family, this.value + BigInt(offset));
  }

  /** /32 or /128 of this address alone. */
  toCidr(): Cidr {
    return Cidr.of(this, BITS[this.family]);
  }

  toString(): string {
    this.#text ??= this.family === 4 ? formatIpv4(Number(this.value)) : formatIpv6(this.value);
    return this.#text;
  }

  toJSON(): string {
    return this.toString();
  }
}

/** A prefix; host bits are always zero. Immutable. */
export class Cidr {
  readonly address: IpAddress;
  readonly prefixLength: number;

  private constructor(address: IpAddress, prefixLength: number) {
    this.address = address;
    this.prefixLength = prefixLength;
  }

  /** Parses `10.0.0.0/16`; a bare address means /32 or /128. Host bits are cleared. Throws RangeError. */
  static parse(text: string): Cidr {
    const slash = text.indexOf("/");
    if (slash < 0) return IpAddress.parse(text).toCidr();
    const address = IpAddress.tryParse(text.slice(0, slash));
    const length = text.slice(slash + 1);
    if (address === undefined || !/^\d{1,3}$/.test(length) || Number(length) > BITS[address.family]) {
      throw new RangeError(`not a CIDR: ${JSON.stringify(text)}`);
    }
    return Cidr.of(address, Number(length));
  }

  /** The prefix of that length that holds the address. Throws RangeError for an impossible length. */
  static of(address: IpAddress, prefixLength: number): Cidr {
    const bits = BITS[address.family];
    if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > bits) {
      throw new RangeError(`prefix length ${prefixLength} of ${address} is not between 0 and ${bits}`);
    }
    const shift = BigInt(bits - prefixLength);
    return new Cidr(IpAddress.fromValue(address.family, (address.value >> shift) << shift), prefixLength);
  }

  get family(): Family {
    return this.address.family;
  }

  /** How many addresses it holds, the first and last included. */
  get size(): bigint {
    return 1n << BigInt(BITS[this.family] - this.prefixLength);
  }

  /** The first address, which is the network's own. */
  get first(): IpAddress {
    return this.address;
  }

  get last(): IpAddress {
    return this.address.plus(this.size - 1n);
  }

  /** True for /32 and /128. */
  get isSingle(): boolean {
    return this.prefixLength === BITS[this.family];
  }

  contains(other: IpAddress | Cidr): boolean {
    const address = other instanceof Cidr ? other.address : other;
    if (other instanceof Cidr && other.prefixLength < this.prefixLength) return false;
    if (address.family !== this.family) return false;
    const hostBits = BigInt(BITS[this.family] - this.prefixLength);
    return address.value >> hostBits === this.address.value >> hostBits;
  }

  overlaps(other: Cidr): boolean {
    return this.contains(other) || other.contains(this);
  }

  equals(other: Cidr): boolean {
    return this.prefixLength === other.prefixLength && this.address.equals(other.address);
  }

  /** By address, then shorter prefixes first, for sort(). */
  compare(other: Cidr): number {
    return this.address.compare(other.address) || this.prefixLength - other.prefixLength;
  }

  /** Every address, lowest first. Lazy: a /64 can be begun, not finished. */
  *addresses(): Generator<IpAddress> {
    const size = this.size;
    for (let offset = 0n; offset < size; offset += 1n) yield this.address.plus(offset);
  }

  toString(): string {
    return `${this.address}/${this.prefixLength}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/**
 * The fewest prefixes that cover exactly the same addresses, sorted: no duplicate, no overlap, neighbours merged. This
 * is the form in which the kernel keeps an interval set with auto-merge, so that wanted and actual can be compared.
 */
export function mergeCidrs(cidrs: readonly Cidr[]): Cidr[] {
  const merged: Cidr[] = [];
  for (const cidr of [...cidrs].sort((a, b) => a.compare(b))) {
    const previous = merged.at(-1);
    if (previous?.contains(cidr)) continue;
    merged.push(cidr);
    while (merged.length >= 2) {
      const [left, right] = merged.slice(-2) as [Cidr, Cidr];
      if (
        left.family !== right.family ||
        left.prefixLength !== right.prefixLength ||
        left.prefixLength === 0
      ) {
        break;
      }
      const parent = Cidr.of(left.address, left.prefixLength - 1);
      if (!parent.contains(right)) break;
      merged.splice(-2, 2, parent);
    }
  }
  return merged;
}

/** The fewest prefixes that cover the addresses from `first` to `last`, both included, in order. One family; first is not after last. */
export function coveringCidrs(first: IpAddress, last: IpAddress): Cidr[] {
  const cidrs: Cidr[] = [];
  let start: IpAddress | undefined = first;
  while (start !== undefined) {
    const cidr = widestFrom(start, last);
    cidrs.push(cidr);
    start = cidr.last.compare(last) < 0 ? cidr.last.plus(1) : undefined;
  }
  return cidrs;
}

function widestFrom(start: IpAddress, last: IpAddress): Cidr {
  let cidr = start.toCidr();
  while (cidr.prefixLength > 0) {
    const wider = Cidr.of(start, cidr.prefixLength - 1);
    if (!wider.first.equals(start) || wider.last.compare(last) > 0) break;
    cidr = wider;
  }
  return cidr;
}

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    // a leading zero is refused: some parsers read it as octal
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(Number(part));
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  // a dotted quad may only end the whole address
  if (halves.length === 2 && halves[0]?.includes(".")) return undefined;
  const [head, tail] = [ipv6Groups(halves[0] ?? ""), halves.length === 2 ? ipv6Groups(halves[1] ?? "") : []];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n);
}

/** The 16-bit groups of one side of `::`; a trailing dotted quad counts as two. */
function ipv6Groups(text: string): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (part.includes(".")) {
      const quad = index === parts.length - 1 ? parseIpv4(part) : undefined;
      if (quad === undefined) return undefined;
      groups.push(Number(quad >> 16n), Number(quad & 0xffffn));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`;
}

function groupsOf(value: bigint): number[] {
  const groups: number[] = [];
  for (const half of [value >> 64n, value & LOW_64]) {
    const [high, low] = [Number(half >> 32n), Number(half & 0xffffffffn)];
    groups.push(high >>> 16, high & 0xffff, low >>> 16, low & 0xffff);
  }
  return groups;
}

/** RFC 5952: lower case, no leading zeros, the longest run of zero groups (two or more, first wins) as `::`. */
function formatIpv6(value: bigint): string {
  const groups = groupsOf(value);
  // RFC 5952 section 5: IPv4-mapped addresses keep the dotted form
  if (value >> 32n === 0xffffn) return `::ffff:${formatIpv4(Number(value & 0xffffffffn))}`;
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start < 0) return hex.join(":");
  return `${hex.slice(0, best.start).join(":")}::${hex.slice(best.start + best.length).join(":")}`;
}
