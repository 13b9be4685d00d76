/**
 * What the demo can take away, one mechanism at a time, and which of its checks must then fail: a check that cannot fail is no check. The daemons are
 * stopped meanwhile (SIGSTOP), or they would put it back within a second.
 */
import { POD_GATEWAY_IPV4 } from "../../common/constants.ts";
import { Cidr } from "../../common/ip.ts";
import { unitsOf } from "../cloudsim/aws/model/resources.ts";
import { ipBatch, nftLoad, runIn } from "../cloudsim/vpc/commands.ts";
import { type DemoNode, endpoints, type World } from "./world.ts";

export type Sabotage = {
  readonly name: string;
  /** What is taken away, for the table in ARCHITECTURE.md. */
  readonly mechanism: string;
  /** What users would see. */
  readonly breaks: string;
  /** Exactly these checks must fail. */
  readonly checks: readonly string[];
  readonly apply: (world: World, node: DemoNode) => void;
};

const FAMILY_FLAGS = ["-4", "-6"] as const;

export const SABOTAGES: readonly Sabotage[] = [
  {
    name: "rule-pods",
    mechanism: "rule 402, `lookup pods`",
    breaks: "the node cannot reach its pods, and pods of two uplinks each other only by the cloud",
    checks: [
      "pod-to-pod-same-uplink",
      "pod-to-pod-other-uplink",
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "pod-and-node",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "cluster-ip-hairpin",
      "node-port",
      "node-port-local",
      "node-port-secondary",
      "internet-ipv4",
      "internet-ipv6",
      "client-to-pod",
      "docker0",
      "packet-sizes",
    ],
    apply: deleteRules(402),
  },
  {
    name: "rule-main-specific",
    mechanism: "rule 403, main's routes to bridges and tunnels",
    breaks: "a container behind docker0 that calls a secondary interface's address gets no answer",
    checks: ["docker0"],
    apply: deleteRules(403),
  },
  {
    name: "rule-uplink-mark",
    mechanism: "rules 404, one per uplink, by packet mark",
    breaks: "everything of pods on secondary uplinks leaves by the primary and is dropped by the cloud",
    checks: [
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "node-port",
      "node-port-secondary",
      "node-port-host",
      "internet-ipv6",
      "client-to-pod",
      "proxy-keeps-source",
      "packet-sizes",
    ],
    apply: deleteRules(404),
  },
  {
    name: "rule-uplink-address",
    mechanism: "rules 405, by the own address of a secondary uplink",
    breaks: "the node's own sockets on a secondary interface's address",
    checks: ["node-secondary-address"],
    apply: deleteRules(405),
  },
  {
    name: "unit-map-element",
    mechanism: "one element of the map from unit to uplink",
    breaks: "one pod of a secondary uplink: what it sends into the VPC leaves by the primary",
    checks: [
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "cluster-ip",
      "cluster-ip-remote",
      "internet-ipv6",
      "proxy-keeps-source",
      "packet-sizes",
    ],
    apply: (_world, node) => {
      const pod = endpoints(node)[1];
      nft(
        node,
        `delete element inet causeway uplink4 { ${pod.ipv4} }`,
        `delete element inet causeway uplink6 { ${pod.ipv6} }`,
      );
    },
  },
  {
    name: "ct-mark-save",
    mechanism: "the connection's mark: which uplink it came in by",
    breaks: "answers to connections that came in by a secondary uplink, or to a pod of another one",
    checks: [
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "node-port",
      "node-port-secondary",
      "node-port-host",
      "client-to-pod",
    ],
    apply: (_world, node) =>
      nft(node, ...slots(node).map((slot) => `flush chain inet causeway from-${slot}`)),
  },
  {
    name: "ct-mark-restore",
    mechanism: "the restoring of that mark for answers",
    breaks: "the same: answers leave by the uplink of their source, or by main",
    checks: [
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "node-port",
      "node-port-secondary",
      "node-port-host",
      "internet-ipv6",
      "client-to-pod",
    ],
    apply: (_world, node) => {
      nft(node, "flush chain inet causeway restore");
      deleteRule(node, "mark-in", /meta mark set ct mark/);
    },
  },
  {
    name: "reply-limit",
    mechanism: "the restoring only in the reply direction",
    breaks: "NodePort at a secondary interface's address to a pod of another node",
    checks: ["node-port-secondary"],
    apply: (_world, node) => replaceRule(node, "mark-in", /^ct direction reply goto restore/, "jump restore"),
  },
  {
    name: "output-chain",
    mechanism: "the marks of what the node itself sends",
    breaks:
      "hostNetwork backends of NodePorts at secondary interfaces, and proxies that keep a pod's address",
    checks: ["node-port-host", "proxy-keeps-source"],
    apply: (_world, node) => nft(node, "flush chain inet causeway mark-out"),
  },
  {
    name: "priority-after-dnat",
    mechanism: "the marks after destination NAT (-90, not -150)",
    breaks: "pods of secondary uplinks to ClusterIPs with an endpoint on another node",
    checks: ["cluster-ip", "cluster-ip-remote"],
    apply: (_world, node) => moveChain(node, "mark-in", "filter hook prerouting priority -150"),
  },
  {
    name: "mark-mask",
    mechanism: "the mask of our marks: other programs' bits are kept",
    breaks: "kube-proxy's masquerading bit is lost on marked packets",
    checks: ["cluster-ip", "cluster-ip-remote", "cluster-ip-hairpin"],
    apply: (_world, node) =>
      nft(
        node,
        ...slots(node).flatMap((slot) => [
          `flush chain inet causeway use-${slot}`,
          `add rule inet causeway use-${slot} meta mark set 0x${(slot << 8).toString(16)}`,
        ]),
      ),
  },
  {
    name: "snat",
    mechanism: "source NAT of IPv4 towards the internet",
    breaks: "pods' IPv4 to the internet",
    checks: ["internet-ipv4", "packet-sizes"],
    apply: (_world, node) => nft(node, "flush chain inet causeway snat-out"),
  },
  {
    name: "anti-spoofing",
    mechanism: "the check of (pod link, source) pairs",
    breaks: "a pod can send in its neighbour's name",
    checks: ["spoofing-refused"],
    apply: (_world, node) => nft(node, "flush chain inet causeway genuine"),
  },
  {
    name: "rp-filter",
    mechanism: "rp_filter=2 on uplinks",
    breaks: "what comes in by secondary uplinks is dropped by the node, and no cloud counter rises",
    checks: [
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "node-port",
      "node-port-secondary",
      "node-port-host",
      "client-to-pod",
      "packet-sizes",
    ],
    apply: (_world, node) =>
      sysctl(node, ...slots(node).map((slot) => `net/ipv4/conf/eth${slot - 1}/rp_filter=1`)),
  },
  {
    name: "noprefixroute",
    mechanism: "secondary uplinks' addresses without connected routes",
    breaks: "the node's own packets to a secondary interface's subnet leave by it, with the wrong source",
    checks: ["node-secondary-address"],
    apply: (_world, node) => {
      // what the kernel makes of the address without the flag
      const subnet = Cidr.parse(`${node.secondaryIpv4}/24`);
      ipBatch(node.host.netnsPath, [
        `route add ${subnet} dev eth1 proto kernel scope link src ${node.secondaryIpv4}`,
      ]);
    },
  },
  {
    name: "ip-forward",
    mechanism: "forwarding, both families",
    breaks: "everything that passes through the node",
    checks: [
      "pod-to-pod-same-uplink",
      "pod-to-pod-other-uplink",
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "cluster-ip-hairpin",
      "node-port",
      "node-port-local",
      "node-port-secondary",
      "internet-ipv4",
      "internet-ipv6",
      "client-to-pod",
      "docker0",
      "packet-sizes",
    ],
    apply: (_world, node) => sysctl(node, "net/ipv4/ip_forward=0", "net/ipv6/conf/all/forwarding=0"),
  },
  {
    name: "forward-accepts",
    mechanism: "three accepts at the head of the xtables FORWARD chain",
    breaks: "pods' packets where docker or a firewall sets policy DROP",
    checks: [
      "pod-to-pod-same-uplink",
      "pod-to-pod-other-uplink",
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "node-port",
      "node-port-local",
      "node-port-secondary",
      "internet-ipv4",
      "internet-ipv6",
      "client-to-pod",
      "docker0",
      "packet-sizes",
    ],
    apply: (_world, node) => removeForwardAccepts(node),
  },
  {
    name: "pod-neighbour",
    mechanism: "a pod's permanent entry for its IPv4 gateway",
    breaks: "everything that this pod sends over IPv4: nobody answers for that gateway",
    checks: [
      "pod-to-pod-other-uplink",
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "pod-and-node",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "cluster-ip-hairpin",
      "node-port",
      "node-port-local",
      "node-port-secondary",
      "internet-ipv4",
      "client-to-pod",
      "docker0",
      "packet-sizes",
    ],
    apply: (_world, node) => {
      const pod = endpoints(node)[1];
      ipBatch(pod.netnsPath, [`neighbour delete ${POD_GATEWAY_IPV4} dev eth0`]);
    },
  },
  {
    name: "cloud-address",
    mechanism: "one pod's addresses missing on its interface in the cloud",
    breaks: "what leaves the node from that pod, and what comes to it",
    checks: [
      "pod-to-pod-other-node",
      "pod-and-vpc-host",
      "node-secondary-address",
      "cluster-ip",
      "cluster-ip-remote",
      "node-port",
      "node-port-secondary",
      "internet-ipv6",
      "client-to-pod",
      "proxy-keeps-source",
      "packet-sizes",
    ],
    apply: withdrawAddress,
  },
];

/** Throws RangeError naming those that exist. */
export function findSabotage(name: string): Sabotage {
  const found = SABOTAGES.find((sabotage) => sabotage.name === name);
  if (found !== undefined) return found;
  throw new RangeError(
    `no sabotage is called ${JSON.stringify(name)}; there are ${SABOTAGES.map((one) => one.name).join(", ")}`,
  );
}

/** Stops the daemons and takes the mechanism away on every node. */
export function applySabotage(world: World, sabotage: Sabotage): void {
  for (const { node } of world.nodes) node.daemon?.kill("SIGSTOP");
  for (const node of world.nodes) sabotage.apply(world, node);
}

function slots(node: DemoNode): number[] {
  return [...new Set([1, ...node.pods.map(({ slot }) => slot)])].sort();
}

function nft(node: DemoNode, ...lines: readonly string[]): void {
  nftLoad(node.host.netnsPath, lines.join("\n"));
}

function sysctl(node: DemoNode, ...assignments: readonly string[]): void {
  runIn(node.host.netnsPath, ["sysctl", "-q", "-w", ...assignments]);
}

function deleteRules(priority: number): Sabotage["apply"] {
  return (_world, node) => {
    for (const flag of FAMILY_FLAGS) {
      const listed = runIn(node.host.netnsPath, ["ip", flag, "rule", "show", "pref", String(priority)]);
      const count = listed.split("\n").filter((line) => line !== "").length;
      for (let index = 0; index < count; index += 1) {
        runIn(node.host.netnsPath, ["ip", flag, "rule", "delete", "pref", String(priority)]);
      }
    }
  };
}

/** The first rule of a chain that matches gets another text. */
function replaceRule(node: DemoNode, chain: string, pattern: RegExp, rule: string): void {
  nft(node, `replace rule inet causeway ${chain} handle ${handleOf(node, chain, pattern)} ${rule}`);
}

function deleteRule(node: DemoNode, chain: string, pattern: RegExp): void {
  nft(node, `delete rule inet causeway ${chain} handle ${handleOf(node, chain, pattern)}`);
}

function handleOf(node: DemoNode, chain: string, pattern: RegExp): string {
  const listing = runIn(node.host.netnsPath, ["nft", "-a", "list", "chain", "inet", "causeway", chain]);
  const line = listing.split("\n").find((candidate) => pattern.test(candidate.trim()));
  const handle = /# handle (\d+)/.exec(line ?? "")?.[1];
  if (handle === undefined) throw new Error(`chain ${chain} has no rule like ${pattern}`);
  return handle;
}

/** A base chain's rules at another hook or priority. */
function moveChain(node: DemoNode, chain: string, type: string): void {
  const listing = runIn(node.host.netnsPath, ["nft", "list", "chain", "inet", "causeway", chain]);
  const rules = listing
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/^(table|chain|type|\})/.test(line));
  nft(
    node,
    `delete chain inet causeway ${chain}`,
    `add chain inet causeway ${chain} { type ${type}; policy accept; }`,
    ...rules.map((rule) => `add rule inet causeway ${chain} ${rule}`),
  );
}

function removeForwardAccepts(node: DemoNode): void {
  for (const program of ["iptables-nft", "ip6tables-nft"]) {
    const listed = runIn(node.host.netnsPath, [program, "-w", "-S", "FORWARD"]).split("\n");
    for (const rule of listed.filter((line) => line.includes("--comment causeway"))) {
      runIn(node.host.netnsPath, [program, "-w", ...rule.replace(/^-A/, "-D").split(" ")]);
    }
  }
}

function withdrawAddress(world: World, node: DemoNode): void {
  const pod = endpoints(node)[1];
  const owner = world.cluster.ec2.account
    .interfacesOf(node.node.instance.id)
    .find((one) => unitsOf(one).some((unit) => unit.contains(pod.ipv4)));
  if (owner === undefined) throw new Error(`no interface has ${pod.ipv4}`);
  const left = unitsOf(owner).filter((unit) => !unit.contains(pod.ipv4) && !unit.contains(pod.ipv6));
  world.cluster.vpc.deliver(owner.id, left);
}
