import { describe, expect, it } from "vitest";
import { Cidr, type Family } from "../../common/ip.ts";
import type { Route } from "../../common/kernel/routes.ts";
import type { Rule } from "../../common/kernel/rules.ts";
import { findProblems, type HostFacts } from "./problems.ts";

const rule = (priority: number, table: number, rest: Partial<Rule> = {}): Rule => ({
  family: 4,
  priority,
  table,
  protocol: 3,
  ...rest,
});
const ours = (priority: number, table: number, rest: Partial<Rule> = {}) =>
  rule(priority, table, { protocol: 197, ...rest });
const route = (table: number, destination: string, type: Route["type"] = "unicast"): Route => ({
  table,
  destination: Cidr.parse(destination),
  type,
  protocol: 3,
  metric: 0,
});
const mark = (value: number, mask: number) => ({ mark: { value, mask } });

const PROXY_TABLE = [route(100, "0.0.0.0/0", "local")];
const MAIN = [route(254, "0.0.0.0/0"), route(254, "10.0.0.0/24")];
const KERNELS = [
  rule(0, 255, { protocol: 2 }),
  rule(32_766, 254, { protocol: 2 }),
  rule(32_767, 253, { protocol: 2 }),
];
const OURS = [
  ours(402, 4100),
  ours(403, 254, { suppressPrefixLength: 0, suppressLinkGroup: 4100 }),
  ours(404, 4101, mark(0x100, 0x1f00)),
  ours(404, 4102, mark(0x200, 0x1f00)),
  ours(405, 4102, { from: Cidr.parse("10.0.0.20/32") }),
];

function problems(rules: readonly Rule[], routes: readonly Route[] = [], rest: Partial<HostFacts> = {}) {
  return findProblems({
    rules: [...KERNELS, ...OURS, ...rules],
    routes: [...MAIN, ...routes],
    units: [Cidr.parse("10.0.0.32/28"), Cidr.parse("10.0.0.200/32")],
    uplinks: [
      { slot: 1, linkName: "eth0" },
      { slot: 2, linkName: "eth1" },
    ],
    ipv6DisabledOn: [],
    xtables: [],
    ...rest,
  });
}

const codes = (...args: Parameters<typeof problems>) => problems(...args).map(({ code }) => code);

describe("findProblems()", () => {
  it("finds none in a host that has only the kernel's rules and ours", () => {
    expect(problems([])).toEqual([]);
  });

  it("names a transparent proxy's rule after ours, with its priority, mark and table", () => {
    const [found, ...more] = problems([rule(32_765, 100, mark(1, 1))], PROXY_TABLE);
    expect(more).toEqual([]);
    expect(found).toMatchObject({ code: "rule-hidden", severity: "warning" });
    expect(found?.sentence).toContain("IPv4 rule 32765 (from all fwmark 0x1/0x1 lookup 100)");
    expect(found?.sentence).toContain("Give it a priority below 400");
  });

  const taking: [string, Rule, readonly Route[]][] = [
    ["everything, by main", rule(100, 254), []],
    ["everything, by a table of its own", rule(100, 77), [route(77, "0.0.0.0/0")]],
    [
      "all but a VPN's own packets",
      rule(401, 51, { ...mark(0xca6c, 0xffff_ffff), inverted: true }),
      [route(51, "0.0.0.0/0")],
    ],
    ["main's subnets, where pods are", rule(399, 254, { suppressPrefixLength: 0 }), []],
    [
      "destinations where pods are",
      rule(100, 77, { to: Cidr.parse("10.0.0.0/16") }),
      [route(77, "0.0.0.0/0")],
    ],
    ["what is not for pods, before the marks", rule(403, 254), []],
  ];
  it.each(taking)("refuses a rule before ours that takes %s", (_, foreign, routes) => {
    expect(problems([foreign], routes)).toMatchObject([{ code: "rule-hides-ours", severity: "refused" }]);
  });

  it("says what a rule before ours takes", () => {
    const to = Cidr.parse("10.0.0.0/16");
    const [found] = problems([rule(100, 77, { to })], [route(77, "0.0.0.0/0")]);
    expect(found?.sentence).toContain("IPv4 rule 100 (from all to 10.0.0.0/16 lookup 77)");
    expect(found?.sentence).toContain("takes 10.0.0.0/16, where pods are");
    expect(problems([rule(100, 254)])[0]?.sentence).toContain("takes everything");
  });

  const harmless: [string, Rule, readonly Route[]][] = [
    ["of a transparent proxy before ours", rule(9, 100, mark(0x10000, 0xf0000)), PROXY_TABLE],
    ["of a VPN's networks after ours", rule(5270, 52), [route(52, "100.64.0.0/10")]],
    [
      "of a VPN that takes all but its own, after ours",
      rule(32_765, 51, { ...mark(0xca6c, 0xffff_ffff), inverted: true }),
      [route(51, "0.0.0.0/0")],
    ],
    ["for networks of others before ours", rule(100, 77), [route(77, "192.168.0.0/16")]],
    [
      "of the local table that was moved",
      rule(100, 255),
      [{ ...route(255, "10.0.0.200/32", "local"), protocol: 2 }],
    ],
    ["after the kernel's for main", rule(40_000, 100, mark(1, 1)), PROXY_TABLE],
    [
      "whose default route it suppresses",
      rule(100, 77, { suppressPrefixLength: 0 }),
      [route(77, "0.0.0.0/0")],
    ],
    ["that reaches into a unit after the pods' rule", rule(403, 77), [route(77, "10.0.0.0/24")]],
    [
      "for all but a mark of ours, after ours",
      rule(1000, 77, { ...mark(0x200, 0xf00), inverted: true }),
      [route(77, "0.0.0.0/0")],
    ],
    [
      "by the node's source address after ours",
      rule(32_765, 77, { from: Cidr.parse("10.0.0.10/32") }),
      [route(77, "0.0.0.0/0")],
    ],
    ["by a source before ours", rule(100, 77, { from: Cidr.parse("10.9.0.0/16") }), [route(77, "0.0.0.0/0")]],
    ["of a VRF before ours", rule(100, 77, { narrowed: true }), [route(77, "0.0.0.0/0")]],
    ["with an empty table before ours", rule(100, 77), []],
    ["by a mark, to a VPN, after ours", rule(1000, 77, mark(1, 1)), [route(77, "0.0.0.0/0")]],
    ["that looks nothing up", rule(100, 0), []],
    [
      "to destinations where no pods are",
      rule(100, 77, { to: Cidr.parse("10.1.0.0/16") }),
      [route(77, "0.0.0.0/0")],
    ],
  ];
  it.each(harmless)("leaves a rule alone: one %s", (_, foreign, routes) => {
    expect(problems([foreign], routes)).toEqual([]);
  });

  it("names a mark that is an uplink's too, while there is such an uplink", () => {
    const foreign = [rule(9, 2004, mark(0x200, 0xf00))];
    const [found] = problems(foreign);
    expect(found).toMatchObject({ code: "mark-shared", severity: "warning" });
    expect(found?.sentence).toContain("IPv4 rule 9 (from all fwmark 0x200/0xf00 lookup 2004)");
    expect(found?.sentence).toContain("uplink eth1");
    expect(codes(foreign, [], { uplinks: [{ slot: 1, linkName: "eth0" }] })).toEqual([]);
  });

  it("names a proxy's rule that compares our bits of the mark, with the mask to give it", () => {
    const [found] = problems([rule(9, 100, mark(1, 0xffff_ffff))], PROXY_TABLE);
    expect(found).toMatchObject({ code: "mark-shared", severity: "warning" });
    expect(found?.sentence).toContain("Give it the mask 0xffffe0ff");
  });

  it("looks at a rule with the routes of its own family", () => {
    const foreign = (family: Family) => rule(100, 77, { family });
    expect(codes([foreign(6)], [route(77, "0.0.0.0/0")])).toEqual([]);
    expect(codes([foreign(6)], [route(77, "::/0")])).toEqual(["rule-hides-ours"]);
  });

  it("names a route of the local table where pods are, unless it is the kernel's own", () => {
    const local = (destination: string, protocol: number) => ({
      ...route(255, destination, "local"),
      protocol,
    });
    expect(codes([], [local("10.0.0.200/32", 2), local("10.9.0.0/24", 66)])).toEqual([]);
    const [found] = problems([], [local("10.0.0.0/24", 66)]);
    expect(found).toMatchObject({ code: "local-route", severity: "refused" });
    expect(found?.sentence).toContain("the local table has 10.0.0.0/24 (protocol 66)");
  });

  it("names IPv6 that is disabled on an uplink", () => {
    expect(problems([], [], { ipv6DisabledOn: ["eth1"] })).toMatchObject([
      { code: "ipv6-disabled", severity: "refused", sentence: expect.stringContaining("net.ipv6.conf.eth1") },
    ]);
  });

  it("names both xtables back-ends once per family that has rules of others in both", () => {
    const xtables = [
      { family: 4, backends: ["nft", "legacy"] },
      { family: 6, backends: ["nft"] },
    ] as const;
    const [found, ...more] = problems([], [], { xtables });
    expect(more).toEqual([]);
    expect(found).toMatchObject({ code: "two-xtables", severity: "handled" });
    expect(found?.sentence).toMatch(/^IPv4 .*nft and legacy.*iptables-legacy-save/);
  });
});
