import { describe, expect, it } from "vitest";
import { Cidr } from "../common/ip.ts";
import type { Rule } from "../common/kernel/rules.ts";
import { findLeftovers, type LeftoverFacts } from "./leftovers.ts";

const NOTHING: LeftoverFacts = { rules: [], linkNames: [], networkFiles: [], xtables: [], nftTables: [] };
const pod = Cidr.parse("10.0.0.57/32");

function rule(priority: number, rest: Partial<Rule> = {}): Rule {
  return { family: 4, priority, table: 254, protocol: 0, ...rest };
}

function chain(name: string, table = "nat"): LeftoverFacts["xtables"][number] {
  return { backend: "nft", family: 4, table, line: `:${name} - [0:0]` };
}

function owners(facts: Partial<LeftoverFacts>): string[] {
  return findLeftovers({ ...NOTHING, ...facts }).map(({ owner }) => owner);
}

describe("findLeftovers()", () => {
  it("aws-91: finds nothing on a node with our own, kube-proxy's and docker's things", () => {
    const facts = {
      rules: [
        rule(0, { table: 255 }),
        rule(402, { table: 4100, protocol: 197 }),
        rule(404, { table: 4102, protocol: 197, mark: { value: 0x200, mask: 0x1f00 } }),
        rule(32766),
      ],
      linkNames: ["lo", "eth0", "docker0", "veth12ab34c", "cw0123456789ab", "tunl0"],
      networkFiles: ["10-causeway.conflist", ".10-causeway.conflist.ab.tmp", "README"],
      xtables: ["KUBE-SERVICES", "DOCKER", "POSTROUTING"].map((name) => chain(name)),
      nftTables: ["inet causeway", "ip kube-proxy", "ip nat"],
    };
    expect(owners(facts)).toEqual([]);
  });

  it.each<[string, string, Partial<LeftoverFacts>, string]>([
    [
      "rules by mark",
      "amazon-vpc-cni",
      { rules: [rule(1024, { mark: { value: 0x80, mask: 0x80 } })] },
      "1 IPv4 rules 1024, to tables 254",
    ],
    [
      "rules of pods",
      "amazon-vpc-cni",
      { rules: [rule(1536, { from: pod, table: 3 }), rule(1536, { from: pod, table: 2 })] },
      "2 IPv4 rules 1536, to tables 2 3",
    ],
    [
      "rules to pods",
      "amazon-vpc-cni",
      { rules: [rule(512, { to: pod })] },
      "1 IPv4 rules 512, to tables 254",
    ],
    [
      "SNAT",
      "amazon-vpc-cni",
      { xtables: [chain("AWS-SNAT-CHAIN-0")] },
      "iptables-nft -t nat: chain AWS-SNAT-CHAIN-0",
    ],
    ["its nftables", "amazon-vpc-cni", { nftTables: ["ip aws-cni"] }, "nft table ip aws-cni"],
    ["a pod's link", "amazon-vpc-cni", { linkNames: ["eni0123456789a"] }, "eni0123456789a"],
    ["chains", "Cilium", { xtables: [chain("CILIUM_FORWARD")] }, "iptables-nft -t nat: chain CILIUM_FORWARD"],
    ["its link", "Cilium", { linkNames: ["cilium_host"] }, "cilium_host"],
    [
      "its proxy's rule",
      "Cilium",
      { rules: [rule(9, { mark: { value: 0x200, mask: 0xf00 }, table: 2004 })] },
      "1 IPv4 rules 9, to tables 2004",
    ],
    ["chains", "Calico", { xtables: [chain("cali-FORWARD")] }, "iptables-nft -t nat: chain cali-FORWARD"],
    ["a pod's link", "Calico or Terway", { linkNames: ["cali0123456789a"] }, "cali0123456789a"],
    ["its bridge", "Azure CNI", { linkNames: ["azure0"] }, "azure0"],
    ["SNAT", "Azure CNI", { xtables: [chain("SWIFT")] }, "iptables-nft -t nat: chain SWIFT"],
    [
      "rules of pods",
      "Terway",
      { rules: [rule(512, { to: pod }), rule(2048, { from: pod, table: 1003 })] },
      "1 IPv4 rules 512, to tables 254",
    ],
  ])("aws-91: names %s of %s, and what it does to pods", (_what, owner, facts, found) => {
    const [leftover, ...others] = findLeftovers({ ...NOTHING, ...facts });
    expect(leftover).toMatchObject({ owner, found: expect.arrayContaining([found]) });
    expect(leftover?.effect).toMatch(/\w/);
    expect(others).toEqual([]);
  });

  it("aws-91: says which network configuration the runtime loads, and which it does not", () => {
    const networkFiles = [
      "10-causeway.conflist",
      "99-loopback.conf",
      "10-aws.conflist",
      "05-cilium.conflist",
    ];
    expect(findLeftovers({ ...NOTHING, networkFiles })).toEqual([
      {
        owner: "another network configuration",
        found: ["05-cilium.conflist", "10-aws.conflist"],
        effect: expect.stringContaining("loads 05-cilium.conflist and not 10-causeway.conflist"),
      },
      {
        owner: "another network configuration",
        found: ["99-loopback.conf"],
        effect: "not loaded while 10-causeway.conflist is there",
      },
    ]);
  });

  it("names eight things of a kind, and counts the others", () => {
    const linkNames = Array.from({ length: 110 }, (_, index) => `lxc${index}`);
    const [leftover] = findLeftovers({ ...NOTHING, linkNames });
    expect(leftover?.found).toHaveLength(9);
    expect(leftover?.found.at(-1)).toBe("and 102 more");
  });
});
