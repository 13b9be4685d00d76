/** Interfaces and their addresses, as EC2 keeps them. Every change here is one that a request of the account has paid for. */
import { Ec2Error } from "./account.ts";
import type { InstanceType } from "./instance-types.ts";
import { BLOCK_SIZE, type SimSubnet } from "./subnet.ts";

export type SimInterface = {
  readonly id: string;
  readonly mac: string;
  readonly instance: SimInstance;
  readonly isPrimary: boolean;
  /** The interface's own address, which no pod gets. */
  readonly own: number;
  readonly singles: Set<number>;
  /** First addresses of /28s. */
  readonly blocks: Set<number>;
  /** What an operator of ours wrote on it; empty for others. */
  readonly token: string;
  /** Undefined while it is not attached. */
  deviceIndex: number | undefined;
};

export type SimInstance = {
  readonly index: number;
  readonly id: string;
  readonly type: InstanceType;
  readonly subnet: SimSubnet;
  readonly interfaces: Set<SimInterface>;
};

/** Told of every change of what a node holds for its pods. */
export type HeldListener = (instance: SimInstance, change: number) => void;

export type UnitCount = { readonly singles: number; readonly blocks: number };

export class Ec2 {
  private readonly held: HeldListener;
  private serial = 0;

  constructor(held: HeldListener) {
    this.held = held;
  }

  /** An instance with its primary interface. Needs no request: an autoscaler made them. */
  launch(index: number, type: InstanceType, subnet: SimSubnet): SimInstance {
    const id = `i-${index.toString(16).padStart(8, "0")}`;
    const instance: SimInstance = { index, id, type, subnet, interfaces: new Set() };
    this.make(instance, { singles: 0, blocks: 0 }, true, "").deviceIndex = 0;
    return instance;
  }

  /** In the instance's subnet; not attached yet. The same token gives the same interface. */
  create(instance: SimInstance, units: UnitCount, token: string): SimInterface {
    const earlier = token === "" ? undefined : [...instance.interfaces].find((one) => one.token === token);
    return earlier ?? this.make(instance, units, false, token);
  }

  attach(one: SimInterface): void {
    const { instance } = one;
    const taken = [...instance.interfaces].flatMap(({ deviceIndex }) => deviceIndex ?? []);
    if (taken.length >= instance.type.interfacesMax) throw new Ec2Error("InvalidParameterValue");
    let index = 1;
    while (taken.includes(index)) index += 1;
    one.deviceIndex = index;
  }

  detach(one: SimInterface): void {
    one.deviceIndex = undefined;
  }

  delete(one: SimInterface): void {
    if (!one.instance.interfaces.has(one)) throw new Ec2Error("InvalidNetworkInterfaceID.NotFound");
    if (one.deviceIndex !== undefined) throw new Ec2Error("NetworkInterfaceInUse");
    this.unassign(one, [...one.singles], [...one.blocks]);
    one.instance.subnet.giveSingle(one.own);
    one.instance.interfaces.delete(one);
  }

  assign(one: SimInterface, { singles, blocks }: UnitCount): { singles: number[]; blocks: number[] } {
    const { instance } = one;
    const slots = instance.type.addressesPerInterface - 1;
    if (one.singles.size + one.blocks.size + singles + blocks > slots)
      throw new Ec2Error("PrivateIpAddressLimitExceeded");
    if (singles > instance.subnet.freeCount) throw new Ec2Error("InsufficientFreeAddressesInSubnet");
    const given = {
      blocks: instance.subnet.takeBlocks(blocks),
      singles: instance.subnet.takeSingles(singles),
    };
    for (const address of given.singles) one.singles.add(address);
    for (const first of given.blocks) one.blocks.add(first);
    this.held(instance, singles + blocks * BLOCK_SIZE);
    return given;
  }

  /** What it does not have is left out. */
  unassign(one: SimInterface, singles: readonly number[], blocks: readonly number[]): void {
    const { instance } = one;
    for (const address of singles) {
      if (!one.singles.delete(address)) continue;
      instance.subnet.giveSingle(address);
      this.held(instance, -1);
    }
    for (const first of blocks) {
      if (!one.blocks.delete(first)) continue;
      instance.subnet.giveBlock(first);
      this.held(instance, -BLOCK_SIZE);
    }
  }

  private make(instance: SimInstance, units: UnitCount, isPrimary: boolean, token: string): SimInterface {
    const [own] = instance.subnet.takeSingles(1) as [number];
    const serial = (this.serial++).toString(16).padStart(8, "0");
    const one: SimInterface = {
      id: `eni-${serial}`,
      mac: `02:00:${serial.match(/../g)?.join(":")}`,
      instance,
      isPrimary,
      own,
      singles: new Set(),
      blocks: new Set(),
      token,
      deviceIndex: undefined,
    };
    try {
      this.assign(one, units);
    } catch (error) {
      instance.subnet.giveSingle(own);
      throw error;
    }
    instance.interfaces.add(one);
    return one;
  }
}

/** True when that address is on the interface for pods. */
export function carries(one: SimInterface, address: number): boolean {
  return one.singles.has(address) || one.blocks.has(address - (address % BLOCK_SIZE));
}
