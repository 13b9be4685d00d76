import type { InterfaceId } from "../../common/ids.ts";
import { type Cidr, IpAddress } from "../../common/ip.ts";
import { CloudError } from "../errors.ts";
import type { CloudOptions } from "../options.ts";
import type {
  Capabilities,
  CloudInterface,
  CloudNetwork,
  CloudView,
  CreateInterface,
  NodeIdentity,
  Ownership,
  UnitRequest,
} from "../provider.ts";
import { FAKE_REGION, FakeCloud, type FakeInstance, type FakeInterface, type FakeSubnet } from "./cloud.ts";

const LEAK_AFTER_MS = 600_000;
const ROUTER_IPV6 = IpAddress.parse("fe80::1");

/** One instance's view of a FakeCloud. Keeps nothing but what is being done: a second one is what a restarted process would have. */
export class FakeNetwork implements CloudNetwork {
  readonly name = "fake";
  private readonly cloud: FakeCloud;
  private readonly instance: FakeInstance;
  private readonly cluster: string;
  private readonly making = new Set<string>();
  private identity: NodeIdentity | undefined;
  private limits: Capabilities | undefined;
  /** When removeLeaks() first saw what is attached nowhere. */
  private looseSince: ReadonlyMap<InterfaceId, number> = new Map();

  constructor(cloud: FakeCloud, instance: FakeInstance, cluster = "test") {
    this.cloud = cloud;
    this.instance = instance;
    this.cluster = cluster;
  }

  async identify(signal: AbortSignal): Promise<NodeIdentity> {
    const { id: instanceId, instanceType, zone, primaryMac } = this.instance;
    const identity = { instanceId, instanceType, region: FAKE_REGION, zone, primaryMac };
    this.identity ??= await this.cloud.call("identify", signal, () => identity);
    return this.identity;
  }

  async capabilities(signal: AbortSignal): Promise<Capabilities> {
    this.limits ??= await this.cloud.call("capabilities", signal, () => this.instance.capabilities);
    return this.limits;
  }

  describe(signal: AbortSignal): Promise<CloudView> {
    return this.cloud.call("describe", signal, () => ({
      interfaces: this.cloud
        .listed()
        .filter((one) => one.instanceId === this.instance.id || this.isLeftOver(one))
        .map((one) => this.view(one)),
      networkCidrs: this.cloud.networkCidrs,
    }));
  }

  /** As metadata is: of this moment, with no lag of lists. */
  glance(signal: AbortSignal): Promise<string> {
    return this.cloud.call("glance", signal, () =>
      this.cloud
        .now()
        .filter((one) => one.instanceId === this.instance.id)
        .map((one) => [one.id, ...one.own, ...one.units].join(" "))
        .join("\n"),
    );
  }

  async createInterface(request: CreateInterface, signal: AbortSignal): Promise<CloudInterface> {
    const { token } = request;
    this.making.add(token);
    try {
      const made = await this.cloud.call("create", signal, () => this.make(request));
      if (made.instanceId !== undefined) return this.view(made);
      return this.view(await this.cloud.call("attach", signal, () => this.attach(made)));
    } finally {
      this.making.delete(token);
    }
  }

  async deleteInterface(id: InterfaceId, signal: AbortSignal): Promise<void> {
    const found = this.cloud.find(id);
    if (found === undefined) return;
    if (this.ownership(found) !== "ours") throw this.cloud.error("not-ours", "delete", `${id} is not ours`);
    await this.cloud.call("detach", signal, () => {
      const { instanceId: _, deviceIndex: __, ...rest } = found;
      this.cloud.put(rest);
    });
    try {
      await this.cloud.call("delete", signal, () => this.cloud.remove(id));
    } catch (error) {
      throw error instanceof CloudError ? error.asUnavailable(`${id} is detached already`) : error;
    }
  }

  async assignUnits(
    id: InterfaceId,
    requests: readonly UnitRequest[],
    signal: AbortSignal,
  ): Promise<readonly Cidr[]> {
    this.writable(id, "assign");
    const added: Cidr[] = [];
    for (const request of requests) {
      try {
        added.push(...(await this.cloud.call("assign", signal, () => this.assign(id, request))));
      } catch (error) {
        throw error instanceof CloudError ? error.afterAdding(added) : error;
      }
    }
    return added;
  }

  async releaseUnits(id: InterfaceId, units: readonly Cidr[], signal: AbortSignal): Promise<void> {
    if (this.cloud.find(id) === undefined || units.length === 0) return;
    const foreign = this.foreignUnits(this.writable(id, "release"));
    const refused = units.find((unit) => foreign.some((other) => other.overlaps(unit)));
    if (refused !== undefined) throw this.cloud.error("not-ours", "release", `${refused} is not ours`);
    const released: Cidr[] = [];
    for (const some of kindsOf(units)) {
      try {
        await this.cloud.call("release", signal, () => this.release(id, some));
        released.push(...some);
      } catch (error) {
        throw error instanceof CloudError ? error.afterReleasing(released) : error;
      }
    }
  }

  async removeLeaks(signal: AbortSignal): Promise<readonly InterfaceId[]> {
    const loose = await this.cloud.call("sweep", signal, () =>
      this.cloud.now().filter((one) => this.isLeak(one)),
    );
    const now = this.cloud.clock.now();
    const seen = new Map(loose.map(({ id }) => [id, this.looseSince.get(id) ?? now]));
    this.looseSince = seen;
    const old = loose.filter(
      (one) => now - (seen.get(one.id) ?? now) >= LEAK_AFTER_MS && !this.hasOwner(one),
    );
    for (const { id } of old) await this.cloud.call("delete", signal, () => this.cloud.remove(id));
    return old.map(({ id }) => id);
  }

  private release(id: InterfaceId, units: readonly Cidr[]): void {
    const one = this.writable(id, "release");
    this.cloud.put({ ...one, units: one.units.filter((unit) => !units.some((gone) => gone.equals(unit))) });
  }

  private assign(id: InterfaceId, request: UnitRequest): readonly Cidr[] {
    const one = this.writable(id, "assign");
    const slots = this.instance.capabilities.unitsPerInterface[request.family];
    const room = slots - one.units.filter((unit) => unit.family === request.family).length;
    if (room <= 0) throw this.cloud.error("limit-reached", "assign", `${id} is full`);
    const count = Math.min(request.count, room);
    const units = this.cloud.take(one.subnet, { ...request, count });
    const foreign = one.owner === "primary" ? { foreign: one.foreign ?? one.units } : {};
    this.cloud.put({ ...one, ...foreign, units: sorted([...one.units, ...units]) });
    return units;
  }

  private make(request: CreateInterface): FakeInterface {
    const earlier = this.cloud.now().find((one) => this.tokenOf(one) === request.token);
    this.removeLeftOvers();
    if (earlier !== undefined) return earlier;
    const { poolKey, cardIndex } = request;
    const onCard = this.cloud
      .now()
      .filter((one) => one.instanceId === this.instance.id && one.cardIndex === cardIndex);
    const card = this.instance.capabilities.cards.find((one) => one.index === cardIndex);
    if (onCard.length >= (card?.interfacesMax ?? 0)) {
      throw this.cloud.error(
        "limit-reached",
        "create",
        `card ${cardIndex} holds ${onCard.length} interfaces`,
      );
    }
    const owner = { cluster: this.cluster, instanceId: this.instance.id, token: request.token };
    const subnetIds = new Set(request.avoid);
    const codes = new Set<string>();
    for (const subnet of this.candidates(request)) {
      try {
        return this.makeIn(subnet, request, { owner, poolKey, cardIndex });
      } catch (error) {
        if (!(error instanceof CloudError) || error.step !== "other-subnet") throw error;
        subnetIds.add(subnet.id);
        codes.add(error.code);
      }
    }
    const code = codes.has("no-free-block") ? "no-free-block" : "subnet-exhausted";
    throw new CloudError(code, "create: no subnet of the choice is left", {
      operation: "create",
      subnetIds: [...subnetIds],
    });
  }

  private candidates({ subnets, avoid }: CreateInterface): readonly FakeSubnet[] {
    const own = this.cloud.now().find(({ mac }) => mac === this.instance.primaryMac)?.subnet;
    const inZone = this.cloud.subnets.filter(({ zone }) => zone === this.instance.zone);
    const chosen =
      subnets.by === "ids"
        ? subnets.ids.map((id) => this.cloud.subnet(id))
        : [...inZone].sort((a, b) => Number(b.id === own?.id) - Number(a.id === own?.id));
    return chosen.filter(({ id }) => !avoid.includes(id));
  }

  private makeIn(
    subnet: FakeSubnet,
    request: CreateInterface,
    fields: Omit<Parameters<FakeCloud["add"]>[0], "subnet">,
  ): FakeInterface {
    const bare = this.cloud.add({ subnet, ...fields });
    try {
      const units = request.units.flatMap((wanted) => this.cloud.take(subnet, wanted));
      return this.cloud.put({ ...bare, units: sorted(units) });
    } catch (error) {
      this.cloud.remove(bare.id);
      throw error;
    }
  }

  /** What died unattached under a token that nobody asks for any more. */
  private removeLeftOvers(): void {
    for (const one of this.cloud.now()) {
      if (this.isLeftOver(one) && !this.making.has(this.tokenOf(one) ?? "")) this.cloud.remove(one.id);
    }
  }

  private attach(made: FakeInterface): FakeInterface {
    const deviceIndex = this.cloud.freeIndex(this.instance, made.cardIndex);
    return this.cloud.put({ ...made, instanceId: this.instance.id, deviceIndex });
  }

  private writable(id: InterfaceId, operation: string): FakeInterface {
    const one = this.cloud.find(id);
    if (one === undefined) throw this.cloud.error("not-found", operation, `there is no interface ${id}`);
    if (this.ownership(one) === "foreign") throw this.cloud.error("not-ours", operation, `${id} is not ours`);
    return one;
  }

  private ownership(one: FakeInterface): Ownership {
    if (one.owner === "primary") return one.instanceId === this.instance.id ? "shared" : "foreign";
    return this.tokenOf(one) === undefined ? "foreign" : "ours";
  }

  /** Which request of this instance made it; undefined for every other interface. */
  private tokenOf({ owner }: FakeInterface): string | undefined {
    if (typeof owner !== "object" || owner.cluster !== this.cluster) return undefined;
    return owner.instanceId === this.instance.id ? owner.token : undefined;
  }

  private foreignUnits(one: FakeInterface): readonly Cidr[] {
    return this.ownership(one) === "ours" ? [] : (one.foreign ?? one.units);
  }

  private isLeak({ instanceId, owner }: FakeInterface): boolean {
    return instanceId === undefined && typeof owner === "object" && owner.cluster === this.cluster;
  }

  private hasOwner({ owner }: FakeInterface): boolean {
    if (typeof owner !== "object" || owner.instanceId === this.instance.id) return false;
    return this.cloud.isRunning(owner.instanceId);
  }

  private isLeftOver(one: FakeInterface): boolean {
    return one.instanceId === undefined && this.ownership(one) === "ours";
  }

  private view(one: FakeInterface): CloudInterface {
    const foreignUnits = this.foreignUnits(one);
    return {
      id: one.id,
      mac: one.mac,
      subnet: one.subnet,
      isPrimary: one.mac === this.instance.primaryMac,
      ownership: this.ownership(one),
      state: one.instanceId === undefined ? "detached" : "attached",
      ...(one.deviceIndex === undefined ? {} : { deviceIndex: one.deviceIndex }),
      cardIndex: one.cardIndex,
      own: one.own,
      units: one.units.filter((unit) => !foreignUnits.some((foreign) => foreign.equals(unit))),
      foreignUnits,
      gateways: { 4: one.subnet.ipv4.first.plus(1), 6: ROUTER_IPV6 },
      poolKey: one.poolKey,
    };
  }
}

/** A cloud of its own with one instance, for running the daemon without an account. */
export function openFake(options: CloudOptions): FakeNetwork {
  const cloud = new FakeCloud({ clock: options.clock });
  return new FakeNetwork(cloud, cloud.launch(), options.cluster);
}

/** As real clouds take them: of one family, addresses or blocks. */
function kindsOf(units: readonly Cidr[]): (readonly Cidr[])[] {
  const kinds = [4, 6].flatMap((family) => [
    units.filter((unit) => unit.family === family && unit.isSingle),
    units.filter((unit) => unit.family === family && !unit.isSingle),
  ]);
  return kinds.filter((some) => some.length > 0);
}

function sorted(units: readonly Cidr[]): Cidr[] {
  return [...units].sort((a, b) => a.compare(b));
}
