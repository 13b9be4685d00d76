/** The cloud as our daemon sees it, on the account that all nodes share: each call makes the requests that the AWS adapter makes. */
import {
  DEFAULT_POOL,
  type InstanceId,
  type InterfaceId,
  type MacAddress,
  type SubnetId,
} from "../../../common/ids.ts";
import { Cidr, IpAddress } from "../../../common/ip.ts";
import { CALL_COSTS } from "../../../providers/aws/call-costs.ts";
import { CloudError, type CloudErrorCode } from "../../../providers/errors.ts";
import type {
  Capabilities,
  CloudInterface,
  CloudNetwork,
  CloudView,
  CreateInterface,
  NodeIdentity,
  UnitRequest,
} from "../../../providers/provider.ts";
import { type Account, type Action, Ec2Error, type Ec2ErrorCode, type RetryPolicy } from "../account.ts";
import type { Ec2, SimInstance, SimInterface } from "../ec2.ts";
import type { SimSubnet } from "../subnet.ts";
import type { VirtualClock } from "../virtual-clock.ts";
import { cost, requestsOf } from "./requests.ts";

/** providers/aws/client.ts: three attempts, 200 ms at first, for what may be done twice; one for what may not. */
const SAFE: RetryPolicy = { attempts: 3, pauseMs: 200 };
const ONCE: RetryPolicy = { attempts: 1, pauseMs: 0 };
/** How long what the metadata told of subnets and the network at the start stands, and then what describe() read of them (providers/aws/network-facts.ts). */
const START_MS = 300_000;
const REFRESH_AFTER_MS = 1_800_000;
/** How long an answer of describe() spares another look (providers/aws/node.ts). */
const FRESH_MS = 60_000;
/** Looks at what an assignment added, one more behind each; after the last the reply is believed (providers/aws/assign-units.ts). */
const LOOK_PAUSES_MS = [200, 400, 800, 1_600];

const CODES: Readonly<Record<Ec2ErrorCode, CloudErrorCode>> = {
  InsufficientCidrBlocks: "no-free-block",
  InsufficientFreeAddressesInSubnet: "subnet-exhausted",
  "InvalidNetworkInterfaceID.NotFound": "not-found",
  InvalidParameterValue: "conflict",
  NetworkInterfaceInUse: "conflict",
  PrivateIpAddressLimitExceeded: "limit-reached",
  RequestLimitExceeded: "throttled",
};

export type OurNetworkOptions = {
  readonly account: Account;
  readonly ec2: Ec2;
  readonly clock: VirtualClock;
  readonly instance: SimInstance;
  /** A device of the instance has shown. */
  readonly deviceShows: (one: SimInterface) => void;
};

export class OurNetwork implements CloudNetwork {
  readonly name = "aws";
  private readonly options: OurNetworkOptions;
  private readonly subnet: CloudInterface["subnet"];
  /** Interfaces whose device shows. */
  private readonly shown = new Set<SimInterface>();
  private refreshAt: number;
  private describedAt = Number.NEGATIVE_INFINITY;
  private hasWrittenToPrimary = false;
  private hasCreated = false;

  constructor(options: OurNetworkOptions) {
    this.options = options;
    const { subnet } = options.instance;
    this.refreshAt = options.clock.now() + START_MS;
    this.subnet = { id: subnet.id as SubnetId, zone: "zone-a", ipv4: subnetCidr(subnet) };
    for (const one of options.instance.interfaces) if (one.isPrimary) this.shown.add(one);
  }

  async identify(): Promise<NodeIdentity> {
    const { instance } = this.options;
    const primary = [...instance.interfaces].find(({ isPrimary }) => isPrimary);
    return {
      instanceId: instance.id as InstanceId,
      instanceType: instance.type.name,
      region: "region",
      zone: "zone-a",
      primaryMac: (primary?.mac ?? "") as MacAddress,
    };
  }

  /** From the adapter's table of instance types. */
  async capabilities(): Promise<Capabilities> {
    const { interfacesMax, addressesPerInterface } = this.options.instance.type;
    return {
      cards: [{ index: 0, interfacesMax }],
      skippedCards: [],
      unitsPerInterface: { 4: addressesPerInterface - 1, 6: addressesPerInterface },
      unitLengths: { 4: [32, 28], 6: [128, 80] },
      canAddInterfaces: true,
      canReleaseUnits: true,
    };
  }

  async describe(): Promise<CloudView> {
    const { clock, instance } = this.options;
    const isDue = clock.now() > this.refreshAt;
    await this.pay(requestsOf(CALL_COSTS[isDue ? "describeRefresh" : "describe"]));
    if (isDue) this.refreshAt = clock.now() + REFRESH_AFTER_MS;
    this.describedAt = clock.now();
    return { interfaces: [...instance.interfaces].map((one) => this.view(one)), networkCidrs: [NETWORK] };
  }

  /** The daemon's process is another one, which knows nothing. */
  forget(): void {
    this.refreshAt = this.options.clock.now() + START_MS;
    this.describedAt = Number.NEGATIVE_INFINITY;
    this.hasCreated = false;
  }

  /** Metadata costs nothing. */
  async glance(): Promise<string | undefined> {
    const shown = [...this.options.instance.interfaces].filter((one) => this.shown.has(one));
    return shown.map((one) => [one.id, ...one.singles, ...one.blocks].join(" ")).join("\n");
  }

  async createInterface(request: CreateInterface): Promise<CloudInterface> {
    const { ec2, instance, account, clock, deviceShows } = this.options;
    if (!this.hasCreated) await this.pay(requestsOf(CALL_COSTS.createFirst, CALL_COSTS.create));
    this.hasCreated = true;
    const one = await this.request("CreateNetworkInterface", SAFE, () =>
      ec2.create(instance, unitCount(request.units), request.token),
    );
    if (one.deviceIndex === undefined) {
      await this.request("AttachNetworkInterface", ONCE, () => ec2.attach(one));
      clock.after(account.deviceDelayMs(), () => {
        this.shown.add(one);
        deviceShows(one);
      });
    }
    await this.pay(requestsOf(CALL_COSTS.create, cost("CreateNetworkInterface", "AttachNetworkInterface")));
    // the creating call takes units of one size
    if (new Set(request.units.map(({ prefixLength }) => prefixLength)).size > 1)
      await this.pay(requestsOf(CALL_COSTS.assign));
    return this.view(one);
  }

  async deleteInterface(id: InterfaceId): Promise<void> {
    const { ec2 } = this.options;
    const one = this.find(id);
    const costs = CALL_COSTS[this.isFresh() ? "deleteFresh" : "delete"];
    await this.pay(requestsOf(costs, cost("DetachNetworkInterface", "DeleteNetworkInterface")));
    await this.request("DetachNetworkInterface", SAFE, () => ec2.detach(one));
    this.shown.delete(one);
    await this.request("DeleteNetworkInterface", SAFE, () => ec2.delete(one));
  }

  async assignUnits(id: InterfaceId, requests: readonly UnitRequest[]): Promise<readonly Cidr[]> {
    const one = this.find(id);
    if (one.isPrimary && !this.hasWrittenToPrimary) await this.recordForeign();
    this.hasWrittenToPrimary ||= one.isPrimary;
    const given: Cidr[] = [];
    let failure: CloudError | undefined;
    for (const request of requests) {
      try {
        given.push(...(await this.assign(one, request)));
      } catch (error) {
        if (!(error instanceof CloudError)) throw error;
        failure = error;
        break;
      }
    }
    // one look for all that EC2 has confirmed
    if (given.length > 0) await this.lookAt(requestsOf(CALL_COSTS.assign, cost("AssignPrivateIpAddresses")));
    if (failure !== undefined) throw failure.afterAdding(given);
    return given;
  }

  async releaseUnits(id: InterfaceId, units: readonly Cidr[]): Promise<void> {
    const one = this.find(id);
    const firsts = (length: number) =>
      units.filter(({ prefixLength }) => prefixLength === length).map(({ first }) => Number(first.value));
    await this.pay(requestsOf(CALL_COSTS.release, cost("UnassignPrivateIpAddresses")));
    await this.request("UnassignPrivateIpAddresses", SAFE, () =>
      this.options.ec2.unassign(one, firsts(32), firsts(28)),
    );
  }

  async removeLeaks(): Promise<readonly InterfaceId[]> {
    await this.pay(requestsOf(CALL_COSTS.sweep));
    return [];
  }

  private async assign(one: SimInterface, request: UnitRequest): Promise<readonly Cidr[]> {
    const given = await this.request("AssignPrivateIpAddresses", ONCE, () =>
      this.options.ec2.assign(one, unitCount([request])),
    );
    return [
      ...given.singles.map((single) => cidr(single, 32)),
      ...given.blocks.map((first) => cidr(first, 28)),
    ];
  }

  /** Before the first assignment to a primary: with a look when the last one is too old. */
  private async recordForeign(): Promise<void> {
    if (!this.isFresh()) await this.pay(requestsOf(CALL_COSTS.describe));
    await this.pay(requestsOf(CALL_COSTS.assignFirst, CALL_COSTS.assign));
  }

  private isFresh(): boolean {
    return this.options.clock.now() - this.describedAt < FRESH_MS;
  }

  private find(id: InterfaceId): SimInterface {
    const one = [...this.options.instance.interfaces].find((candidate) => candidate.id === id);
    if (one === undefined) throw new CloudError("not-found", `there is no ${id}`, { operation: "find" });
    return one;
  }

  /** A look that is refused shows nothing, and the next one may. */
  private async lookAt(actions: readonly Action[]): Promise<void> {
    for (const pauseMs of [...LOOK_PAUSES_MS, 0]) {
      try {
        return await this.pay(actions);
      } catch {
        await this.options.clock.sleep(pauseMs);
      }
    }
  }

  private async pay(actions: readonly Action[]): Promise<void> {
    for (const action of actions) await this.request(action, SAFE, () => undefined);
  }

  private async request<T>(action: Action, retries: RetryPolicy, act: () => T): Promise<T> {
    try {
      return await this.options.account.call(action, retries, act);
    } catch (error) {
      if (!(error instanceof Ec2Error)) throw error;
      const subnetIds = [this.subnet.id];
      throw new CloudError(CODES[error.code], error.code, {
        operation: action,
        cloudCode: error.code,
        subnetIds,
      });
    }
  }

  private view(one: SimInterface): CloudInterface {
    const isAttached = one.deviceIndex !== undefined;
    return {
      id: one.id as InterfaceId,
      mac: one.mac as MacAddress,
      subnet: this.subnet,
      isPrimary: one.isPrimary,
      ownership: one.isPrimary ? "shared" : "ours",
      state: !isAttached ? "detached" : this.shown.has(one) ? "attached" : "attaching",
      ...(one.deviceIndex === undefined ? {} : { deviceIndex: one.deviceIndex }),
      cardIndex: 0,
      own: [address(one.own)],
      units: [
        ...[...one.singles].map((single) => cidr(single, 32)),
        ...[...one.blocks].map((first) => cidr(first, 28)),
      ].sort((a, b) => a.compare(b)),
      foreignUnits: [],
      gateways: { 4: address(one.instance.subnet.first + 1) },
      poolKey: DEFAULT_POOL,
    };
  }
}

const NETWORK = Cidr.parse("10.0.0.0/8");

function address(value: number): IpAddress {
  return IpAddress.fromValue(4, BigInt(value));
}

function cidr(first: number, prefixLength: number): Cidr {
  return Cidr.of(address(first), prefixLength);
}

function subnetCidr({ first, prefixLength }: SimSubnet): Cidr {
  return cidr(first, prefixLength);
}

function unitCount(units: readonly UnitRequest[]): { readonly singles: number; readonly blocks: number } {
  const count = (length: number) =>
    units.filter(({ prefixLength }) => prefixLength === length).reduce((sum, one) => sum + one.count, 0);
  return { singles: count(32), blocks: count(28) };
}
