import { Ec2Error } from "./account.ts";
import type { Random } from "./random.ts";

/** A /28, the block that EC2 delegates. */
export const BLOCK_SIZE = 16;
/** EC2 keeps the first four addresses of a subnet and the last one. */
const RESERVED_FIRST = 4;

/**
 * A subnet whose addresses all nodes share. EC2 picks addresses without an order that one could rely on: here at random, so that single addresses
 * fragment a subnet as they do there. Addresses are numbers.
 */
export class SimSubnet {
  readonly id: string;
  readonly first: number;
  readonly prefixLength: number;
  private readonly taken: Uint8Array;
  private readonly takenInBlock: Uint8Array;
  private readonly random: Random;
  private free: number;

  constructor(options: {
    readonly id: string;
    readonly first: number;
    readonly prefixLength: number;
    readonly random: Random;
  }) {
    const size = 2 ** (32 - options.prefixLength);
    this.id = options.id;
    this.first = options.first;
    this.prefixLength = options.prefixLength;
    this.random = options.random;
    this.taken = new Uint8Array(size);
    this.takenInBlock = new Uint8Array(size / BLOCK_SIZE);
    this.free = size;
    for (let offset = 0; offset < RESERVED_FIRST; offset += 1) this.mark(offset);
    this.mark(size - 1);
  }

  get freeCount(): number {
    return this.free;
  }

  /** All or none. Throws Ec2Error `InsufficientFreeAddressesInSubnet`. */
  takeSingles(count: number): number[] {
    if (this.free < count) throw new Ec2Error("InsufficientFreeAddressesInSubnet");
    return Array.from({ length: count }, () => {
      const offset = this.scan(this.taken, (value) => value === 0);
      this.mark(offset);
      return this.first + offset;
    });
  }

  /** Aligned /28s, all or none; gives their first addresses. Throws Ec2Error `InsufficientCidrBlocks`. */
  takeBlocks(count: number): number[] {
    const blocks: number[] = [];
    for (let index = 0; index < count; index += 1) {
      const block = this.scan(this.takenInBlock, (value) => value === 0);
      if (block < 0) {
        for (const first of blocks) this.giveBlock(first);
        throw new Ec2Error("InsufficientCidrBlocks");
      }
      for (let offset = 0; offset < BLOCK_SIZE; offset += 1) this.mark(block * BLOCK_SIZE + offset);
      blocks.push(this.first + block * BLOCK_SIZE);
    }
    return blocks;
  }

  giveSingle(address: number): void {
    this.unmark(address - this.first);
  }

  giveBlock(first: number): void {
    for (let offset = 0; offset < BLOCK_SIZE; offset += 1) this.unmark(first - this.first + offset);
  }

  /** Where it is so, looking from a random place on; -1 when nowhere. */
  private scan(values: Uint8Array, isIt: (value: number) => boolean): number {
    const start = Math.floor(this.random.next() * values.length);
    for (let step = 0; step < values.length; step += 1) {
      const index = (start + step) % values.length;
      if (isIt(values[index] as number)) return index;
    }
    return -1;
  }

  private mark(offset: number): void {
    if (this.taken[offset] !== 0) throw new Error(`${this.id}: address ${offset} is taken twice`);
    this.taken[offset] = 1;
    this.countInBlock(offset, 1);
    this.free -= 1;
  }

  private unmark(offset: number): void {
    if (this.taken[offset] !== 1)
      throw new Error(`${this.id}: address ${offset} is given back but not taken`);
    this.taken[offset] = 0;
    this.countInBlock(offset, -1);
    this.free += 1;
  }

  private countInBlock(offset: number, change: number): void {
    const block = Math.floor(offset / BLOCK_SIZE);
    this.takenInBlock[block] = (this.takenInBlock[block] ?? 0) + change;
  }
}
