/**
 * A seeded source of choices: two runs with one seed make the same ids and pick the same addresses. mulberry32 by Tommy Ettinger
 * (public domain); good enough to look random, worthless as a secret.
 */
export class SeededRandom {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** An integer from 0 to 2^32 - 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** An integer from 0 to `end` - 1. */
  below(end: number): number {
    return this.next() % end;
  }

  /** That many random bits as an unsigned integer. */
  bits(count: number): bigint {
    let value = 0n;
    for (let have = 0; have < count; have += 32) value = (value << 32n) | BigInt(this.next());
    return value & ((1n << BigInt(count)) - 1n);
  }

  /** That many lower-case hex digits. */
  hex(digits: number): string {
    return this.bits(digits * 4)
      .toString(16)
      .padStart(digits, "0");
  }
}
