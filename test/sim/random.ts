/** Repeatable chance: the same seed gives the same numbers on every machine. */

/** A quantity that varies: half are below the median, one in a hundred above p99. Log-normal, as times of remote calls are. */
export type Spread = { readonly median: number; readonly p99: number };

/** How many standard deviations the 99th percentile of a normal distribution is from its middle. */
const SIGMAS_AT_P99 = 2.3263;

/** mulberry32: 32 bits of state, which is enough for arrivals and latencies. */
export class Random {
  private state: number;

  constructor(...seed: readonly (number | string)[]) {
    this.state = hash(seed.join("/"));
  }

  /** At least 0, below 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** A whole number, both ends included. */
  whole(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  spread({ median, p99 }: Spread): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
    return median * Math.exp((Math.log(p99 / median) / SIGMAS_AT_P99) * normal);
  }

  /** Times between things that happen independently of each other. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }
}

/** FNV-1a, then mixed: seeds that differ in one digit have nothing in common. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1)
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
