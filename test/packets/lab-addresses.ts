/**
 * The addresses of the lab. Those of pods and nodes are kube-proxy's recorded ones, so that its rules meet every endpoint.
 * Units of eth0 and eth1 are single addresses, those of eth2 are blocks.
 */
import { Cidr, type Family, IpAddress } from "../../common/ip.ts";

type Both = { readonly 4: string; readonly 6: string };

export const NODE_A: readonly {
  readonly link: string;
  readonly own: Both;
  readonly units: readonly string[];
}[] = [
  { link: "eth0", own: { 4: "10.0.0.10", 6: "fd00:10::10" }, units: ["10.0.0.101", "fd00:10::101"] },
  { link: "eth1", own: { 4: "10.0.0.20", 6: "fd00:10::20" }, units: ["10.0.0.111", "fd00:10::111"] },
  {
    link: "eth2",
    own: { 4: "10.0.1.30", 6: "fd00:10:1::30" },
    units: ["10.0.1.112/28", "fd00:10:1::100/120"],
  },
];
export const NODE_B: typeof NODE_A = [
  {
    link: "eth0",
    own: { 4: "10.0.9.10", 6: "fd00:10:9::10" },
    units: ["10.0.9.50", "fd00:10:9::50"],
  },
];

/** Pods by name: p0, p1, p2 on node-a's eth0, eth1, eth2; rb on node-b. */
export const PODS = {
  p0: { 4: "10.0.0.101", 6: "fd00:10::101" },
  p1: { 4: "10.0.0.111", 6: "fd00:10::111" },
  p2: { 4: "10.0.1.121", 6: "fd00:10:1::121" },
  rb: { 4: "10.0.9.50", 6: "fd00:10:9::50" },
} as const;
export type PodName = keyof typeof PODS;
export const LOCAL_PODS = ["p0", "p1", "p2"] as const;

/** Machines that are no nodes: in the VPC, in eth2's subnet, and in a peered VPC. */
export const PEER: Both = { 4: "10.0.9.9", 6: "fd00:10:9::9" };
export const PEER1: Both = { 4: "10.0.1.50", 6: "fd00:10:1::50" };
export const PEERED: Both = { 4: "10.80.0.5", 6: "fd00:80::5" };

/** 1:1 translations at the internet's edge. */
export const PUBLIC: readonly (readonly [public_: string, private_: string])[] = [
  ["203.0.113.10", "10.0.0.10"],
  ["203.0.113.20", "10.0.0.20"],
  ["203.0.113.11", "10.0.9.10"],
];

export const VPC_CIDRS: readonly Cidr[] = ["10.0.0.0/16", "fd00:10::/32"].map((text) => Cidr.parse(text));

export function at(both: Both, family: Family): IpAddress {
  return IpAddress.parse(both[family]);
}
