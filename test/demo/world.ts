/**
 * The demo's world: one VPC with two zones, two nodes with a real daemon each, pods by the real plugin, kube-proxy's recorded rules, a host in the VPC, a
 * container behind docker0 and a client on the internet.
 */
import type { InterfaceId, SubnetId } from "../../common/ids.ts";
import { Cidr, type Family, IpAddress } from "../../common/ip.ts";
import { DEFAULT_POOL_SETTINGS } from "../../ipamd/settings.ts";
import type { NetworkSpec } from "../cloudsim/data-plane.ts";
import { installKubeProxy, type KubeProxyMode, RECORDED } from "../cloudsim/kube-proxy.ts";
import { tcpEcho, udpEcho } from "../cloudsim/probe/index.ts";
import { ipBatch } from "../cloudsim/vpc/commands.ts";
import { INTERNET_LINK } from "../cloudsim/vpc/fabric-table.ts";
import { DOCKER, EXT, HOSTILE, type Place } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode, type PodOf } from "../cluster/cluster.ts";

export type World = AsyncDisposable & {
  readonly cluster: Cluster;
  readonly nodes: readonly DemoNode[];
  readonly peer: Host;
  readonly ext: Host;
  /** Behind docker0 of the first node. */
  readonly docker: Host;
};

/** A place with one address per family. */
export type Host = {
  readonly name: string;
  readonly netnsPath: string;
  readonly ipv4: IpAddress;
  readonly ipv6: IpAddress;
};

export type DemoNode = {
  readonly node: ClusterNode;
  readonly host: Host;
  readonly publicIpv4: IpAddress;
  readonly kubeProxy: KubeProxyMode;
  readonly pods: readonly DemoPod[];
  /** The own IPv4 address of the node's second uplink. */
  readonly secondaryIpv4: IpAddress;
};

export type DemoPod = Host & { readonly pod: PodOf; readonly slot: number };

export type WorldOptions = {
  readonly nodes: number;
  readonly pods: number;
  readonly progress: (what: string) => void;
};

/** Every host and pod answers here with its name and the source it saw. */
export const ECHO_PORT = 8080;

/** Of every link, and of the way to the internet, which is narrower. */
export const LINK_MTU_BYTES = 1500;
export const INTERNET_MTU_BYTES = 1400;

/** A short cooling, so that measuring ADD and DEL does not run out of addresses; single ones, so that a few pods lie on every uplink. */
export const DEMO_SETTINGS = { "ip-cooldown-period": "2", "address-unit": "single" } as const;

const PEER = { ipv4: "10.0.9.9", ipv6: "2001:db8:a:9::9" } as const;
const ZONES = ["eu-west-1a", "eu-west-1b"] as const;

/**
 * Subnets of the VPC: one for nodes in each zone, one in each zone from which second interfaces come, and one for other machines. Second interfaces in
 * a subnet of their own show what connected routes would break.
 */
function network(id: string): NetworkSpec {
  const subnet = (name: string, zone: string, number: number) => ({
    id: `subnet-${name}` as SubnetId,
    zone,
    ipv4: Cidr.parse(`10.0.${number}.0/24`),
    ipv6: Cidr.parse(`2001:db8:a:${number}::/64`),
  });
  return {
    id,
    cidrs: [Cidr.parse("10.0.0.0/16"), Cidr.parse("2001:db8:a::/56")],
    subnets: [
      subnet("nodes-a", ZONES[0], 0),
      subnet("nodes-b", ZONES[1], 1),
      subnet("pods-a", ZONES[0], 2),
      subnet("pods-b", ZONES[1], 3),
      subnet("others", ZONES[0], 9),
    ],
  };
}

export async function buildWorld(options: WorldOptions): Promise<World> {
  options.progress("VPC with two zones, embedded EC2 and metadata");
  const cluster = await Cluster.build(network("demo"));
  try {
    const started: ClusterNode[] = [];
    for (let index = 0; index < options.nodes; index += 1) {
      options.progress(`node ${nodeName(index)} in ${ZONES[index % 2]}`);
      started.push(await startNode(cluster, index));
    }
    ipBatch(cluster.vpc.fabric.netnsPath, [`link set ${INTERNET_LINK} mtu ${INTERNET_MTU_BYTES}`]);
    const docker = cluster.vpc.addDockerContainer(nodeName(0));
    const peer = cluster.vpc.addHost({
      name: "peer",
      addresses: peerAddresses(started),
    });
    options.progress(`${options.pods} pods by the plugin`);
    await Promise.all(
      started.map(async (node, index) => {
        for (let number = index; number < options.pods; number += options.nodes) {
          // with its spare there the pool gives in order: the primary uplink's addresses first
          await node.poolHasFree(DEFAULT_POOL_SETTINGS.spare);
          await node.addPod(`pod-${number}`);
        }
      }),
    );
    options.progress("kube-proxy's rules");
    const nodes = started.map((node, index) => describeNode(cluster, node, index));
    for (const node of nodes) installServices(node, nodes);
    const hosts = {
      peer: hostOf("peer", peer, PEER),
      ext: hostOf("ext", cluster.vpc.ext, EXT),
      docker: hostOf("docker", docker, DOCKER),
    };
    const echoes = [...Object.values(hosts), ...nodes.flatMap(({ host, pods }) => [host, ...pods])].flatMap(
      serveEcho,
    );
    const end = async () => {
      for (const echo of echoes) echo[Symbol.dispose]();
      await cluster[Symbol.asyncDispose]();
    };
    return { cluster, nodes, ...hosts, [Symbol.asyncDispose]: end };
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
}

async function startNode(cluster: Cluster, index: number): Promise<ClusterNode> {
  const node = await cluster.addNode({
    name: nodeName(index),
    subnetId: index % 2 === 0 ? "subnet-nodes-a" : "subnet-nodes-b",
    instanceType: "t3.small",
    publicIpv4: publicAddress(index).toString(),
    // docker sets DROP; the second node shows the other case
    profile: { ...HOSTILE, forward: index % 2 === 0 ? "drop" : "accept" },
  });
  await addPodInterface(cluster, node, index);
  await node.startDaemon("ready for pods", {}, DEMO_SETTINGS);
  return node;
}

/** An interface of ours that an earlier daemon left, in a subnet for pods: it is adopted by its tags. */
async function addPodInterface(cluster: Cluster, node: ClusterNode, index: number): Promise<void> {
  const { CreateNetworkInterfaceCommand, AttachNetworkInterfaceCommand, EC2Client } = await import(
    "@aws-sdk/client-ec2"
  );
  const { ec2 } = cluster;
  const client = new EC2Client({
    endpoint: ec2.endpoint,
    region: ec2.region,
    credentials: ec2.administrator,
  });
  const tags = {
    "causeway.dev/cluster": "demo",
    "causeway.dev/instance": node.instance.id,
    "causeway.dev/pool": "default",
    "causeway.dev/token": "earlier",
  };
  const created = await client.send(
    new CreateNetworkInterfaceCommand({
      SubnetId: index % 2 === 0 ? "subnet-pods-a" : "subnet-pods-b",
      TagSpecifications: [
        {
          ResourceType: "network-interface",
          Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
        },
      ],
    }),
  );
  const id = created.NetworkInterface?.NetworkInterfaceId as InterfaceId;
  await client.send(
    new AttachNetworkInterfaceCommand({
      NetworkInterfaceId: id,
      InstanceId: node.instance.id,
      DeviceIndex: 1,
      NetworkCardIndex: 0,
    }),
  );
  client.destroy();
}

function describeNode(cluster: Cluster, node: ClusterNode, index: number): DemoNode {
  const interfaces = cluster.ec2.account.interfacesOf(node.instance.id);
  const second = interfaces.find(({ attachment }) => attachment?.deviceIndex === 1);
  if (second === undefined) throw new Error(`${node.name} has no second interface`);
  return {
    node,
    host: { name: node.name, netnsPath: node.place.netnsPath, ...node.addresses },
    publicIpv4: publicAddress(index),
    kubeProxy: index % 2 === 0 ? "iptables" : "nftables",
    secondaryIpv4: second.primaryIpv4,
    pods: node.pods.map((pod) => {
      if (pod.ipv4 === undefined || pod.ipv6 === undefined) throw new Error(`${pod.name} lacks a family`);
      const { ipv4, ipv6, name, netnsPath } = pod;
      const owner = interfaces.find(({ secondaryIpv4 }) =>
        secondaryIpv4.some((address) => address.equals(ipv4)),
      );
      return { name, netnsPath, ipv4, ipv6, pod, slot: (owner?.attachment?.deviceIndex ?? 0) + 1 };
    }),
  };
}

/** The recorded Services, their endpoints taken by pods of this node: one on the primary uplink, one on a secondary, and one elsewhere. */
function installServices(node: DemoNode, nodes: readonly DemoNode[]): void {
  const [onPrimary, onSecondary] = endpoints(node);
  const elsewhere = remoteOf(nodes, node);
  const translate = new Map<string, string>();
  const put = (recorded: { readonly 4: string; readonly 6: string }, host: Host) => {
    translate.set(recorded[4], host.ipv4.toString());
    translate.set(recorded[6], host.ipv6.toString());
  };
  put(RECORDED.node, node.host);
  put(RECORDED.p101, onPrimary);
  put(RECORDED.p111, onSecondary);
  put(RECORDED.p121, onSecondary);
  put(RECORDED.remote, elsewhere);
  installKubeProxy(node.host.netnsPath, {
    mode: node.kubeProxy,
    translate,
    nodePortAddresses: [node.secondaryIpv4.toString()],
  });
}

/** The endpoint on another node, on a secondary uplink there; on a single node its own plays it. */
export function remoteOf(nodes: readonly DemoNode[], node: DemoNode): DemoPod {
  return endpoints(nodes.find((other) => other !== node) ?? node)[1];
}

/** A pod on the primary uplink and one on another; with few pods both are the same one. */
export function endpoints(node: DemoNode): readonly [DemoPod, DemoPod] {
  const onPrimary = node.pods.find(({ slot }) => slot === 1) ?? node.pods[0];
  const onSecondary = node.pods.find(({ slot }) => slot > 1) ?? node.pods.at(-1);
  if (onPrimary === undefined || onSecondary === undefined) throw new Error(`${node.host.name} has no pod`);
  return [onPrimary, onSecondary];
}

export function addressOf(
  host: { readonly ipv4: IpAddress; readonly ipv6: IpAddress },
  family: Family,
): IpAddress {
  return family === 4 ? host.ipv4 : host.ipv6;
}

function hostOf(
  name: string,
  place: Place,
  addresses: { readonly ipv4: string; readonly ipv6: string },
): Host {
  return {
    name,
    netnsPath: place.netnsPath,
    ipv4: IpAddress.parse(addresses.ipv4),
    ipv6: IpAddress.parse(addresses.ipv6),
  };
}

/** TCP and UDP, both families, whatever address of the place is asked. */
function serveEcho({ name, netnsPath }: Host): Disposable[] {
  return ["0.0.0.0", "::"].flatMap((any) => {
    const spec = { name, netnsPath, address: IpAddress.parse(any), port: ECHO_PORT };
    return [tcpEcho(spec), udpEcho(spec)];
  });
}

/** Also one in the subnet of each node's second interface. */
function peerAddresses(nodes: readonly ClusterNode[]): IpAddress[] {
  return [PEER.ipv4, PEER.ipv6, ...nodes.slice(0, 2).map((_node, index) => `10.0.${2 + index}.250`)].map(
    (text) => IpAddress.parse(text),
  );
}

function nodeName(index: number): string {
  return `node-${String.fromCharCode(97 + index)}`;
}

function publicAddress(index: number): IpAddress {
  return IpAddress.parse("203.0.113.10").plus(index);
}
