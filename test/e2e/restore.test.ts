import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IpAddress } from "../../common/ip.ts";
import { tcpAsk, tcpEcho } from "../cloudsim/probe/index.ts";
import { ipBatch, runIn } from "../cloudsim/vpc/commands.ts";
import { ROUTER_IPV6 } from "../cloudsim/vpc/fabric.ts";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { EXT } from "../cloudsim/vpc/vpc.ts";
import { Cluster, type ClusterNode, type PodOf, twoZones } from "../cluster/cluster.ts";
import { until } from "../shim/waiting.ts";
import { listHost } from "./host-listing.ts";

/** From the end of the damage to a host that is as it was. */
const RESTORED_MS = 1_000;
/** Of 5 s: a busy loop would take all of it. */
const CPU_OF_A_FIGHT_MS = 1_500;
const TOLD = [
  "the host's network was changed behind us; restored",
  "an address of the pool was on a host link; removed",
];

let cluster: Cluster;
let node: ClusterNode;
/** On the primary uplink, and on the first secondary one. */
let near: PodOf;
let far: PodOf;
let netns: string;
const echoes: Disposable[] = [];
const PORT = 8080;

beforeAll(async () => {
  cluster = await Cluster.build(twoZones(`restore${process.pid}`));
  node = await cluster.addNode({
    name: "node",
    subnetId: "subnet-a",
    instanceType: "t3.small",
    profile: HOSTILE,
    publicIpv4: "203.0.113.10",
  });
  netns = node.place.netnsPath;
  await node.startDaemon();
  near = await node.addPod("near");
  for (const name of ["p1", "p2", "far"]) far = await node.addPod(name);
  for (const text of [EXT.ipv4, EXT.ipv6]) {
    echoes.push(
      tcpEcho({
        netnsPath: cluster.vpc.ext.netnsPath,
        address: IpAddress.parse(text),
        port: PORT,
        name: "ext",
      }),
    );
  }
  for (const address of [far.ipv4, far.ipv6]) {
    if (address !== undefined)
      echoes.push(tcpEcho({ netnsPath: far.netnsPath, address, port: PORT, name: "far" }));
  }
  await settled();
});

afterAll(async () => {
  for (const echo of echoes) echo[Symbol.dispose]();
  await cluster[Symbol.asyncDispose]();
});

/** The daemon has done what it began: nothing changes for a while. */
async function settled(): Promise<string[]> {
  let before = listHost(netns);
  for (let same = 0; same < 3; ) {
    await delay(60);
    const now = listHost(netns);
    same = now.join("\n") === before.join("\n") ? same + 1 : 0;
    before = now;
  }
  return before;
}

/** Damages the host, and waits until it is as it was: that long at most. Traffic must go again, and the log must say so once. */
async function expectRestored(damage: () => void): Promise<void> {
  const before = await settled();
  const toldBefore = tellings();
  damage();
  let now: string[] = [];
  const isRestored = () => {
    now = listHost(netns);
    return now.join("\n") === before.join("\n");
  };
  await until("restored", isRestored, RESTORED_MS).catch(() => undefined);
  expect(now, node.daemon?.logText()).toEqual(before);
  await expectTraffic();
  await until("told", () => tellings() > toldBefore, RESTORED_MS).catch(() => undefined);
  expect(tellings() - toldBefore, node.daemon?.logText()).toBe(1);
}

function tellings(): number {
  return node.daemon?.lines.filter(({ msg }) => TOLD.includes(msg)).length ?? 0;
}

async function expectTraffic(): Promise<void> {
  const ask = (pod: PodOf, to: string | IpAddress | undefined) =>
    tcpAsk(pod.netnsPath, { to: IpAddress.parse(String(to)), port: PORT });
  const asked = await Promise.all([
    ask(near, far.ipv4),
    ask(near, far.ipv6),
    ask(far, EXT.ipv4),
    ask(far, EXT.ipv6),
    ask(near, EXT.ipv4),
    ask(near, EXT.ipv6),
  ]);
  expect(asked.map((reply) => (reply.ok ? reply.server : reply.reason))).toEqual([
    "far",
    "far",
    "ext",
    "ext",
    "ext",
    "ext",
  ]);
}

type ListedRule = { readonly priority: number; readonly protocol?: string; readonly table?: string };

/** As networkd's ManageForeignRoutingPolicyRules: every rule that is not the kernel's. */
function deleteForeignRules(): void {
  for (const family of [4, 6] as const) {
    const rules = JSON.parse(runIn(netns, ["ip", `-${family}`, "-d", "-j", "rule", "show"])) as ListedRule[];
    ipBatch(
      netns,
      rules
        .filter(({ protocol }) => protocol !== "kernel")
        .map(({ priority }) => `rule delete priority ${priority}`),
      family,
    );
  }
}

function flushRules(): void {
  for (const family of [4, 6] as const) {
    const standard = [["32766", "main"], ...(family === 4 ? [["32767", "default"]] : [])];
    ipBatch(
      netns,
      [
        "rule flush",
        ...standard.map(
          ([priority, table]) => `rule add priority ${priority} lookup ${table} protocol kernel`,
        ),
      ],
      family,
    );
  }
}

const ip = (...lines: string[]) => ipBatch(netns, lines);
const nft = (...words: string[]) => void runIn(netns, ["nft", words.join(" ")]);
const iptables = (words: string) => void runIn(netns, ["iptables-nft", ...words.split(" ")]);
const ip6tables = (words: string) => void runIn(netns, ["ip6tables-nft", ...words.split(" ")]);
const sysctl = (setting: string) => void runIn(netns, ["sysctl", "-qw", setting]);
const flushTables = (...tables: number[]) => {
  for (const family of [4, 6] as const)
    ipBatch(
      netns,
      tables.map((table) => `route flush table ${table}`),
      family,
    );
};

/** What others do to a host, by what the daemon restores then. */
const DAMAGES: readonly { readonly name: string; readonly damage: () => void }[] = [
  { name: "aws-29: rules that networkd removed as foreign", damage: deleteForeignRules },
  { name: "all rules of both families", damage: flushRules },
  { name: "flushed tables of uplinks", damage: () => flushTables(4101, 4102) },
  { name: "the flushed table of pods", damage: () => flushTables(4100) },
  { name: "its deleted nft table", damage: () => nft("delete table inet causeway") },
  { name: "a flushed chain", damage: () => nft("flush chain inet causeway", firstChain()) },
  { name: "the emptied map of units", damage: () => nft("flush map inet causeway uplink4") },
  { name: "the emptied set of genuine pairs", damage: () => nft("flush set inet causeway genuine6") },
  {
    name: "aws-29: a secondary uplink set down and up",
    damage: () => ip("link set eth1 down", "link set eth1 up"),
  },
  { name: "a secondary uplink set down", damage: () => ip("link set eth1 down") },
  {
    name: "aws-29: the primary uplink set down and up, and configured by its DHCP client",
    damage: () =>
      ip(
        "link set eth0 down",
        "link set eth0 up",
        `address add ${node.addresses.ipv6}/128 dev eth0 nodad`,
        "route add default via 10.0.0.1 dev eth0",
        `route add ::/0 via ${ROUTER_IPV6} dev eth0 metric 512`,
      ),
  },
  { name: "an uplink whose group was reset", damage: () => ip("link set eth1 group default") },
  {
    name: "a pod's link set down and up",
    damage: () => ip(`link set ${far.hostLink} down`, `link set ${far.hostLink} up`),
  },
  { name: "a pod link's cleared alias", damage: () => ip(`link set ${far.hostLink} alias ""`) },
  { name: "a pod's link set down", damage: () => ip(`link set ${far.hostLink} down`) },
  {
    name: "aws-33: a pod's address that a host link has got",
    damage: () => ip(`address add ${far.ipv4}/24 dev eth1`),
  },
  {
    name: "a pod's removed route",
    damage: () => ip(`route delete ${far.ipv4}/32 dev ${far.hostLink} table 4100`),
  },
  {
    name: "a pod's removed neighbour",
    damage: () => ip(`neighbour delete ${far.ipv4} dev ${far.hostLink}`),
  },
  {
    name: "a pod's IPv6 gateway address",
    damage: () => ip(`address flush dev ${far.hostLink} scope link`),
  },
  {
    name: "oth-59: a pod link's rewritten hardware address",
    damage: () => ip(`link set ${far.hostLink} address 02:00:00:00:be:ef`),
  },
  {
    name: "aws-30: what a DHCP client does to a secondary uplink",
    damage: () => {
      // an address that the cloud gives nobody
      ip("address add 192.0.2.99/24 dev eth1", "route add default via 10.0.0.1 dev eth1 metric 512 onlink");
      flushTables(4102);
    },
  },
  { name: "the flushed FORWARD chain of IPv4", damage: () => iptables("-F FORWARD") },
  { name: "the flushed FORWARD chain of IPv6", damage: () => ip6tables("-F FORWARD") },
  { name: "one removed accept of IPv4", damage: () => iptables("-D FORWARD 1") },
  { name: "one removed accept of IPv6", damage: () => ip6tables("-D FORWARD 3") },
  {
    name: "accepts that docker's restart has put its own rules before",
    damage: () => {
      iptables("-I FORWARD -m mark --mark 0x8000/0x8000 -j DROP");
      ip6tables("-I FORWARD -m mark --mark 0x8000/0x8000 -j DROP");
    },
  },
  { name: "the deleted filter table", damage: () => nft("delete table ip filter") },
  {
    name: "a default route that has taken the place of an uplink's",
    damage: () => ip("route replace default via 10.0.0.1 dev eth1 table 4102 onlink"),
  },
  { name: "rp_filter of an uplink", damage: () => sysctl("net.ipv4.conf.eth1.rp_filter=1") },
  { name: "forwarding of IPv4", damage: () => sysctl("net.ipv4.ip_forward=0") },
  { name: "forwarding of IPv6", damage: () => sysctl("net.ipv6.conf.all.forwarding=0") },
];

describe("within a second the daemon restores", () => {
  for (const { name, damage } of DAMAGES) it(name, () => expectRestored(damage), 15_000);
});

describe("an adversary that removes what is restored, every 100 ms", () => {
  it("aws-29: costs the daemon little, and loses at last", async () => {
    const before = await settled();
    const [cpuBefore, toldBefore] = [cpuMs(), tellings()];
    const end = performance.now() + 5_000;
    while (performance.now() < end) {
      deleteForeignRules();
      await delay(100);
    }
    const cpu = cpuMs() - cpuBefore;
    expect(cpu).toBeLessThan(CPU_OF_A_FIGHT_MS);
    expect(tellings() - toldBefore).toBe(1);
    await until("restored", () => listHost(netns).join("\n") === before.join("\n"), 7_000);
    await expectTraffic();
  }, 30_000);
});

/** Time of the daemon's threads and of the programs that it ran, from /proc/PID/stat: clock ticks of 10 ms, fields 14 to 17. */
function cpuMs(): number {
  const stat = readFileSync(`/proc/${node.daemon?.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}

function firstChain(): string {
  const { nftables } = JSON.parse(runIn(netns, ["nft", "-j", "list", "table", "inet", "causeway"])) as {
    readonly nftables: readonly { readonly chain?: { readonly name: string; readonly hook?: string } }[];
  };
  return nftables.find(({ chain }) => chain?.hook === "prerouting")?.chain?.name ?? "";
}
