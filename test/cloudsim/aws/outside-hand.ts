import type { InstanceId } from "../../../common/ids.ts";
import type { Cidr } from "../../../common/ip.ts";
import type { Account } from "./model/account.ts";
import { assignIpv4, assignIpv6, unassignIpv4, unassignIpv6 } from "./model/assign.ts";
import { attachInterface, detachInterface } from "./model/attach.ts";
import { createInterface } from "./model/create-interface.ts";
import { invalidValue } from "./model/ec2-error.ts";
import { stopInstance, terminateInstance } from "./model/launch.ts";
import type { Instance, NetworkInterface } from "./model/resources.ts";
import { freeIpv4Count, freeIpv4Prefixes, pickIpv4 } from "./model/subnet-addresses.ts";
import type { UnitRequest } from "./model/unit-request.ts";

/**
 * Somebody else in the account: an operator, another controller, the cloud itself. It changes what it likes, without a signature, a call in
 * the log or a token of the account's limits, and is held to the model's rules alone. Throws Ec2Error as the model does.
 */
export class OutsideHand {
  private readonly account: Account;

  constructor(account: Account) {
    this.account = account;
  }

  /** Begins to detach, as DetachNetworkInterface does. */
  detach(interfaceId: string): void {
    const { attachment } = this.account.getInterface(interfaceId);
    if (attachment === undefined) throw invalidValue(`${interfaceId} is not attached`);
    detachInterface(this.account, attachment.id);
  }

  /** Detaches at once, by force, when it must, and deletes. */
  delete(interfaceId: string): void {
    const found = this.account.getInterface(interfaceId);
    this.account.unplug(found);
    delete found.attachment;
    this.account.interfaces.delete(found.id);
    this.account.changed();
  }

  /** Takes units of either family away, in use or not. */
  unassign(interfaceId: string, units: readonly Cidr[]): void {
    const texts = (family: 4 | 6, isSingle: boolean) =>
      units
        .filter((unit) => unit.family === family && unit.isSingle === isSingle)
        .map((unit) => (isSingle ? unit.address.toString() : unit.toString()));
    const four = { addresses: texts(4, true), prefixes: texts(4, false) };
    const six = { addresses: texts(6, true), prefixes: texts(6, false) };
    if (four.addresses.length + four.prefixes.length > 0) unassignIpv4(this.account, interfaceId, four);
    if (six.addresses.length + six.prefixes.length > 0) unassignIpv6(this.account, interfaceId, six);
  }

  /** Adds units that nobody asked us about; gives them. */
  assign(interfaceId: string, family: 4 | 6, request: UnitRequest): readonly Cidr[] {
    const { addresses, prefixes } =
      family === 4
        ? assignIpv4(this.account, interfaceId, request, false)
        : assignIpv6(this.account, interfaceId, request);
    return [...addresses.map((address) => address.toCidr()), ...prefixes];
  }

  /** Adds and overwrites tags of anything. */
  tag(resourceId: string, tags: Readonly<Record<string, string>>): void {
    const target = this.account.tagsOf(resourceId);
    for (const [key, value] of Object.entries(tags)) target.set(key, value);
    this.account.changed();
  }

  untag(resourceId: string, ...keys: readonly string[]): void {
    const target = this.account.tagsOf(resourceId);
    for (const key of keys) target.delete(key);
    this.account.changed();
  }

  /** Creates an interface of somebody's and attaches it, at the first index of card 0 that is free. Default: no tags, the instance's subnet. */
  attach(
    instance: Instance,
    options: { readonly subnetId?: string; readonly tags?: Readonly<Record<string, string>> } = {},
  ): NetworkInterface {
    const { subnetId = instance.subnet.id, tags = {} } = options;
    const taken = this.account
      .interfacesOf(instance.id)
      .filter(({ attachment }) => attachment?.cardIndex === 0)
      .map(({ attachment }) => attachment?.deviceIndex);
    let deviceIndex = 1;
    while (taken.includes(deviceIndex)) deviceIndex += 1;
    const created = createInterface(this.account, { subnetId, tags: new Map(Object.entries(tags)) });
    const place = { interfaceId: created.id, instanceId: instance.id, deviceIndex, cardIndex: 0 };
    attachInterface(this.account, place);
    return created;
  }

  /** The VPC has one CIDR more, at once. */
  addVpcCidr(cidr: Cidr): void {
    this.account.setVpcCidr(cidr, "associated");
  }

  /** And one less; the association stays listed, as disassociated. */
  removeVpcCidr(cidr: Cidr): void {
    this.account.setVpcCidr(cidr, "disassociated");
  }

  stop(instanceId: InstanceId): void {
    stopInstance(this.account, instanceId);
  }

  terminate(instanceId: InstanceId): void {
    terminateInstance(this.account, instanceId);
  }

  /** A terminated instance is no longer known, as about an hour afterwards. */
  forget(instanceId: InstanceId): void {
    if (this.account.getInstance(instanceId).state !== "terminated") {
      throw invalidValue(`${instanceId} is not terminated`);
    }
    this.account.instances.delete(instanceId);
    this.account.changed();
  }

  /** Takes addresses of a subnet until only `free` are left. Gives the interface that has them. */
  fill(subnetId: string, free = 0): NetworkInterface {
    const subnet = this.account.getSubnet(subnetId);
    const addressCount = freeIpv4Count(this.account, subnet) - free - 1;
    if (addressCount < 0) throw invalidValue(`${subnetId} has no more than ${free} free addresses`);
    return createInterface(this.account, { subnetId, description: "filled", ipv4: { addressCount } });
  }

  /** Takes one address, any that EC2 might pick, out of each free /28 outside of reservations, until only `freeBlocks` of them are whole. */
  fragment(subnetId: string, freeBlocks = 0): NetworkInterface {
    const subnet = this.account.getSubnet(subnetId);
    const [primary] = pickIpv4(this.account, subnet, 1);
    const holder = createInterface(this.account, {
      subnetId,
      description: "fragmented",
      primaryIpv4: primary?.toString(),
    });
    const { sideRandom } = this.account;
    for (
      let whole = freeIpv4Prefixes(this.account, subnet);
      whole.length > freeBlocks;
      whole = freeIpv4Prefixes(this.account, subnet)
    ) {
      const block = whole[sideRandom.below(whole.length)] as Cidr;
      const address = block.first.plus(BigInt(sideRandom.below(16))).toString();
      assignIpv4(this.account, holder.id, { addresses: [address] }, false);
    }
    return holder;
  }
}
