/**
 * The lab: an embedded VPC with two nodes in two zones, node-a with three uplinks, pods wired by hand, and machines to talk
 * with. The product's own plan is laid down on both nodes by its own apply.
 */
import type { InterfaceId, SubnetId } from "../../common/ids.ts";
import { parseMac } from "../../common/ids.ts";
import { Cidr, IpAddress } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { previewNft } from "../../common/kernel/nft-preview.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { ProgramXtables } from "../../common/kernel/xtables.ts";
import { applyHostNetwork } from "../../ipamd/host-network/apply.ts";
import { noBeforeBook } from "../../ipamd/host-network/before.ts";
import type { HostNetworkSettings } from "../../ipamd/host-network/input.ts";
import { type HostNetworkPlan, planHostNetwork } from "../../ipamd/host-network/plan.ts";
import type { LoadedUplink } from "../../ipamd/host-network/uplinks.ts";
import { installKubeProxy, type KubeProxyMode } from "../cloudsim/kube-proxy.ts";
import { buildVpc, type NodeProfile, type Place, type Vpc } from "../cloudsim/vpc/index.ts";
import {
  NODE_A,
  NODE_B,
  PEER,
  PEER1,
  PEERED,
  PODS,
  type PodName,
  PUBLIC,
  VPC_CIDRS,
} from "./lab-addresses.ts";
import { genuinePairs, type PodSpec, wirePod } from "./pods.ts";

export type LabSpec = {
  /** Prefixes every namespace of it. */
  readonly id: string;
  readonly profile: NodeProfile;
  readonly kubeProxy?: KubeProxyMode;
  /** Before the product is started, or after. Default before. */
  readonly kubeProxyStarts?: "before" | "after";
  /** This pod and p1 change places among the Services' endpoints, so that NodePorts lead to it. */
  readonly swapped?: PodName;
  readonly externalSnat?: boolean;
  /** CIDRs excluded from SNAT. */
  readonly excluded?: readonly string[];
  /** Changes node-a's plan before it is laid down. */
  readonly alter?: (plan: HostNetworkPlan) => HostNetworkPlan;
};

export type LabNode = Place & {
  readonly kernel: Kernel;
  /** What was laid down. */
  plan: HostNetworkPlan;
  readonly pods: readonly PodSpec[];
};

export type Lab = AsyncDisposable & {
  readonly spec: LabSpec;
  readonly vpc: Vpc;
  readonly nodeA: LabNode;
  readonly nodeB: LabNode;
  readonly pod: (name: PodName) => Place;
  readonly peer: Place;
  readonly peer1: Place;
  readonly docker: Place;
  /** Applies again, with other CIDRs when given; gives what was written. */
  readonly reapply: (node: LabNode, plan: HostNetworkPlan) => Promise<readonly string[]>;
};

const SUBNETS = [
  { id: "subnet-0", zone: "a", ipv4: "10.0.0.0/24", ipv6: "fd00:10::/64" },
  { id: "subnet-1", zone: "a", ipv4: "10.0.1.0/24", ipv6: "fd00:10:1::/64" },
  { id: "subnet-9", zone: "b", ipv4: "10.0.9.0/24", ipv6: "fd00:10:9::/64" },
] as const;

export async function buildLab(spec: LabSpec): Promise<Lab> {
  const vpc = buildVpc({
    id: spec.id,
    cidrs: VPC_CIDRS,
    subnets: SUBNETS.map((subnet) => ({
      id: subnet.id as SubnetId,
      zone: subnet.zone,
      ipv4: Cidr.parse(subnet.ipv4),
      ipv6: Cidr.parse(subnet.ipv6),
    })),
  });
  const [a, b] = [
    plugNode(vpc, "node-a", spec.profile, NODE_A),
    plugNode(vpc, "node-b", spec.profile, NODE_B),
  ];
  for (const [outside, inside] of PUBLIC) vpc.publish(outside, inside);
  const parse = (both: { 4: string; 6: string }) => [IpAddress.parse(both[4]), IpAddress.parse(both[6])];
  const peer = vpc.addHost({ name: "peer", addresses: [...parse(PEER), ...parse(PEERED)] });
  const peer1 = vpc.addHost({ name: "peer1", addresses: parse(PEER1) });
  const docker = vpc.addDockerContainer("node-a");
  const pods = new Map(
    vpc.addPlaces(Object.keys(PODS)).map((place, index) => [Object.keys(PODS)[index] as PodName, place]),
  );
  const podPlace = (name: PodName): Place => pods.get(name) as Place;
  const started = spec.kubeProxyStarts ?? "before";
  if (started === "before") startKubeProxy(spec, a);
  const nodeA = await startNode(a, NODE_A, spec, ["p0", "p1", "p2"], podPlace, spec.alter);
  const nodeB = await startNode(b, NODE_B, spec, ["rb"], podPlace);
  if (started === "after") startKubeProxy(spec, a);
  return {
    spec,
    vpc,
    nodeA,
    nodeB,
    pod: podPlace,
    peer,
    peer1,
    docker,
    reapply: apply,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([nodeA.kernel.close(), nodeB.kernel.close()]);
      vpc[Symbol.dispose]();
    },
  };
}

function startKubeProxy(spec: LabSpec, node: Place): void {
  if (spec.kubeProxy === undefined) return;
  const secondaries = NODE_A.slice(1).flatMap((uplink) => [uplink.own[4], uplink.own[6]]);
  const [one, other] = [PODS.p1, PODS[spec.swapped ?? "p1"]];
  const translate = new Map(
    ([4, 6] as const).flatMap((family) => [
      [one[family], other[family]],
      [other[family], one[family]],
    ]),
  );
  installKubeProxy(node.netnsPath, { mode: spec.kubeProxy, nodePortAddresses: secondaries, translate });
}

/** Interfaces plugged, addresses assigned, the primary configured: a machine as the cloud starts it. */
function plugNode(vpc: Vpc, name: string, profile: NodeProfile, uplinks: typeof NODE_A): Place {
  const place = vpc.addNode({ name, profile });
  for (const [index, uplink] of uplinks.entries()) {
    const interfaceId = `eni-${name}-${uplink.link}` as InterfaceId;
    vpc.plug({
      interfaceId,
      mac: uplinkMac(name, index),
      subnetId: "subnet-0" as SubnetId,
      instance: name,
      linkName: uplink.link,
    });
    vpc.deliver(
      interfaceId,
      [uplink.own[4], uplink.own[6], ...uplink.units].map((text) => Cidr.parse(text)),
    );
  }
  const own = uplinks[0]?.own ?? { 4: "", 6: "" };
  vpc.boot(name, "eth0", { ipv4: IpAddress.parse(own[4]), ipv6: IpAddress.parse(own[6]) });
  return place;
}

async function startNode(
  place: Place,
  uplinks: typeof NODE_A,
  spec: LabSpec,
  podNames: readonly PodName[],
  podPlace: (name: PodName) => Place,
  alter: (plan: HostNetworkPlan) => HostNetworkPlan = (plan) => plan,
): Promise<LabNode> {
  const kernel = await openKernel({ netnsPath: place.netnsPath });
  const plan = alter(planHostNetwork(planInput(place, kernel, uplinks, spec)));
  const pods = podNames.map((name) => podSpec(name, podPlace(name), uplinks));
  const node: LabNode = { ...place, kernel, plan, pods };
  await apply(node, plan);
  for (const pod of pods) wirePod(kernel, pod);
  return node;
}

/** What the daemon would find out about a node of the lab. */
export function planInput(
  place: Place,
  kernel: Kernel,
  uplinks: typeof NODE_A,
  spec: Pick<LabSpec, "externalSnat" | "excluded">,
): { uplinks: LoadedUplink[]; inside: Cidr[]; settings: HostNetworkSettings } {
  return {
    uplinks: uplinks.map((uplink, index) => {
      const own = [IpAddress.parse(uplink.own[4]), IpAddress.parse(uplink.own[6])] as const;
      return {
        slot: index + 1,
        linkName: uplink.link,
        linkIndex: kernel.host.links.find(uplink.link)?.index ?? 0,
        mac: uplinkMac(place.name, index),
        addresses: [
          { address: own[0], prefixLength: 24 },
          { address: own[1], prefixLength: 128 },
        ],
        gateways: [Cidr.of(own[0], 24).first.plus(1), IpAddress.parse("fe80::1")],
        isPrimary: index === 0,
        units: uplink.units.map((text) => Cidr.parse(text)),
      };
    }),
    inside: [...VPC_CIDRS, ...(spec.excluded ?? []).map((text) => Cidr.parse(text))],
    settings: { externalSnat: spec.externalSnat ?? false, families: [4, 6] },
  };
}

async function apply(node: LabNode, plan: HostNetworkPlan): Promise<readonly string[]> {
  node.plan = plan;
  return await applyHostNetwork(
    {
      host: node.kernel.host,
      nft: node.kernel.nft,
      preview: previewNft,
      genuine: () => node.pods.flatMap(genuinePairs),
      // nobody else changes units here
      units: () => node.kernel.nft.list("uplink"),
      xtables: new ProgramXtables({ netnsPath: node.netnsPath }),
      before: noBeforeBook,
    },
    plan,
  );
}

function podSpec(name: PodName, place: Place, uplinks: typeof NODE_A): PodSpec {
  const number = Object.keys(PODS).indexOf(name) + 1;
  return {
    netnsPath: place.netnsPath,
    linkName: `cw00000000000${number}`,
    number,
    addresses: [IpAddress.parse(PODS[name][4]), IpAddress.parse(PODS[name][6])],
    nodeAddress: IpAddress.parse(uplinks[0]?.own[4] ?? ""),
  };
}

function uplinkMac(node: string, index: number): ReturnType<typeof parseMac> {
  const last = node.endsWith("a") ? 0x10 : 0x20;
  return parseMac(`02:00:00:00:00:${(last + index).toString(16)}`);
}
