import type { InstanceId } from "../../../../common/ids.ts";
import { IpAddress } from "../../../../common/ip.ts";
import type { Account } from "./account.ts";
import { newAttachment } from "./attach.ts";
import { createInterface } from "./create-interface.ts";
import { getInstanceType } from "./instance-types.ts";
import { checkUnitLimit } from "./limits.ts";
import type { Instance, NetworkInterface } from "./resources.ts";
import { countAsked, type UnitRequest } from "./unit-request.ts";

export type LaunchRequest = {
  readonly subnetId: string;
  readonly type: string;
  /** What the data plane calls the instance; its id when absent. */
  readonly name?: string;
  /** The primary interface's own address; any free one when absent. */
  readonly primaryIpv4?: string;
  /** Secondary addresses and prefixes of the primary interface from the start. */
  readonly ipv4?: UnitRequest;
  /** One address when absent: EC2 gives it where the subnet assigns IPv6 on creation. */
  readonly ipv6?: UnitRequest;
  /** Translated 1:1 to the primary address. */
  readonly publicIpv4?: string;
  readonly groupIds?: readonly string[];
  readonly tags?: Readonly<Record<string, string>>;
  /** Of the primary interface. */
  readonly interfaceTags?: Readonly<Record<string, string>>;
};

/** What RunInstances leaves behind: a running instance whose primary interface is attached as device 0 of card 0, its link there. */
export function launchInstance(account: Account, request: LaunchRequest): Instance {
  const subnet = account.getSubnet(request.subnetId);
  const id = account.newId("i") as InstanceId;
  const instance: Instance = {
    id,
    name: request.name ?? id,
    type: getInstanceType(request.type),
    subnet,
    launchTime: account.timers.now(),
    tags: new Map(Object.entries(request.tags ?? {})),
    state: "running",
  };
  const { ipv4 = {}, ipv6 = { addressCount: 1 } } = request;
  checkUnitLimit(instance, { ipv4: 1 + countAsked(ipv4), ipv6: countAsked(ipv6) });
  const primary = createInterface(account, {
    subnetId: subnet.id,
    primaryIpv4: request.primaryIpv4,
    ipv4,
    ipv6,
    groupIds: request.groupIds ?? [],
    tags: new Map(Object.entries(request.interfaceTags ?? {})),
  });
  account.instances.set(id, instance);
  attachPrimary(account, instance, primary, request.publicIpv4);
  return instance;
}

function attachPrimary(
  account: Account,
  instance: Instance,
  primary: NetworkInterface,
  publicIpv4: string | undefined,
): void {
  if (publicIpv4 !== undefined) primary.publicIpv4 = IpAddress.parse(publicIpv4);
  primary.attachment = { ...newAttachment(account, instance, 0, 0), deleteOnTermination: true };
  account.plug(primary);
}

/** The primary interface of an instance. */
export function primaryOf(account: Account, instance: Instance): NetworkInterface {
  const found = account
    .interfacesOf(instance.id)
    .find(({ attachment }) => attachment?.deviceIndex === 0 && attachment.cardIndex === 0);
  if (found === undefined) throw new Error(`instance ${instance.id} has no primary interface`);
  return found;
}

/** StopInstances: its interfaces stay attached. */
export function stopInstance(account: Account, id: string): void {
  account.getInstance(id).state = "stopped";
  account.changed();
}

/** TerminateInstances: interfaces with delete-on-termination go, the others become available. */
export function terminateInstance(account: Account, id: string): void {
  const instance = account.getInstance(id);
  instance.state = "terminated";
  for (const networkInterface of account.interfacesOf(instance.id)) {
    const goes = networkInterface.attachment?.deleteOnTermination === true;
    account.unplug(networkInterface);
    delete networkInterface.attachment;
    if (goes) account.interfaces.delete(networkInterface.id);
  }
  account.changed();
}
