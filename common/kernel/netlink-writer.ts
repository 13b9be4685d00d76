/**
 * Writes netlink messages one behind the other into one piece of memory, which is used again: of an ADD's hundred attributes none becomes an object.
 * Integers are in the machine's order unless said otherwise. Everything begins at a multiple of 4.
 */
import { aligned, NLM_F_REQUEST, NLMSG_HEADER_BYTES } from "./netlink-message.ts";

/** struct nlattr: length u16, type u16. */
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTE_BYTES_MAX = 0xffff;
const FIRST_BYTES = 1 << 14;

export class MessageWriter {
  private bytes = Buffer.from(new ArrayBuffer(FIRST_BYTES));
  /** The same memory. */
  private shorts = new Uint16Array(this.bytes.buffer);
  private words = new Uint32Array(this.bytes.buffer);
  private end = 0;
  private message = 0;

  /** Begins a message; its header and attributes are written behind. */
  begin(type: number, flags: number, sequence: number): void {
    const at = this.take(NLMSG_HEADER_BYTES);
    this.message = at;
    this.shorts[(at >> 1) + 2] = type;
    this.shorts[(at >> 1) + 3] = NLM_F_REQUEST | flags;
    this.words[(at >> 2) + 2] = sequence;
    this.words[(at >> 2) + 3] = 0;
  }

  /** Ends it. Gives where it began. */
  finish(): number {
    this.words[this.message >> 2] = this.end - this.message;
    return this.message;
  }

  /** Gives a message that has been finished more flags. */
  addFlags(message: number, flags: number): void {
    const index = (message >> 1) + 3;
    this.shorts[index] = (this.shorts[index] ?? 0) | flags;
  }

  /** Four bytes of a header. */
  four(first: number, second: number, third: number, fourth: number): void {
    const at = this.take(4);
    this.bytes[at] = first;
    this.bytes[at + 1] = second;
    this.bytes[at + 2] = third;
    this.bytes[at + 3] = fourth;
  }

  /** Four bytes of a header as one number. */
  word(value: number): void {
    const at = this.take(4);
    this.words[at >> 2] = value;
  }

  /** The same as two numbers. */
  halves(first: number, second: number): void {
    const at = this.take(4);
    this.shorts[at >> 1] = first;
    this.shorts[(at >> 1) + 1] = second;
  }

  u8(type: number, value: number): void {
    const at = this.attribute(type, 1);
    this.bytes[at] = value;
  }

  u32(type: number, value: number): void {
    const at = this.attribute(type, 4);
    this.words[at >> 2] = value;
  }

  /** In network order. */
  u32be(type: number, value: number): void {
    const at = this.attribute(type, 4);
    this.bytes.writeUInt32BE(value >>> 0, at);
  }

  /** Throws RangeError for one that is too long. */
  value(type: number, value: Uint8Array): void {
    const at = this.attribute(type, value.length);
    this.bytes.set(value, at);
  }

  /** With the NUL that the kernel expects behind a name. */
  text(type: number, text: string): void {
    const length = Buffer.byteLength(text);
    const at = this.attribute(type, length + 1);
    this.bytes.write(text, at);
  }

  /** Begins an attribute of attributes. Gives what close() wants. */
  open(type: number): number {
    return this.attribute(type, 0) - ATTRIBUTE_HEADER_BYTES;
  }

  /** Throws RangeError when it has become too long. */
  close(nest: number): void {
    const length = this.end - nest;
    if (length > ATTRIBUTE_BYTES_MAX) throw new RangeError(`an attribute of ${length} bytes`);
    this.shorts[nest >> 1] = length;
  }

  get capacity(): number {
    return this.bytes.length;
  }

  /** How many bytes there are. */
  get length(): number {
    return this.end;
  }

  /** What was written between two places, until it is written over. */
  slice(from: number, to: number): Buffer {
    return this.bytes.subarray(from, to);
  }

  /** Begins again. */
  clear(): void {
    this.end = 0;
  }

  /** An attribute's header, and room for its value. Gives where its value belongs. */
  private attribute(type: number, valueBytes: number): number {
    const length = ATTRIBUTE_HEADER_BYTES + valueBytes;
    if (length > ATTRIBUTE_BYTES_MAX) throw new RangeError(`an attribute of ${length} bytes`);
    const at = this.take(aligned(length));
    // padding, and the NUL of a text
    this.words[(this.end >> 2) - 1] = 0;
    this.shorts[at >> 1] = length;
    this.shorts[(at >> 1) + 1] = type;
    return at + ATTRIBUTE_HEADER_BYTES;
  }

  private take(bytes: number): number {
    const at = this.end;
    this.end += bytes;
    if (this.end > this.bytes.length) this.grow();
    return at;
  }

  private grow(): void {
    const larger = Buffer.from(new ArrayBuffer((Math.max(this.end, 2 * this.bytes.length) + 8) & ~7));
    larger.set(this.bytes);
    this.bytes = larger;
    this.shorts = new Uint16Array(larger.buffer);
    this.words = new Uint32Array(larger.buffer);
  }
}

/** A writer for the time of a call: kept for the next, unless it has become large. */
export function borrowWriter(): MessageWriter {
  return spare.pop() ?? new MessageWriter();
}

export function returnWriter(writer: MessageWriter): void {
  writer.clear();
  if (writer.capacity <= FIRST_BYTES) spare.push(writer);
}

const spare: MessageWriter[] = [];
