/** Pods wired by hand, as the product's ADD does it: what packets need of a pod, without leases. */

import { podLinkSysctls } from "../../cni/pod-network.ts";
import { METRIC, POD_GATEWAY_IPV4, POD_GATEWAY_IPV6, PODS_TABLE, PROTOCOL } from "../../common/constants.ts";
import { type MacAddress, parseMac } from "../../common/ids.ts";
import { Cidr, IpAddress } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import type { NetworkStack } from "../../common/kernel/netns.ts";
import type { NftElement } from "../../common/kernel/nft.ts";

/** A pod and where its pieces go. */
export type PodSpec = {
  readonly netnsPath: string;
  readonly linkName: string;
  /** Makes both hardware addresses. */
  readonly number: number;
  /** One of each family at most. */
  readonly addresses: readonly IpAddress[];
  /** IPv4 source of the node towards the pod. */
  readonly nodeAddress: IpAddress;
};

const GATEWAYS = [IpAddress.parse(POD_GATEWAY_IPV4), IpAddress.parse(POD_GATEWAY_IPV6)] as const;
const MTU_BYTES = 1500;
const SCOPE_LINK = 253;

/** The genuine pairs of a pod: its addresses, and its own link-local one. */
export function genuinePairs(pod: PodSpec): NftElement[] {
  const own = [...pod.addresses, linkLocalOf(podMac(pod.number))];
  return own.map((address) => ({ set: "genuine", link: pod.linkName, address }));
}

/** Wires the pod: `unreachable`, pair, parameters, both ends, neighbours, routes. Its genuine pairs are the caller's. */
export function wirePod(kernel: Kernel, pod: PodSpec): void {
  const { host } = kernel;
  for (const address of pod.addresses) host.routes.add(claimed(address));
  using netns = kernel.netns.open(pod.netnsPath);
  const { hostIndex } = host.links.createPair({
    hostName: pod.linkName,
    hostMac: hostMac(pod.number),
    podName: "eth0",
    podMac: podMac(pod.number),
    mtuBytes: MTU_BYTES,
    podNetnsFd: netns.fd,
  });
  configureHostEnd(host, pod, hostIndex);
  netns.run((stack) => configurePodEnd(stack, pod));
}

function configureHostEnd(host: NetworkStack, pod: PodSpec, linkIndex: number): void {
  host.links.change(linkIndex, { addrGenModeNone: true });
  for (const [path, value] of podLinkSysctls(pod.linkName)) host.sysctl.set(path, value);
  host.links.change(linkIndex, { up: true });
  host.addresses.add({ linkIndex, address: GATEWAYS[1], prefixLength: 64, scope: SCOPE_LINK, noDad: true });
  for (const address of [...pod.addresses, linkLocalOf(podMac(pod.number))]) {
    host.neighbours.set({ linkIndex, address, mac: podMac(pod.number) });
  }
  for (const address of pod.addresses) {
    host.routes.add({
      destination: address.toCidr(),
      table: PODS_TABLE,
      type: "unicast",
      protocol: PROTOCOL,
      metric: address.family === 4 ? METRIC.podIpv4 : METRIC.podIpv6,
      linkIndex,
      ...(address.family === 4 ? { preferredSource: pod.nodeAddress } : {}),
    });
  }
}

function configurePodEnd(stack: NetworkStack, pod: PodSpec): void {
  stack.links.change("lo", { up: true });
  stack.links.change("eth0", { addrGenModeNone: true });
  stack.links.change("eth0", { up: true });
  const linkIndex = stack.links.find("eth0")?.index ?? 0;
  const ownLinkLocal = linkLocalOf(podMac(pod.number));
  stack.addresses.add({
    linkIndex,
    address: ownLinkLocal,
    prefixLength: 64,
    scope: SCOPE_LINK,
    noDad: true,
  });
  for (const address of pod.addresses) {
    stack.addresses.add({
      linkIndex,
      address,
      prefixLength: address.toCidr().prefixLength,
      ...(address.family === 6 ? { noDad: true } : {}),
    });
  }
  for (const gateway of GATEWAYS) {
    stack.neighbours.set({ linkIndex, address: gateway, mac: hostMac(pod.number) });
    stack.routes.add({
      destination: Cidr.parse(gateway.family === 4 ? "0.0.0.0/0" : "::/0"),
      table: 254,
      type: "unicast",
      protocol: PROTOCOL,
      metric: gateway.family === 4 ? 0 : METRIC.podIpv6,
      linkIndex,
      gateway,
      onLink: true,
    });
  }
}

function claimed(address: IpAddress): Parameters<NetworkStack["routes"]["add"]>[0] {
  return {
    destination: address.toCidr(),
    table: PODS_TABLE,
    type: "unreachable",
    protocol: PROTOCOL,
    metric: METRIC.claimed,
  };
}

function podMac(number: number): MacAddress {
  return parseMac(`02:ca:05:00:00:${number.toString(16).padStart(2, "0")}`);
}

function hostMac(number: number): MacAddress {
  return parseMac(`02:ca:05:ff:00:${number.toString(16).padStart(2, "0")}`);
}

/** RFC 4291 appendix A: fe80:: and the hardware address with ff:fe in its middle and its universal bit turned. */
function linkLocalOf(mac: MacAddress): IpAddress {
  const bytes = mac.split(":").map((part) => Number.parseInt(part, 16));
  const [first = 0, ...rest] = bytes;
  const id = [first ^ 2, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)];
  return IpAddress.fromBytes(Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, ...id]));
}
