/**
 * Where an embedded cloud's control plane meets its data plane. The control plane decides what exists and which addresses each
 * interface has; the data plane (network namespaces) carries exactly that, and drops and counts everything else.
 */
import type { InterfaceId, MacAddress, SubnetId } from "../../common/ids.ts";
import type { Cidr } from "../../common/ip.ts";

export type SubnetSpec = {
  readonly id: SubnetId;
  readonly zone: string;
  readonly ipv4: Cidr;
  readonly ipv6: Cidr;
};

export type NetworkSpec = {
  readonly id: string;
  readonly cidrs: readonly Cidr[];
  readonly subnets: readonly SubnetSpec[];
};

/** One interface plugged into an instance. */
export type PortSpec = {
  readonly interfaceId: InterfaceId;
  readonly mac: MacAddress;
  readonly subnetId: SubnetId;
  /** The instance whose namespace the link appears in. */
  readonly instance: string;
  /** Name of the link in the instance: `eth0`, `eth1`, … */
  readonly linkName: string;
};

export interface DataPlane {
  /** The link appears in the instance, down and without addresses, as a hot-plugged NIC does. */
  plug(port: PortSpec): void;
  /** The link goes. Idempotent. */
  unplug(interfaceId: InterfaceId): void;
  /** From now on exactly these addresses and blocks are delivered to the interface, and accepted from it as sources. */
  deliver(interfaceId: InterfaceId, units: readonly Cidr[]): void;
  /** Public IPv4 addresses translated 1:1 to an interface's primary private address, both ways. */
  publish(publicAddress: string, privateAddress: string): void;
}

/** A control plane without a network below it: for tests of the API alone. */
export const noDataPlane: DataPlane = {
  plug: () => undefined,
  unplug: () => undefined,
  deliver: () => undefined,
  publish: () => undefined,
};
