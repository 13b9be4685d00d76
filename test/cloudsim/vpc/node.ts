import { writeFileSync } from "node:fs";
import type { IpAddress } from "../../../common/ip.ts";
import { inNetns } from "../probe/netns-window.ts";
import { ipBatch, runIn } from "./commands.ts";
import { ROUTER_IPV6 } from "./fabric.ts";

/** What a machine is like before anything of ours runs on it. */
export type NodeProfile = {
  /** rp_filter of `all`, `default` and every link. Distributions ship each of them; new namespaces have 0, which hides much. */
  readonly rpFilter: 0 | 1 | 2;
  /** Policy of the xtables FORWARD chain, both families; docker, ufw and firewalld set DROP. */
  readonly forward: "accept" | "drop";
};

/** As most distributions are: strict, and forwarding nothing. */
export const HOSTILE: NodeProfile = { rpFilter: 1, forward: "accept" };

/** Makes a fresh namespace such a machine: loopback, no forwarding, and its profile. */
export function applyProfile(netnsPath: string, profile: NodeProfile): void {
  inNetns(netnsPath, () => {
    for (const scope of ["all", "default"]) {
      writeFileSync(`/proc/sys/net/ipv4/conf/${scope}/rp_filter`, String(profile.rpFilter));
    }
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "0");
    writeFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "0");
    // kube-proxy's wish for larger tables is not granted in a namespace; answers to many probes are not to be held back
    writeFileSync("/proc/sys/net/ipv4/icmp_ratelimit", "0");
    writeFileSync("/proc/sys/net/ipv6/icmp/ratelimit", "0");
  });
  ipBatch(netnsPath, ["link set lo up"]);
  if (profile.forward === "drop") setForwardPolicy(netnsPath, "DROP");
}

/** Policy of the xtables FORWARD chain, both families, by iptables-nft. */
export function setForwardPolicy(netnsPath: string, policy: "ACCEPT" | "DROP"): void {
  for (const command of ["iptables-nft", "ip6tables-nft"])
    runIn(netnsPath, [command, "-w", "-P", "FORWARD", policy]);
}

/** The address that DHCP gives an interface, and its subnet. */
export type BootAddress = {
  readonly ipv4: IpAddress;
  readonly prefixLength: number;
  readonly ipv6?: IpAddress;
};

/**
 * Configures the primary interface as DHCP and the router's advertisements do: the address with its subnet, a /128 in
 * IPv6, both default routes in main. Link-local detection of duplicates is over on a machine that has been up a while.
 */
export function bootPrimary(netnsPath: string, linkName: string, address: BootAddress): void {
  inNetns(netnsPath, () => {
    writeFileSync(`/proc/sys/net/ipv6/conf/${linkName}/accept_dad`, "0");
    writeFileSync(`/proc/sys/net/ipv6/conf/${linkName}/accept_ra`, "1");
  });
  const ipv6 = [
    `address add ${address.ipv6}/128 dev ${linkName} nodad`,
    // as networkd does it: 1024 is the kernel's own, and an equal route there would stop its advertisement from being taken
    `route add ::/0 via ${ROUTER_IPV6} dev ${linkName} metric 512`,
  ];
  ipBatch(netnsPath, [
    `address add ${address.ipv4}/${address.prefixLength} dev ${linkName}`,
    `link set ${linkName} up`,
    `route add default via ${gatewayOf(address)} dev ${linkName}`,
    ...(address.ipv6 === undefined ? [] : ipv6),
  ]);
}

/** .1 of the subnet. */
function gatewayOf(address: BootAddress): IpAddress {
  const size = 1n << BigInt(32 - address.prefixLength);
  return address.ipv4.plus(1n - (address.ipv4.value % size));
}

/** A container of docker's shape: behind bridge docker0 with addresses that the VPC does not know. */
export const DOCKER = {
  ipv4: "172.17.0.2",
  bridgeIpv4: "172.17.0.1",
  ipv6: "2001:db8:d0::2",
  bridgeIpv6: "2001:db8:d0::1",
} as const;

/** Puts docker0 on the node, and a container behind it. */
export function addDockerContainer(nodeNetns: string, containerNetns: string, containerName: string): void {
  ipBatch(nodeNetns, [
    "link add docker0 type bridge",
    "link set docker0 addrgenmode none",
    "link set docker0 up",
    `address add ${DOCKER.bridgeIpv4}/16 dev docker0`,
    `address add ${DOCKER.bridgeIpv6}/64 dev docker0 nodad`,
    `link add dock1 type veth peer name eth0 netns ${containerName}`,
    "link set dock1 addrgenmode none master docker0 up",
  ]);
  ipBatch(containerNetns, [
    "link set lo up",
    "link set eth0 addrgenmode none",
    "link set eth0 up",
    `address add ${DOCKER.ipv4}/16 dev eth0`,
    `address add ${DOCKER.ipv6}/64 dev eth0 nodad`,
    `route add default via ${DOCKER.bridgeIpv4}`,
    `route add ::/0 via ${DOCKER.bridgeIpv6}`,
  ]);
}
