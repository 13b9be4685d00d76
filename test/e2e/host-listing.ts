/** A node's network as `ip` and `nft` print it, for comparing a host before a damage and after its repair. */
import { existsSync, readFileSync } from "node:fs";
import { inNetns } from "../cloudsim/probe/index.ts";
import { runIn } from "../cloudsim/vpc/commands.ts";

const SHOWN = [
  "rule show",
  "route show table all",
  "neighbour show nud permanent",
  "address show",
  "link show",
];
const PARAMETERS = [
  "ipv4/ip_forward",
  "ipv6/conf/all/forwarding",
  "ipv4/conf/eth0/rp_filter",
  "ipv4/conf/eth1/rp_filter",
];

/** Sorted lines; what only counts or times is left out. Seven processes, some 40 ms. */
export function listHost(netnsPath: string): string[] {
  const ip = ([4, 6] as const).flatMap((family) =>
    runIn(netnsPath, ["ip", `-${family}`, "-d", "-o", "-batch", "-"], SHOWN.join("\n"))
      .split("\n")
      .map(
        (line) =>
          `IPv${family} ${line
            .replace(/^\d+: /, "")
            .replace(/(state|qlen|qdisc) \w+ ?/g, "")
            .trim()}`,
      ),
  );
  return [...ip, ...listTable(netnsPath), ...listAccepts(netnsPath), ...listParameters(netnsPath)].sort();
}

function listTable(netnsPath: string): string[] {
  const text = runIn(netnsPath, [
    "sh",
    "-c",
    "nft -j list table inet causeway 2>/dev/null || echo '{\"nftables\":[]}'",
  ]);
  const { nftables } = JSON.parse(text) as { readonly nftables: readonly Record<string, Listed>[] };
  return nftables.flatMap((entry) =>
    Object.entries(entry).flatMap(([kind, listed]) => {
      if (kind === "metainfo") return [];
      const { elem = [], handle: _handle, packets: _packets, bytes: _bytes, ...rest } = listed;
      const name = `nft ${kind} ${JSON.stringify(rest)}`;
      return [name, ...elem.map((element) => `nft ${kind} ${listed.name} ${JSON.stringify(element)}`)];
    }),
  );
}

/** Ours in FORWARD, with their places: what others have there is theirs. */
function listAccepts(netnsPath: string): string[] {
  return (["iptables-nft", "ip6tables-nft"] as const).flatMap((program) =>
    runIn(netnsPath, [program, "-S", "FORWARD"])
      .split("\n")
      .filter((line) => line.startsWith("-A"))
      .map((line, index) => `${program} ${index} ${line}`)
      .filter((line) => line.includes("causeway")),
  );
}

type Listed = {
  readonly name?: string;
  readonly handle?: number;
  readonly packets?: number;
  readonly bytes?: number;
  readonly elem?: readonly unknown[];
};

function listParameters(netnsPath: string): string[] {
  return inNetns(netnsPath, () =>
    PARAMETERS.map((name) => `/proc/sys/net/${name}`)
      .filter((path) => existsSync(path))
      .map((path) => `${path} ${readFileSync(path, "utf8").trim()}`),
  );
}
