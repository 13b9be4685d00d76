/**
 * The data plane of the embedded VPC: the router (fabric.ts), instances and hosts as network namespaces, and the world
 * outside. It carries what the control plane assigned and nothing else; every refusal has a counter with a name.
 */
import type { InterfaceId, MacAddress, SubnetId } from "../../../common/ids.ts";
import { parseMac } from "../../../common/ids.ts";
import { Cidr, type IpAddress } from "../../../common/ip.ts";
import type { DataPlane, NetworkSpec, PortSpec } from "../data-plane.ts";
import { ipBatch, run } from "./commands.ts";
import { type Counters, nftCounters, routingDrops } from "./counters.ts";
import { Fabric, OUTSIDE_GATEWAY, OUTSIDE_IPV6, ROUTER_IPV6 } from "./fabric.ts";
import { BALANCER_LINK, INTERNET_LINK } from "./fabric-table.ts";
import { addDockerContainer, applyProfile, bootPrimary, type NodeProfile } from "./node.ts";

/** A namespace with a name; `name` is what `ip -n` takes. */
export type Place = { readonly name: string; readonly netnsPath: string };

/** Addresses of the world outside, where `ext` lives. */
export const EXT = { ipv4: "198.51.100.7", ipv6: "2001:db8:51::7" } as const;

/** What a VPC is built of. `id` prefixes the names of all its namespaces, so that several stand side by side. */
export type VpcSpec = NetworkSpec;

/** Builds the router and the outside. Call from inside namespaces of your own (test/in-namespaces.sh). */
export function buildVpc(spec: VpcSpec): Vpc {
  return new Vpc(spec);
}

export class Vpc implements DataPlane, Disposable {
  readonly spec: VpcSpec;
  readonly fabric: Fabric;
  /** A client on the internet: EXT, by the internet and by a load balancer that keeps its address. */
  readonly ext: Place;
  readonly #places = new Map<string, Place>();
  readonly #nodes = new Map<string, Place>();
  #hosts = 0;

  constructor(spec: VpcSpec) {
    this.spec = spec;
    const [fabric, ext] = this.#makePlaces("fabric", "ext") as [Place, Place];
    this.ext = ext;
    this.fabric = new Fabric(fabric.netnsPath, spec);
    this.#connectOutside();
  }

  /** An instance: a namespace of that profile, without any interface yet. */
  addNode(node: { readonly name: string; readonly profile: NodeProfile }): Place {
    const [place] = this.#makePlaces(node.name) as [Place];
    applyProfile(place.netnsPath, node.profile);
    this.#nodes.set(node.name, place);
    return place;
  }

  /** An empty namespace of this cloud, for a pod. */
  addPlace(name: string): Place {
    return this.#makePlaces(name)[0] as Place;
  }

  /** Several at once, which is quicker. */
  addPlaces(names: readonly string[]): Place[] {
    return this.#makePlaces(...names);
  }

  /** Ends a place, as a runtime does with a pod's namespace: links in it go. */
  removePlace({ name }: Place): void {
    run(["ip", "netns", "delete", name]);
    for (const [short, place] of this.#places) if (place.name === name) this.#places.delete(short);
  }

  plug(port: PortSpec): void {
    this.fabric.plug(port, this.#place(port.instance).name);
  }

  unplug(interfaceId: InterfaceId): void {
    this.fabric.unplug(interfaceId);
  }

  deliver(interfaceId: InterfaceId, units: readonly Cidr[]): void {
    this.fabric.deliver(interfaceId, units);
  }

  publish(publicAddress: string, privateAddress: string): void {
    this.fabric.publish(publicAddress, privateAddress);
  }

  /** Configures an instance's primary interface as its DHCP client would. */
  boot(instance: string, linkName: string, address: { ipv4: IpAddress; ipv6?: IpAddress }): void {
    const subnet = this.spec.subnets.find((candidate) => candidate.ipv4.contains(address.ipv4));
    if (subnet === undefined) throw new RangeError(`${address.ipv4} is in no subnet of ${this.spec.id}`);
    bootPrimary(this.#place(instance).netnsPath, linkName, {
      ...address,
      prefixLength: subnet.ipv4.prefixLength,
    });
  }

  /** A machine that is no node of ours, with one interface and these addresses. */
  addHost(host: { readonly name: string; readonly addresses: readonly IpAddress[] }): Place {
    const [place] = this.#makePlaces(host.name) as [Place];
    this.#hosts += 1;
    const mac = hostMac(this.#hosts);
    const interfaceId = `eni-${host.name}` as InterfaceId;
    const subnetId = this.spec.subnets[0]?.id ?? ("none" as SubnetId);
    this.plug({ interfaceId, mac, subnetId, instance: host.name, linkName: "eth0" });
    this.deliver(
      interfaceId,
      host.addresses.map((address) => address.toCidr()),
    );
    const gateway = (this.spec.subnets[0]?.ipv4 ?? Cidr.parse("10.0.0.0/24")).first.plus(1);
    ipBatch(place.netnsPath, [
      "link set lo up",
      "link set eth0 addrgenmode none",
      "link set eth0 up",
      "address add fe80::2/64 dev eth0 nodad",
      ...host.addresses.map((address) => `address add ${address.toCidr()} dev eth0${nodad(address)}`),
      `route add default via ${gateway} dev eth0 onlink`,
      `route add ::/0 via ${ROUTER_IPV6} dev eth0`,
    ]);
    return place;
  }

  /** A container behind docker0 of a node; DOCKER has its addresses. */
  addDockerContainer(node: string): Place {
    const [place] = this.#makePlaces(`${node}-docker`) as [Place];
    addDockerContainer(this.#place(node).netnsPath, place.netnsPath, place.name);
    return place;
  }

  /** What the cloud refused, by reason, and what the nodes' kernels refused to route. */
  counters(): Counters {
    const all = new Map(nftCounters(this.fabric.netnsPath, "fabric"));
    for (const [name, node] of this.#nodes) {
      for (const [counter, value] of routingDrops(node.netnsPath)) all.set(`${counter} ${name}`, value);
      for (const [counter, value] of nftCounters(node.netnsPath, "causeway")) {
        all.set(`${counter} ${name}`, value);
      }
    }
    return all;
  }

  /** Removes every namespace of this cloud. */
  [Symbol.dispose](): void {
    const names = [...this.#places.values()].map((place) => `netns delete ${place.name}`);
    run(["ip", "-batch", "-"], names.join("\n"));
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw new RangeError(`no instance or host ${name} in ${this.spec.id}`);
    return place;
  }

  #makePlaces(...names: readonly string[]): Place[] {
    const places = names.map((name) => {
      const full = `${this.spec.id}-${name}`;
      return { name: full, netnsPath: `/run/netns/${full}` };
    });
    run(["ip", "-batch", "-"], places.map((place) => `netns add ${place.name}`).join("\n"));
    for (const [index, place] of places.entries()) this.#places.set(names[index] ?? "", place);
    return places;
  }

  #connectOutside(): void {
    ipBatch(this.fabric.netnsPath, [
      `link add ${INTERNET_LINK} type veth peer name ${INTERNET_LINK} netns ${this.ext.name}`,
      `link add ${BALANCER_LINK} type veth peer name ${BALANCER_LINK} netns ${this.ext.name}`,
      ...[INTERNET_LINK, BALANCER_LINK].map((link) => `link set ${link} addrgenmode none`),
      `address add ${ROUTER_IPV6}/64 dev ${INTERNET_LINK} nodad`,
    ]);
    this.fabric.openTo([Cidr.parse(EXT.ipv4), Cidr.parse(EXT.ipv6)]);
    const inside = this.spec.cidrs.filter((cidr) => cidr.family === 4);
    ipBatch(this.ext.netnsPath, [
      "link set lo up",
      `address add ${EXT.ipv4}/32 dev lo`,
      `address add ${EXT.ipv6}/128 dev lo nodad`,
      ...[INTERNET_LINK, BALANCER_LINK].flatMap((link) => [
        `link set ${link} addrgenmode none`,
        `link set ${link} up`,
      ]),
      `address add ${OUTSIDE_IPV6}/64 dev ${INTERNET_LINK} nodad`,
      `route add default via ${OUTSIDE_GATEWAY} dev ${INTERNET_LINK} onlink src ${EXT.ipv4}`,
      `route add ::/0 via ${ROUTER_IPV6} dev ${INTERNET_LINK} src ${EXT.ipv6}`,
      ...inside.map(
        (cidr) => `route add ${cidr} via ${OUTSIDE_GATEWAY} dev ${BALANCER_LINK} onlink src ${EXT.ipv4}`,
      ),
    ]);
  }
}

function nodad(address: IpAddress): string {
  return address.family === 6 ? " nodad" : "";
}

function hostMac(number: number): MacAddress {
  return parseMac(`02:00:00:ff:00:${number.toString(16).padStart(2, "0")}`);
}
