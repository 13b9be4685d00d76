/**
 * kube-proxy's part, played by rules that a real kube-proxy 1.37 wrote (test/fixtures/kube-proxy). Their endpoints are
 * fixed addresses; a caller with others gives a translation.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { inNetns } from "./probe/netns-window.ts";
import { nftLoad, runIn } from "./vpc/commands.ts";

export type KubeProxyMode = "iptables" | "nftables";

/** Addresses in the recording. Service N is 172.20.0.N and fd00:20::N. */
export const RECORDED = {
  node: { 4: "10.0.0.10", 6: "fd00:10::10" },
  /** Pods of the node. */
  p101: { 4: "10.0.0.101", 6: "fd00:10::101" },
  p111: { 4: "10.0.0.111", 6: "fd00:10::111" },
  p121: { 4: "10.0.1.121", 6: "fd00:10:1::121" },
  /** A pod of another node. */
  remote: { 4: "10.0.9.50", 6: "fd00:10:9::50" },
} as const;

/** ClusterIP Services of the recording by name: the last part of their address. */
export const SERVICE = {
  /** UDP and TCP 53: p101, remote. */
  dns: 10,
  /** All these: port 80 to 8080. p101, p111, remote. */
  web: 80,
  /** p111, remote; also NODE_PORT.cluster. */
  npCluster: 81,
  /** p111, remote; also NODE_PORT.local. */
  npLocal: 82,
  /** The node itself; also NODE_PORT.host. */
  npHost: 83,
  /** p121. */
  one: 84,
  /** No endpoint. */
  empty: 85,
} as const;

/** TCP ports at the node's addresses. */
export const NODE_PORT = { cluster: 31080, local: 31081, host: 31082 } as const;

export type KubeProxySpec = {
  readonly mode: KubeProxyMode;
  /** Recorded address -> the one to use instead. */
  readonly translate?: ReadonlyMap<string, string>;
  /** More addresses that take NodePorts in nftables mode (--nodeport-addresses); iptables mode takes all. */
  readonly nodePortAddresses?: readonly string[];
};

/** Loads the rules, both families. In iptables mode also lets 127/8 be routed, as kube-proxy does. */
export function installKubeProxy(netnsPath: string, spec: KubeProxySpec): void {
  const load = (name: string): string => translated(recording(name), spec.translate ?? new Map());
  if (spec.mode === "nftables") {
    const more = (spec.nodePortAddresses ?? []).map((address) => {
      const family = address.includes(":") ? "ip6" : "ip";
      return `add element ${family} kube-proxy nodeport-ips { ${address} }`;
    });
    nftLoad(netnsPath, [load("nftables"), ...more].join("\n"));
    return;
  }
  // --noflush: the policies and the rules that others have stay
  runIn(netnsPath, ["iptables-nft-restore", "--noflush"], asInstalled(load("iptables-v4")));
  runIn(netnsPath, ["ip6tables-nft-restore", "--noflush"], asInstalled(load("iptables-v6")));
  inNetns(netnsPath, () => writeFileSync("/proc/sys/net/ipv4/conf/all/route_localnet", "1"));
}

function recording(name: string): string {
  return readFileSync(new URL(`../fixtures/kube-proxy/${name}.txt`, import.meta.url), "utf8");
}

/**
 * Without the policies, which are the recording machine's; and with the jumps out of the kernel's own chains put before
 * whatever is there, as kube-proxy does it.
 */
function asInstalled(text: string): string {
  const positions = new Map<string, number>();
  let table = "";
  return text
    .split("\n")
    .filter((line) => !/^:(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) /.test(line))
    .map((line) => {
      if (line.startsWith("*")) table = line;
      return line.replace(/^-A (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) /, (_, chain: string) => {
        const position = (positions.get(table + chain) ?? 0) + 1;
        positions.set(table + chain, position);
        return `-I ${chain} ${position} `;
      });
    })
    .join("\n");
}

/** All at once, so that two addresses can change places; only whole addresses. */
function translated(text: string, translate: ReadonlyMap<string, string>): string {
  return text.replace(/[0-9a-f]*[.:][0-9a-f.:]+/g, (word) => {
    const address = /^(.*?[^.:])(:\d+)$/.exec(word);
    const exact = translate.get(word);
    if (exact !== undefined) return exact;
    const [whole, port] = [address?.[1], address?.[2]];
    const other = whole !== undefined && word.includes(".") ? translate.get(whole) : undefined;
    return other === undefined ? word : `${other}${port}`;
  });
}
