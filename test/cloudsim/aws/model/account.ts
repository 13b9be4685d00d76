import type { InstanceId, InterfaceId, SubnetId } from "../../../../common/ids.ts";
import type { Cidr } from "../../../../common/ip.ts";
import type { DataPlane, NetworkSpec } from "../../data-plane.ts";
import { Ec2Error, noSuchInterface } from "./ec2-error.ts";
import { SeededRandom } from "./random.ts";
import type {
  Instance,
  NetworkInterface,
  RouteTable,
  SecurityGroup,
  Subnet,
  Tags,
  Vpc,
  VpcCidr,
} from "./resources.ts";
import { unitsOf } from "./resources.ts";
import { Staleness } from "./staleness.ts";
import type { Timers } from "./timers.ts";

export type AccountOptions = {
  readonly network: NetworkSpec;
  readonly dataPlane: DataPlane;
  readonly timers: Timers;
  readonly seed: number;
  /** How long a link takes to show after AttachNetworkInterface. */
  readonly attachMs: number;
  /** How long it stays after DetachNetworkInterface. */
  readonly detachMs: number;
};

/** A creation that was asked for with a client token: the same token and request give the same interface. */
export type TokenRecord = { readonly request: string; readonly created: NetworkInterface };

/** One account with one VPC: all state, look-ups that throw EC2's NotFound codes, and the way down to the data plane. */
export class Account {
  readonly ownerId = "123456789012";
  readonly vpc: Vpc;
  readonly subnets: readonly Subnet[];
  /** The first is the VPC's default group. */
  readonly groups: SecurityGroup[] = [];
  /** In order of creation, which is the order of every answer. */
  readonly interfaces = new Map<InterfaceId, NetworkInterface>();
  readonly instances = new Map<InstanceId, Instance>();
  readonly tokens = new Map<string, TokenRecord>();
  /** The first is the main one. */
  readonly routeTables: RouteTable[] = [];
  readonly random: SeededRandom;
  /** For what may be switched on and off without a change of ids and addresses: faults, lags, outsiders. */
  readonly sideRandom: SeededRandom;
  /** What describes see when they see the past. */
  readonly staleness: Staleness;
  readonly timers: Timers;
  readonly attachMs: number;
  readonly detachMs: number;
  /** Eventual consistency: interfaces younger than this do not exist for whoever asks. */
  hideYoungMs = 0;
  private readonly dataPlane: DataPlane;
  private readonly delivered = new Map<InterfaceId, string>();
  private readonly watchers: (() => void)[] = [];

  constructor(options: AccountOptions) {
    this.random = new SeededRandom(options.seed);
    this.sideRandom = new SeededRandom(options.seed + 1);
    this.timers = options.timers;
    this.attachMs = options.attachMs;
    this.detachMs = options.detachMs;
    this.dataPlane = options.dataPlane;
    const { network } = options;
    this.vpc = {
      id: network.id,
      ipv4: [],
      ipv6: [],
      tags: new Map(),
    };
    for (const cidr of network.cidrs) this.setVpcCidr(cidr, "associated");
    this.subnets = network.subnets.map((subnet) => ({ ...subnet, tags: new Map(), reservations: [] }));
    this.addRouteTable([], true);
    this.addSecurityGroup("default", "default VPC security group");
    this.staleness = new Staleness(this);
  }

  /** `eu-west-1` of `eu-west-1a`. */
  get region(): string {
    return this.subnets[0]?.zone.slice(0, -1) ?? "us-east-1";
  }

  /** `eni-0123456789abcdef0`: a prefix and 17 hex digits. */
  newId(prefix: string): string {
    return `${prefix}-0${this.random.hex(16)}`;
  }

  getInterface(id: string): NetworkInterface {
    const found = this.interfaces.get(id as InterfaceId);
    if (found === undefined || !this.isVisible(found)) throw noSuchInterface(id);
    return found;
  }

  /** False while the interface is too young to be seen by every part of EC2. */
  isVisible(networkInterface: NetworkInterface): boolean {
    return this.timers.now() - networkInterface.createTime >= this.hideYoungMs;
  }

  getInstance(id: string): Instance {
    const found = this.instances.get(id as InstanceId);
    if (found === undefined) {
      if (!/^i-[0-9a-f]+$/.test(id)) {
        throw new Ec2Error("InvalidInstanceID.Malformed", `Invalid id: "${id}" (expecting "i-...")`);
      }
      throw new Ec2Error("InvalidInstanceID.NotFound", `The instance ID '${id}' does not exist`);
    }
    return found;
  }

  getSubnet(id: string): Subnet {
    const found = this.subnets.find((subnet) => subnet.id === (id as SubnetId));
    if (found === undefined) {
      throw new Ec2Error("InvalidSubnetID.NotFound", `The subnet ID '${id}' does not exist`);
    }
    return found;
  }

  getGroup(id: string): SecurityGroup {
    const found = this.groups.find((group) => group.id === id);
    if (found === undefined) {
      throw new Ec2Error("InvalidGroup.NotFound", `The security group '${id}' does not exist`);
    }
    return found;
  }

  getVpc(id: string): Vpc {
    if (id !== this.vpc.id) {
      throw new Ec2Error("InvalidVpcID.NotFound", `The vpc ID '${id}' does not exist`);
    }
    return this.vpc;
  }

  /** Associates a CIDR with the VPC, or moves one to another state of its association: it stays listed then. */
  setVpcCidr(cidr: Cidr, state: VpcCidr["state"]): void {
    const list = cidr.family === 4 ? this.vpc.ipv4 : this.vpc.ipv6;
    const known = list.find((entry) => entry.cidr.equals(cidr));
    if (known === undefined) list.push({ cidr, state });
    else known.state = state;
    this.changed();
  }

  addSecurityGroup(name: string, description = name): SecurityGroup {
    const group: SecurityGroup = { id: this.newId("sg"), name, description, tags: new Map() };
    this.groups.push(group);
    return group;
  }

  /** A route table for these subnets, which leave the one that they had. */
  addRouteTable(subnetIds: readonly SubnetId[], isMain = false): RouteTable {
    for (const table of this.routeTables) {
      table.subnetIds = table.subnetIds.filter((id) => !subnetIds.includes(id));
    }
    const id = `rtb-0${this.sideRandom.hex(16)}`;
    const table: RouteTable = { id, isMain, tags: new Map(), subnetIds: [...subnetIds] };
    this.routeTables.push(table);
    return table;
  }

  getRouteTable(id: string): RouteTable {
    const found = this.routeTables.find((table) => table.id === id);
    if (found === undefined) {
      throw new Ec2Error("InvalidRouteTableID.NotFound", `The routeTable ID '${id}' does not exist`);
    }
    return found;
  }

  /** The tags of any resource by its id. Throws InvalidID for what cannot be tagged or is not there. */
  tagsOf(id: string): Tags {
    const [kind] = id.split("-");
    if (kind === "eni") return this.getInterface(id).tags;
    if (kind === "i") return this.getInstance(id).tags;
    if (kind === "subnet") return this.getSubnet(id).tags;
    if (kind === "rtb") return this.getRouteTable(id).tags;
    if (kind === "sg") return this.getGroup(id).tags;
    if (kind === "vpc") return this.getVpc(id).tags;
    throw new Ec2Error("InvalidID", `The ID '${id}' is not valid`);
  }

  /** Interfaces with an attachment to the instance, in any status. */
  interfacesOf(instanceId: InstanceId): NetworkInterface[] {
    return [...this.interfaces.values()].filter(({ attachment }) => attachment?.instanceId === instanceId);
  }

  interfacesIn(subnet: Subnet): NetworkInterface[] {
    return [...this.interfaces.values()].filter((networkInterface) => networkInterface.subnet === subnet);
  }

  /** The link of an attached interface appears in its instance, with what it is to receive. */
  plug(networkInterface: NetworkInterface): void {
    const { attachment } = networkInterface;
    if (attachment === undefined || attachment.plugged) return;
    attachment.plugged = true;
    attachment.status = "attached";
    this.dataPlane.plug({
      interfaceId: networkInterface.id,
      mac: networkInterface.mac,
      subnetId: networkInterface.subnet.id,
      instance: this.getInstance(attachment.instanceId).name,
      linkName: `eth${attachment.cardIndex * 100 + attachment.deviceIndex}`,
    });
    this.changed(networkInterface);
    const { publicIpv4, primaryIpv4 } = networkInterface;
    if (publicIpv4 !== undefined) this.dataPlane.publish(publicIpv4.toString(), primaryIpv4.toString());
  }

  /** The link goes. Nothing when it was never there. */
  unplug(networkInterface: NetworkInterface): void {
    if (networkInterface.attachment?.plugged !== true) return;
    networkInterface.attachment.plugged = false;
    this.delivered.delete(networkInterface.id);
    this.dataPlane.unplug(networkInterface.id);
  }

  /** To be called after every change: the network follows, then who watches is told. */
  changed(networkInterface?: NetworkInterface): void {
    if (networkInterface?.attachment?.plugged === true) this.deliver(networkInterface);
    for (const watcher of this.watchers) watcher();
  }

  /** Tells the data plane when the units are not those it was told last. */
  private deliver(networkInterface: NetworkInterface): void {
    const units = unitsOf(networkInterface);
    const text = units.join(" ");
    if (this.delivered.get(networkInterface.id) === text) return;
    this.delivered.set(networkInterface.id, text);
    this.dataPlane.deliver(networkInterface.id, units);
  }

  /** Called after each change of anything. */
  watch(watcher: () => void): void {
    this.watchers.push(watcher);
  }
}
