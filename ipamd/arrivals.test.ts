import { beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId, parseMac } from "../common/ids.ts";
import type { Link } from "../common/kernel/links.ts";
import type { CloudInterface } from "../providers/provider.ts";
import { Arrivals } from "./arrivals.ts";
import type { Uplink } from "./uplink.ts";

const MAC = {
  carried: "02:00:00:00:00:01",
  coming: "02:00:00:00:00:02",
  foreign: "02:00:00:00:00:03",
  away: "02:00:00:00:00:04",
};
const ETH0: Link = { index: 2, name: "eth0", mac: parseMac(MAC.carried), mtuBytes: 9001, up: true, group: 0 };

let arrivals: Arrivals;
let linkIndexes: Set<number>;
let hasAnswered: boolean;

beforeEach(() => {
  linkIndexes = new Set([ETH0.index]);
  hasAnswered = true;
  const uplink = { mac: ETH0.mac, linkIndex: ETH0.index, linkName: ETH0.name } as Uplink;
  const interfaces = [
    cloud("carried", "shared"),
    cloud("coming", "ours"),
    cloud("foreign", "foreign"),
    { ...cloud("away", "ours"), state: "detached" as const },
  ];
  arrivals = new Arrivals({
    uplinks: { list: () => [uplink] },
    hasLink: (index) => linkIndexes.has(index),
    view: () => (hasAnswered ? { interfaces, networkCidrs: [] } : undefined),
  });
});

function cloud(name: keyof typeof MAC, ownership: CloudInterface["ownership"]): CloudInterface {
  return {
    id: `eni-${name}` as InterfaceId,
    mac: parseMac(MAC[name]),
    subnet: { id: "subnet-1" as CloudInterface["subnet"]["id"], zone: "a" },
    isPrimary: name === "carried",
    ownership,
    state: "attaching",
    cardIndex: 0,
    poolKey: DEFAULT_POOL,
    own: [],
    gateways: {},
    units: [],
    foreignUnits: [],
  };
}

const link = (mac: string | undefined, more: Partial<Link> = {}): Link => {
  const { mac: _, ...rest } = ETH0;
  return {
    ...rest,
    index: 7,
    name: "eth1",
    ...(mac !== undefined && { mac: parseMac(mac) }),
    ...more,
  };
};

describe("Arrivals.notice()", () => {
  it.each<readonly [string, Link, string | undefined]>([
    ["an interface of ours", link(MAC.coming), "expected"],
    [
      "an interface of ours that is a pair, as in the embedded cloud",
      link(MAC.coming, { kind: "veth" }),
      "expected",
    ],
    ["one that the cloud had as detached", link(MAC.away), "returned"],
    ["a bridge over it", link(MAC.coming, { kind: "bridge" }), undefined],
    ["an interface that is not ours", link(MAC.foreign), undefined],
    ["a device that the cloud has not told of", link("0a:00:00:00:00:09"), "unknown"],
    ["a container's pair", link("0a:00:00:00:00:09", { kind: "veth" }), undefined],
    ["a tunnel without an address", link(undefined, { kind: "ipip" }), undefined],
    ["loopback", link(undefined, { name: "lo" }), undefined],
    ["an uplink's own link", ETH0, undefined],
    ["an uplink's link under another name", { ...ETH0, name: "ens5" }, "returned"],
    ["a VLAN on an uplink", link(MAC.carried, { kind: "vlan", name: "eth0.7" }), undefined],
  ])("of %s", (_, subject, wanted) => {
    expect(arrivals.notice("set", subject)).toBe(wanted);
  });

  it("takes the link that an uplink has got anew for returned, once the old one is gone", () => {
    linkIndexes.clear();
    expect(arrivals.notice("set", link(MAC.carried))).toBe("returned");
  });

  it("tells each arrival once, and again when the link is another", () => {
    expect(arrivals.notice("set", link(MAC.coming))).toBe("expected");
    expect(arrivals.notice("set", link(MAC.coming, { up: false, mtuBytes: 1500 }))).toBeUndefined();
    expect(arrivals.notice("gone", link(MAC.coming))).toBeUndefined();
    expect(arrivals.notice("set", link(MAC.coming))).toBe("expected");
    expect(arrivals.notice("set", link(MAC.coming, { name: "ens6" }))).toBe("expected");
  });

  it("is silent before the cloud's first answer, which everything waits for", () => {
    hasAnswered = false;
    expect(arrivals.notice("set", link(MAC.coming))).toBeUndefined();
    hasAnswered = true;
    expect(arrivals.notice("set", link(MAC.coming))).toBe("expected");
  });
});
