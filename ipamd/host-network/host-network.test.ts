import { expect, test } from "vitest";
import { parseMac } from "../../common/ids.ts";
import { Cidr, IpAddress } from "../../common/ip.ts";
import type { HostNetworkInput } from "./input.ts";
import { renderElements, renderTable, withGenuine } from "./nft-table.ts";
import { planHostNetwork } from "./plan.ts";
import type { LoadedUplink } from "./uplinks.ts";

const address = (text: string) => IpAddress.parse(text);

function uplink(slot: number, own: string, units: readonly string[]): LoadedUplink {
  return {
    slot,
    linkName: `eth${slot - 1}`,
    linkIndex: slot + 1,
    mac: parseMac(`02:00:00:00:00:0${slot}`),
    addresses: [{ address: address(own), prefixLength: 24 }],
    gateways: [address("10.0.0.1"), address("fe80::1")],
    isPrimary: slot === 1,
    units: units.map((unit) => Cidr.parse(unit)),
  };
}

const INPUT: HostNetworkInput = {
  uplinks: [
    uplink(1, "10.0.0.10", ["10.0.0.101"]),
    uplink(2, "10.0.0.20", ["10.0.0.112/28", "2001:db8::/80"]),
  ],
  inside: ["10.0.0.0/16", "10.1.0.0/16", "10.0.5.0/24"].map((text) => Cidr.parse(text)),
  settings: { externalSnat: false, families: [4, 6] },
};

test("planHostNetwork() gives the same rules whatever the number of units", () => {
  const many = Array.from({ length: 200 }, (_, index) => `10.0.2.${index}`);
  const [first, second] = [uplink(1, "10.0.0.10", many), INPUT.uplinks[1] as LoadedUplink];
  expect(planHostNetwork({ ...INPUT, uplinks: [first, second] }).rules).toEqual(planHostNetwork(INPUT).rules);
});

test("planHostNetwork() sets uplinks' parameters before forwarding", () => {
  const paths = planHostNetwork(INPUT).sysctls.map(({ path }) => path);
  expect(paths.slice(-2)).toEqual(["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"]);
  expect(paths).not.toContain("net/ipv6/conf/eth0/accept_dad");
});

test("planHostNetwork() leaves the primary's addresses to the machine", () => {
  expect(planHostNetwork(INPUT).addresses).toEqual([
    { linkIndex: 3, address: address("10.0.0.20"), prefixLength: 24, noPrefixRoute: true },
  ]);
});

test("planHostNetwork() plans one family alone", () => {
  const plan = planHostNetwork({ ...INPUT, settings: { externalSnat: false, families: [4] } });
  expect(new Set(plan.rules.map((rule) => rule.family))).toEqual(new Set([4]));
  expect(new Set(plan.routes.map((route) => route.destination.family))).toEqual(new Set([4]));
  expect(plan.sysctls.filter(({ path }) => path.includes("ipv6"))).toEqual([]);
});

test.each([0, 2])("planHostNetwork() refuses %d primary uplinks", (count) => {
  const uplinks = INPUT.uplinks.map((one) => ({ ...one, isPrimary: count === 2 }));
  expect(() => planHostNetwork({ ...INPUT, uplinks })).toThrow(`${count} primary uplinks`);
});

test("a unit that holds an uplink's own address does not take that address from the host", () => {
  const uplinks = [INPUT.uplinks[0] as LoadedUplink, uplink(2, "10.0.0.120", ["10.0.0.112/28", "10.0.0.7"])];
  expect(planHostNetwork({ ...INPUT, uplinks }).podUnits.map(String)).toEqual([
    "10.0.0.101/32",
    "10.0.0.7/32",
  ]);
});

test("renderTable() gives merged CIDRs, units with their uplinks, and counters that go on", () => {
  const { nft } = planHostNetwork(INPUT);
  const pair = { set: "genuine", link: "cw000000000001", address: address("10.0.0.101") } as const;
  const text = renderTable(withGenuine(nft, [pair]), new Map([["spoofed", 7]]));
  expect(text).toContain("elements = { 10.0.0.0/15 }");
  expect(text).toContain("elements = { 10.0.0.101 : goto use-1, 10.0.0.112/28 : goto use-2 }");
  expect(text).toContain('elements = { "cw000000000001" . 10.0.0.101 }');
  expect(text).toContain("counter spoofed { packets 7 bytes 0 }");
});

test("the nft table translates nothing anew with external SNAT, and marks by source whatever the destination", () => {
  const { nft } = planHostNetwork({ ...INPUT, settings: { externalSnat: true, families: [4, 6] } });
  const text = renderTable(nft);
  expect(text).not.toContain("snat ip to");
  expect(nft.chains.filter(({ hook }) => hook?.startsWith("type nat"))).toHaveLength(1);
  expect(text).not.toContain("@inside4");
});

test("oth-82: pods' packets to outside are translated from random ports, and the node's own are not translated", () => {
  const snat = renderTable(planHostNetwork(INPUT).nft)
    .split("\n")
    .filter((line) => line.includes("snat ip to"));
  expect(snat).not.toEqual([]);
  for (const rule of snat) expect(rule).toMatch(/ip saddr @units4 .*fully-random$/);
});

test("renderElements() empties a set that has none", () => {
  const set = { kind: "set", name: "inside4", type: "ipv4_addr", interval: true, elements: [] } as const;
  expect(renderElements([set])).toBe("flush set inet causeway inside4");
});
