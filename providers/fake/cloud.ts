/**
 * A cloud in memory: one network with subnets, instances and interfaces, quotas, delays, lists that lag behind, and faults on demand. Its rules
 * are those that real clouds share; what only one cloud does is for that cloud's emulator.
 */
import { type Clock, systemClock } from "../../common/clock.ts";
import {
  DEFAULT_POOL,
  type InstanceId,
  type InterfaceId,
  type MacAddress,
  type PoolKey,
  parseMac,
  type SubnetId,
} from "../../common/ids.ts";
import { Cidr, type IpAddress } from "../../common/ip.ts";
import { CloudError, type CloudErrorCode } from "../errors.ts";
import type { Capabilities, UnitRequest } from "../provider.ts";
import { freeUnits } from "./free-units.ts";

export type FakeSubnet = {
  readonly id: SubnetId;
  readonly zone: string;
  readonly ipv4: Cidr;
  readonly ipv6: Cidr;
};

/** Whose an interface is, as its tags would say. */
export type FakeOwner =
  | "primary"
  | "stranger"
  | { readonly cluster: string; readonly instanceId: InstanceId; readonly token: string };

export type FakeInterface = {
  readonly id: InterfaceId;
  readonly mac: MacAddress;
  readonly subnet: FakeSubnet;
  readonly owner: FakeOwner;
  readonly poolKey: PoolKey;
  readonly cardIndex: number;
  readonly instanceId?: InstanceId;
  readonly deviceIndex?: number;
  readonly own: readonly IpAddress[];
  readonly units: readonly Cidr[];
  /** On the primary: there before anything was assigned by us. Absent: not recorded yet. */
  readonly foreign?: readonly Cidr[];
};

export type FakeInstance = {
  readonly id: InstanceId;
  readonly instanceType: string;
  readonly zone: string;
  readonly primaryMac: MacAddress;
  readonly capabilities: Capabilities;
};

/** The calls of this cloud, for faults and counts. */
export type FakeOperation =
  | "identify"
  | "capabilities"
  | "describe"
  | "glance"
  | "create"
  | "attach"
  | "detach"
  | "delete"
  | "assign"
  | "release"
  | "sweep";

export type FakeFault = {
  readonly code: CloudErrorCode;
  /** `before` refuses; `after` acts and loses the reply. Default before. */
  readonly when?: "before" | "after";
  /** Default 1. */
  readonly times?: number;
  /** How many calls go well first. Default 0. */
  readonly skip?: number;
};

export type FakeCloudOptions = {
  readonly clock?: Clock;
  readonly subnets?: readonly FakeSubnet[];
  /** How far describe() is behind writes. Default 0. */
  readonly lagMs?: number;
  /** How long every call takes. Default 0. */
  readonly delayMs?: number;
};

export const FAKE_REGION = "fake-1";
const DEFAULT_SUBNET: FakeSubnet = {
  id: "subnet-a" as SubnetId,
  zone: "fake-1a",
  ipv4: Cidr.parse("10.0.0.0/20"),
  ipv6: Cidr.parse("2001:db8:0:a::/64"),
};

const DEFAULT_CAPABILITIES: Capabilities = {
  cards: [{ index: 0, interfacesMax: 3 }],
  skippedCards: [],
  unitsPerInterface: { 4: 9, 6: 9 },
  unitLengths: { 4: [32, 28], 6: [128, 80] },
  canAddInterfaces: true,
  canReleaseUnits: true,
};

export class FakeCloud {
  readonly clock: Clock;
  readonly subnets: readonly FakeSubnet[];
  lagMs: number;
  delayMs: number;
  /** Calls so far, by operation. */
  readonly calls = new Map<FakeOperation, number>();
  private readonly interfaces = new Map<InterfaceId, FakeInterface>();
  private readonly history: { readonly at: number; readonly state: readonly FakeInterface[] }[] = [];
  private readonly faults: {
    readonly operation: FakeOperation;
    readonly fault: FakeFault;
    skip: number;
    left: number;
  }[] = [];
  private readonly running = new Set<InstanceId>();
  private serial = 0;

  constructor(options: FakeCloudOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.subnets = options.subnets ?? [DEFAULT_SUBNET];
    this.lagMs = options.lagMs ?? 0;
    this.delayMs = options.delayMs ?? 0;
    this.remember();
  }

  /** The network's CIDRs: what covers the subnets. */
  get networkCidrs(): readonly Cidr[] {
    return this.subnets.flatMap((subnet) => [subnet.ipv4, subnet.ipv6]);
  }

  /** A new instance with its primary interface, which has `secondary` more IPv4 addresses that are somebody's. */
  launch(
    options: {
      readonly instanceType?: string;
      readonly subnetId?: SubnetId;
      readonly capabilities?: Partial<Capabilities>;
      readonly secondary?: number;
    } = {},
  ): FakeInstance {
    const subnet = this.subnet(options.subnetId ?? this.subnets[0]?.id);
    const id = `i-${this.next()}` as InstanceId;
    const primary = this.add({ subnet, owner: "primary", poolKey: DEFAULT_POOL, cardIndex: 0 });
    const units = this.take(subnet, { family: 4, prefixLength: 32, count: options.secondary ?? 0 });
    this.put({ ...primary, units, instanceId: id, deviceIndex: 0 });
    this.running.add(id);
    return {
      id,
      instanceType: options.instanceType ?? "fake.large",
      zone: subnet.zone,
      primaryMac: primary.mac,
      capabilities: { ...DEFAULT_CAPABILITIES, ...options.capabilities },
    };
  }

  /** The instance ends, and what is attached to it goes with it. */
  terminate({ id }: Pick<FakeInstance, "id">): void {
    this.running.delete(id);
    for (const one of this.now()) if (one.instanceId === id) this.remove(one.id);
  }

  isRunning(id: InstanceId): boolean {
    return this.running.has(id);
  }

  /** Somebody takes every IPv4 address of the subnet that is free. */
  exhaust(id: SubnetId): void {
    const subnet = this.subnet(id);
    const made = this.add({ subnet, owner: "stranger", poolKey: DEFAULT_POOL, cardIndex: 0 });
    const used = this.now().flatMap((one) => [...one.own.map((address) => address.toCidr()), ...one.units]);
    const count = Number(subnet.ipv4.size);
    this.put({ ...made, units: freeUnits(subnet.ipv4, used, { family: 4, prefixLength: 32, count }) });
  }

  /** An interface that somebody else attached to the instance. */
  attachStranger(instance: FakeInstance): FakeInterface {
    const subnet = this.subnet(this.subnets[0]?.id);
    const made = this.add({ subnet, owner: "stranger", poolKey: DEFAULT_POOL, cardIndex: 0 });
    return this.put({ ...made, instanceId: instance.id, deviceIndex: this.freeIndex(instance, 0) });
  }

  /** The next calls of that operation go wrong. Faults of one operation are used up in order. */
  failNext(operation: FakeOperation, fault: FakeFault): void {
    this.faults.push({ operation, fault, skip: fault.skip ?? 0, left: fault.times ?? 1 });
  }

  clearFaults(): void {
    this.faults.length = 0;
  }

  /** Runs one call: delay, faults, effect. */
  async call<T>(operation: FakeOperation, signal: AbortSignal, effect: () => T): Promise<T> {
    this.calls.set(operation, (this.calls.get(operation) ?? 0) + 1);
    try {
      signal.throwIfAborted();
      if (this.delayMs > 0) await this.clock.sleep(this.delayMs, signal);
    } catch (error) {
      throw this.error("unavailable", operation, "given up", error);
    }
    const fault = this.nextFault(operation);
    if (fault !== undefined && fault.when !== "after")
      throw this.error(fault.code, operation, "a fault asked for");
    const result = effect();
    if (fault !== undefined) throw this.error(fault.code, operation, "the reply was lost");
    return result;
  }

  error(code: CloudErrorCode, operation: string, what: string, cause?: unknown): CloudError {
    return new CloudError(code, `${operation}: ${what}`, { operation, cause });
  }

  /** Every interface as it is now, for tests' assertions. */
  now(): readonly FakeInterface[] {
    return [...this.interfaces.values()];
  }

  /** As lists show it: `lagMs` behind. */
  listed(): readonly FakeInterface[] {
    const seenAt = this.clock.now() - this.lagMs;
    const visible = this.history.findLast((entry) => entry.at <= seenAt) ?? this.history[0];
    return visible?.state ?? [];
  }

  find(id: InterfaceId): FakeInterface | undefined {
    return this.interfaces.get(id);
  }

  subnet(id: SubnetId | undefined): FakeSubnet {
    const subnet = this.subnets.find((one) => one.id === id);
    if (subnet === undefined) throw this.error("not-found", "create", `there is no subnet ${id}`);
    return subnet;
  }

  /** A new, detached interface with an address of its own. Throws `subnet-exhausted`. */
  add(fields: Pick<FakeInterface, "subnet" | "owner" | "poolKey" | "cardIndex">): FakeInterface {
    const [own] = this.take(fields.subnet, { family: 4, prefixLength: 32, count: 1 });
    const id = `eni-${this.next()}` as InterfaceId;
    const mac = parseMac(`02:00:00:00:${hexPair(this.serial >> 8)}:${hexPair(this.serial & 0xff)}`);
    return this.put({ ...fields, id, mac, own: own === undefined ? [] : [own.address], units: [] });
  }

  put(one: FakeInterface): FakeInterface {
    this.interfaces.set(one.id, one);
    this.remember();
    return one;
  }

  remove(id: InterfaceId): void {
    this.interfaces.delete(id);
    this.remember();
  }

  /** Free units of the subnet; does not give them to anybody. Throws `subnet-exhausted` or `no-free-block`: all or none, as clouds do. */
  take(subnet: FakeSubnet, request: UnitRequest): Cidr[] {
    const range = request.family === 4 ? subnet.ipv4 : subnet.ipv6;
    const used = this.now().flatMap((one) => [...one.own.map((address) => address.toCidr()), ...one.units]);
    const free = freeUnits(range, used, request);
    if (free.length >= request.count) return free;
    const isBlock = request.family === 4 && request.prefixLength < 32;
    const single = { family: 4, prefixLength: 32, count: 1 } as const;
    const code = isBlock && freeUnits(range, used, single).length > 0 ? "no-free-block" : "subnet-exhausted";
    const what = `${subnet.id} has no ${request.count} free units`;
    throw new CloudError(code, `assign: ${what}`, { operation: "assign", subnetIds: [subnet.id] });
  }

  /** The lowest index that no interface on that card of the instance has. */
  freeIndex(instance: Pick<FakeInstance, "id">, cardIndex: number): number {
    const taken = this.now()
      .filter((one) => one.instanceId === instance.id && one.cardIndex === cardIndex)
      .map((one) => one.deviceIndex);
    let index = cardIndex === 0 ? 0 : 1;
    while (taken.includes(index)) index += 1;
    return index;
  }

  private nextFault(operation: FakeOperation): FakeFault | undefined {
    const entry = this.faults.find((one) => one.operation === operation && one.left > 0);
    if (entry === undefined) return undefined;
    if (entry.skip > 0) {
      entry.skip -= 1;
      return undefined;
    }
    entry.left -= 1;
    return entry.fault;
  }

  private remember(): void {
    const oldest = this.clock.now() - this.lagMs;
    // the newest entry that is old enough stays: it is what lists show
    while ((this.history[1]?.at ?? Number.POSITIVE_INFINITY) <= oldest) this.history.shift();
    this.history.push({ at: this.clock.now(), state: this.now() });
  }

  private next(): string {
    this.serial += 1;
    return this.serial.toString(16).padStart(8, "0");
  }
}

const hexPair = (value: number): string => value.toString(16).padStart(2, "0");
