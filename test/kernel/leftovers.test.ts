/** What other CNIs leave, laid on a real node: it is named, and the commands of the operator's page take exactly it away. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { readLeftoverFacts } from "../../ipamd/leftover-facts.ts";
import { findLeftovers, type Leftover } from "../../ipamd/leftovers.ts";
import { createNetns, type TestNetns } from "./namespaces.ts";

let node: TestNetns;
let kernel: Kernel;

beforeEach(async () => {
  node = createNetns();
  kernel = await openKernel({ netnsPath: node.path });
  sh(OTHERS);
});

afterEach(async () => {
  await kernel.close();
  node.destroy();
});

function sh(script: string): string {
  return execFileSync("ip", ["netns", "exec", node.name, "sh", "-ec", script], { encoding: "utf8" });
}

/** What a node has that is nobody's leftover: kube-proxy's chains in both back-ends, other tables, rules and links. */
const OTHERS = `
ip link add docker0 type bridge
ip rule add pref 402 lookup 4100 protocol 197
ip rule add pref 2000 from 10.9.9.9 lookup 77
for program in iptables-nft iptables-legacy; do
  $program -t nat -N KUBE-SERVICES
  $program -t nat -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
done
iptables-nft -A FORWARD -i cw+ -m comment --comment causeway -j ACCEPT
nft add table inet causeway
`;

const LEFT = {
  "amazon-vpc-cni": {
    kinds: 4,
    script: `
ip rule add pref 512 to 10.0.0.57 lookup main
ip rule add pref 512 to 10.0.0.58 lookup main
ip rule add pref 1024 fwmark 0x80/0x80 lookup main
ip rule add pref 1536 from 10.0.0.58 lookup 2
ip link add eni0123456789a type bridge
for program in iptables-nft iptables-legacy; do
  $program -t nat -N AWS-SNAT-CHAIN-0
  $program -t nat -A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
  $program -t nat -A AWS-SNAT-CHAIN-0 ! -d 10.0.0.0/16 -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.0.0.1
  $program -t nat -N AWS-CONNMARK-CHAIN-0
  $program -t nat -A PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -j AWS-CONNMARK-CHAIN-0
  $program -t nat -A AWS-CONNMARK-CHAIN-0 -j CONNMARK --set-xmark 0x80/0x80
  $program -t mangle -A PREROUTING -i eni+ -m comment --comment "AWS, primary ENI" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
done
nft add table ip aws-cni`,
  },
  Cilium: {
    kinds: 3,
    script: `
ip rule add pref 9 fwmark 0x200/0xf00 lookup 2004
ip link add cilium_host type veth peer name cilium_net
iptables-nft -N CILIUM_FORWARD
iptables-nft -A FORWARD -m comment --comment "cilium-feeder: CILIUM_FORWARD" -j CILIUM_FORWARD
ip6tables-nft -t nat -N OLD_CILIUM_PRE_nat`,
  },
  Calico: {
    kinds: 2,
    script: `
ip link add cali0123456789a type bridge
iptables-nft -N cali-FORWARD
iptables-nft -N cali-from-wl-dispatch
iptables-nft -A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
iptables-nft -A cali-FORWARD -g cali-from-wl-dispatch
nft add table ip6 calico`,
  },
  "Azure CNI": {
    kinds: 2,
    script: `
ip link add azv0123456789a type bridge
iptables-nft -t nat -N SWIFT
iptables-nft -t nat -A POSTROUTING -j SWIFT`,
  },
  Terway: {
    kinds: 2,
    script: `
ip rule add pref 512 to 10.0.0.57 lookup main
ip rule add pref 2048 from 10.0.0.57 lookup 1003
ip link add cali0123456789a type bridge`,
  },
} as const;

/** Rules, links, chains and tables, without counters. */
function everything(): string[] {
  return sh(`
ip rule; ip -6 rule; ip -o link | sed 's/: <.*//; s/^[0-9]*: //' | sort; nft list tables | grep -v -E 'ip6? (nat|mangle|raw|filter)$'
for program in iptables-nft ip6tables-nft iptables-legacy; do $program-save; done | grep -v -E '^#' | sed -E 's/ \\[[0-9:]+\\]//'`)
    .split("\n")
    .filter((line) => !/^(\*|COMMIT|:[A-Z]+ ACCEPT)/.test(line));
}

async function leftovers(): Promise<Leftover[]> {
  return findLeftovers(await readLeftoverFacts({ host: kernel.host, netnsPath: node.path }));
}

/** The shell blocks of the page: the functions, and those of one CNI. */
function commandsFor(owner: string): string {
  const blocks = readFileSync("docs/operations.md", "utf8").matchAll(/```sh\n([\s\S]*?)```/g);
  const [functions = "", ...others] = [...blocks].map(([, block = ""]) => block);
  const own = others.find((block) => block.startsWith(`# ${owner}\n`));
  if (own === undefined) throw new Error(`no commands for ${owner}`);
  return functions + own.replaceAll("/etc/cni/net.d", "/run/no-such-folder");
}

it("aws-91: finds nothing of other CNIs on a node of ours with kube-proxy", async () => {
  expect(await leftovers()).toEqual([]);
});

it.each(Object.entries(LEFT))(
  "aws-91: names all that %s left, and the documented commands remove it and nothing else",
  async (owner, { kinds, script }) => {
    const before = everything();
    sh(script);
    expect(everything()).not.toEqual(before);
    const found = await leftovers();
    expect(found).toHaveLength(kinds);
    for (const leftover of found) expect(leftover.owner).toContain(owner);
    sh(commandsFor(owner));
    expect(await leftovers()).toEqual([]);
    expect(everything()).toEqual(before);
  },
);
