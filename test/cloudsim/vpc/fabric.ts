import { writeFileSync } from "node:fs";
import type { InterfaceId } from "../../../common/ids.ts";
import type { Cidr } from "../../../common/ip.ts";
import { IpAddress } from "../../../common/ip.ts";
import type { NetworkSpec, PortSpec } from "../data-plane.ts";
import { inNetns } from "../probe/netns-window.ts";
import { ipBatch, nftLoad, runIn } from "./commands.ts";
import {
  BALANCER_LINK,
  BALANCER_MARK,
  FABRIC_TABLE,
  INTERNET_LINK,
  portTable,
  portTableGone,
  VOID_LINK,
} from "./fabric-table.ts";

/** What a port is called in the fabric, and what it carries now. */
type Port = {
  readonly spec: PortSpec;
  readonly link: string;
  readonly label: string;
  units: readonly Cidr[];
};

/** The router's hardware address on every port, and the next hops that stand for the one interface behind a port. */
const ROUTER_MAC = "02:00:5e:00:00:01";
const NEXT_HOP = { 4: "169.254.255.1", 6: "fe80::ffff" } as const;
/** The VPC router, in IPv6, on every port. */
export const ROUTER_IPV6 = IpAddress.parse("fe80::1");

/** Where AWS's router answers in every subnet, beside an address of its own making that it advertises. */
const ROUTER_IPV6_AWS = IpAddress.parse("fe80:ec2::1");

/** The fabric as the outside sees it, and the outside's own link-local address. */
export const OUTSIDE_GATEWAY = IpAddress.parse("192.0.2.1");
export const OUTSIDE_IPV6 = IpAddress.parse("fe80::2");

const BALANCER_TABLE = 100;

/**
 * The VPC router: one namespace, one port per interface. A unit is assigned when it has a route here: it is delivered
 * by that port to the interface's own hardware address (so nobody has to answer ARP for it), and only by that port may
 * packets with it as source come in.
 */
export class Fabric {
  readonly netnsPath: string;
  readonly #ports = new Map<InterfaceId, Port>();
  readonly #gateways: readonly IpAddress[];
  #made = 0;

  constructor(netnsPath: string, network: NetworkSpec) {
    this.netnsPath = netnsPath;
    this.#gateways = [OUTSIDE_GATEWAY, ...network.subnets.map((subnet) => subnet.ipv4.first.plus(1))];
    inNetns(netnsPath, () => {
      for (const [path, value] of FABRIC_SYSCTLS) writeFileSync(`/proc/sys/net/${path}`, value);
    });
    ipBatch(netnsPath, [
      "link set lo up",
      `link add ${VOID_LINK} type veth peer name ${VOID_LINK}-end`,
      ...[VOID_LINK, `${VOID_LINK}-end`].map((link) => `link set ${link} addrgenmode none up`),
      ...this.#gateways.map((gateway) => `address add ${gateway}/32 dev lo`),
      // what ICMPv6 errors come from; a link-local source would not be forwarded
      ...network.subnets.map((subnet) => `address add ${subnet.ipv6.first.plus(1)}/128 dev lo nodad`),
      ...network.cidrs.map((cidr) => `route add ${cidr} dev ${VOID_LINK}`),
      `rule add pref 100 fwmark ${BALANCER_MARK} lookup ${BALANCER_TABLE}`,
    ]);
    nftLoad(netnsPath, FABRIC_TABLE);
    this.#answer(this.#gateways.map((gateway) => gateway.toCidr()));
  }

  /** Routes of the two links that lead to the world outside; they must exist. */
  openTo(outside: readonly Cidr[]): void {
    const lines = [INTERNET_LINK, BALANCER_LINK].flatMap((link) => [`link set ${link} up`]);
    for (const cidr of outside) {
      const via = cidr.family === 6 ? `via ${OUTSIDE_IPV6} ` : "";
      lines.push(`route add ${cidr} ${via}dev ${INTERNET_LINK}`);
      if (cidr.family === 4) lines.push(`route add ${cidr} dev ${BALANCER_LINK} table ${BALANCER_TABLE}`);
    }
    ipBatch(this.netnsPath, lines);
  }

  /** See DataPlane.plug(). */
  plug(spec: PortSpec, instanceNetns: string): void {
    this.#made += 1;
    const port: Port = {
      spec,
      link: `p${this.#made}`,
      label: `${spec.linkName}/${spec.instance}`,
      units: [],
    };
    this.#ports.set(spec.interfaceId, port);
    const settings = `/proc/sys/net/ipv4/neigh/${port.link}`;
    ipBatch(this.netnsPath, [
      `link add ${port.link} address ${ROUTER_MAC} type veth peer name ${spec.linkName} netns ${instanceNetns} address ${spec.mac}`,
      `link set ${port.link} addrgenmode none`,
      `link set ${port.link} up`,
      `address add ${ROUTER_IPV6}/64 dev ${port.link} nodad`,
      `address add ${ROUTER_IPV6_AWS}/128 dev ${port.link} nodad`,
      `neighbour add ${NEXT_HOP[4]} lladdr ${spec.mac} dev ${port.link} nud permanent`,
      `neighbour add ${NEXT_HOP[6]} lladdr ${spec.mac} dev ${port.link} nud permanent`,
    ]);
    // proxied answers come at once, not after up to 0.8 s
    inNetns(this.netnsPath, () => writeFileSync(`${settings}/proxy_delay`, "0"));
    nftLoad(this.netnsPath, portTable(port.link, port.label));
  }

  /** See DataPlane.unplug(). */
  unplug(interfaceId: InterfaceId): void {
    const port = this.#ports.get(interfaceId);
    if (port === undefined) return;
    this.#ports.delete(interfaceId);
    // it is gone already when the instance is
    runIn(this.netnsPath, ["sh", "-c", `ip link delete ${port.link} 2>/dev/null || true`]);
    nftLoad(this.netnsPath, portTableGone(port.link, port.label));
    this.#answer(this.#answered());
  }

  /** See DataPlane.deliver(). */
  deliver(interfaceId: InterfaceId, units: readonly Cidr[]): void {
    const port = this.#ports.get(interfaceId);
    if (port === undefined) throw new RangeError(`no port of ${interfaceId}`);
    const gone = port.units.filter((unit) => !units.some((other) => other.equals(unit)));
    const added = units.filter((unit) => !port.units.some((other) => other.equals(unit)));
    port.units = [...units];
    ipBatch(this.netnsPath, [
      ...gone.map((unit) => `route delete ${unit} dev ${port.link}`),
      ...added.map(
        (unit) => `route replace ${unit} via ${NEXT_HOP[unit.family]} dev ${port.link} onlink metric 1`,
      ),
    ]);
    nftLoad(this.netnsPath, ownSources(port));
    this.#answer(this.#answered());
  }

  /** The fabric's end of an interface's link, for tests that act there (a lower MTU, a router advertisement). */
  portLink(interfaceId: InterfaceId): string {
    const port = this.#ports.get(interfaceId);
    if (port === undefined) throw new RangeError(`no port of ${interfaceId}`);
    return port.link;
  }

  /** Units that an interface carries now. */
  unitsOf(interfaceId: InterfaceId): readonly Cidr[] {
    return this.#ports.get(interfaceId)?.units ?? [];
  }

  /** See DataPlane.publish(). */
  publish(publicAddress: string, privateAddress: string): void {
    nftLoad(
      this.netnsPath,
      [
        `add element inet fabric public-of { ${privateAddress} : ${publicAddress} }`,
        `add element inet fabric private-of { ${publicAddress} : ${privateAddress} }`,
        `add element inet fabric published { ${privateAddress} }`,
      ].join("\n"),
    );
  }

  #answered(): Cidr[] {
    const units = [...this.#ports.values()].flatMap((port) => port.units);
    return [...this.#gateways.map((gateway) => gateway.toCidr()), ...units];
  }

  /** ARP is answered for these and for nothing else. */
  #answer(units: readonly Cidr[]): void {
    nftLoad(this.netnsPath, replaceElements("arp fabric answered", ofFamily(units, 4)));
  }
}

function ownSources(port: Port): string {
  return [4, 6]
    .map((family) =>
      replaceElements(`inet fabric own${family}-${port.link}`, ofFamily(port.units, family as 4 | 6)),
    )
    .join("\n");
}

function ofFamily(units: readonly Cidr[], family: 4 | 6): Cidr[] {
  return units.filter((unit) => unit.family === family);
}

function replaceElements(set: string, units: readonly Cidr[]): string {
  const add = units.length === 0 ? "" : `\nadd element ${set} { ${units.join(", ")} }`;
  return `flush set ${set}${add}`;
}

const FABRIC_SYSCTLS: readonly (readonly [path: string, value: string])[] = [
  ["ipv4/ip_forward", "1"],
  ["ipv6/conf/all/forwarding", "1"],
  ["ipv4/conf/all/rp_filter", "0"],
  ["ipv4/conf/default/rp_filter", "0"],
  ["ipv4/conf/all/send_redirects", "0"],
  ["ipv4/conf/default/send_redirects", "0"],
  // answers for assigned addresses behind other ports
  ["ipv4/conf/default/proxy_arp", "1"],
  ["ipv6/conf/default/accept_ra", "0"],
  // every packet that is too big is answered, not one a second
  ["ipv4/icmp_ratelimit", "0"],
  ["ipv6/icmp/ratelimit", "0"],
];
