/** Programs that share the node with us: NodeLocal DNS, meshes that translate probes, old iptables, the VPC's router. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { POD_GATEWAY_IPV6 } from "../../common/constants.ts";
import type { InterfaceId } from "../../common/ids.ts";
import { IpAddress } from "../../common/ip.ts";
import {
  inNetns,
  sendRouterAdvert,
  sendSolicitation,
  tcpAsk,
  udpAsk,
  udpEcho,
} from "../cloudsim/probe/index.ts";
import { ipBatch, nftLoad } from "../cloudsim/vpc/commands.ts";
import { formatRisen, risen, runIn } from "../cloudsim/vpc/index.ts";
import { buildLab, type Lab } from "./lab.ts";
import { at, LOCAL_PODS, PODS } from "./lab-addresses.ts";
import { openWorld, PORT, type World } from "./world.ts";

let lab: Lab;
let world: World;

beforeAll(async () => {
  lab = await buildLab({ id: "others", profile: { rpFilter: 1, forward: "drop" }, kubeProxy: "iptables" });
  world = openWorld(lab);
});
afterAll(async () => {
  world[Symbol.dispose]();
  await lab[Symbol.asyncDispose]();
});

test.each(["169.254.20.10", "172.20.0.10"])(
  "a NodeLocal DNS at %s, untracked, answers every pod",
  async (text) => {
    const [node, address] = [lab.nodeA.netnsPath, IpAddress.parse(text)];
    ipBatch(node, [`address add ${address}/32 dev lo`]);
    nftLoad(
      node,
      `table ip nodelocal {
      chain in { type filter hook prerouting priority raw; ip daddr ${address} udp dport 53 notrack; }
      chain out { type filter hook output priority raw; ip saddr ${address} udp sport 53 notrack; }
    }`.replaceAll("; }", ";\n}"),
    );
    using _server = udpEcho({ netnsPath: node, address, port: PORT.dns, name: "nodelocal" });
    const before = lab.vpc.counters();
    for (const name of LOCAL_PODS) {
      const reply = await udpAsk(lab.pod(name).netnsPath, { to: address, port: PORT.dns });
      expect(reply, name).toMatchObject({ ok: true, server: "nodelocal", seenSource: at(PODS[name], 4) });
    }
    expect(formatRisen(risen(before, lab.vpc.counters()))).toBe("nothing");
    nftLoad(node, "delete table ip nodelocal");
    ipBatch(node, [`address delete ${address}/32 dev lo`]);
  },
);

test("probes that a mesh translates to a link-local source are answered by every pod", async () => {
  const node = lab.nodeA.netnsPath;
  nftLoad(
    node,
    `table ip mesh {
      chain out { type nat hook postrouting priority 90; oifname "cw*" tcp dport ${PORT.echo} snat to 169.254.7.127;
      }
    }`,
  );
  for (const name of LOCAL_PODS) {
    const reply = await tcpAsk(node, { to: at(PODS[name], 4), port: PORT.echo });
    expect(reply, name).toMatchObject({ ok: true, server: name });
  }
  nftLoad(node, "delete table ip mesh");
});

test.each(["0", "1"])("the node probes its pods with tcp_early_demux %s", async (value) => {
  runIn(lab.nodeA.netnsPath, ["sysctl", "-qw", `net.ipv4.tcp_early_demux=${value}`]);
  for (const name of LOCAL_PODS) {
    for (const family of [4, 6] as const) {
      const reply = await tcpAsk(lab.nodeA.netnsPath, { to: at(PODS[name], family), port: PORT.echo });
      expect(reply, `${name} ${family}`).toMatchObject({ ok: true, server: name });
    }
  }
});

test("a FORWARD chain of the old iptables with policy DROP is opened too", async () => {
  const node = lab.nodeA.netnsPath;
  runIn(node, ["iptables-legacy", "-P", "FORWARD", "DROP"]);
  const question = { to: at(PODS.p2, 4), port: PORT.echo };
  expect(await tcpAsk(lab.peer.netnsPath, question)).toMatchObject({ ok: false });
  expect(await lab.reapply(lab.nodeA, lab.nodeA.plan)).toEqual(["xtables: FORWARD of legacy IPv4"]);
  expect(await tcpAsk(lab.peer.netnsPath, question)).toMatchObject({ ok: true });
  expect(await lab.reapply(lab.nodeA, lab.nodeA.plan)).toEqual([]);
});

test("the router's advertisements are still taken by an uplink of a node that forwards", async () => {
  const { netnsPath } = lab.vpc.fabric;
  const port = lab.vpc.fabric.portLink("eni-node-a-eth0" as InterfaceId);
  const [link] = JSON.parse(runIn(netnsPath, ["ip", "-j", "link", "show", "dev", port])) as {
    ifindex: number;
  }[];
  sendRouterAdvert(netnsPath, link?.ifindex ?? 0, IpAddress.parse("2001:db8:66::"));
  const addresses = () =>
    inNetns(lab.nodeA.netnsPath, () => readFileSync("/proc/thread-self/net/if_inet6", "utf8"));
  await expect.poll(addresses, { timeout: 2000 }).toContain("20010db800660000");
});

test("discovery with false sources makes no neighbour entries on the node", () => {
  const [pod, node] = [lab.pod("p0").netnsPath, lab.nodeA.netnsPath];
  const sources = Array.from({ length: 50 }, (_, index) => `fe80::bad:${index + 1}`);
  ipBatch(
    pod,
    sources.map((source) => `address add ${source}/64 dev eth0 nodad`),
  );
  const [link] = JSON.parse(runIn(pod, ["ip", "-j", "link", "show", "dev", "eth0"])) as { ifindex: number }[];
  for (const source of sources) {
    const from = IpAddress.parse(source);
    sendSolicitation(pod, { from, target: IpAddress.parse(POD_GATEWAY_IPV6), linkIndex: link?.ifindex ?? 0 });
  }
  expect(runIn(node, ["ip", "-6", "neighbour"])).not.toContain("bad:");
});
