import { describe, expect, it } from "vitest";
import type { PoolView } from "../pool-view.ts";
import { explainPool } from "./explain-text.ts";

const DEFAULTS = {
  "ip-families": { value: "ipv4", from: "default" },
  "address-unit": { value: "auto", from: "default" },
  "spare-addresses": { value: "2", from: "default" },
  "ip-cooldown-period": { value: "30", from: "default" },
  "cloud-writes": { value: "all", from: "default" },
};

const QUIET: PoolView = {
  uplinks: [
    {
      slot: 1,
      link: "eth0",
      interfaceId: "eni-1",
      poolKey: "default",
      own: ["10.0.0.229"],
      units: ["10.0.0.35/32", "10.0.0.39/32", "10.0.0.57/32"],
      setAside: [],
      releasing: [],
      families: [
        { family: 4, free: 2, leased: 1, cooling: 0 },
        { family: 6, free: 0, leased: 0, cooling: 0 },
      ],
    },
  ],
  leases: [],
  cooling: [],
  waiting: 0,
  waitingPods: [],
  plan: { leased: 1, cooling: 0, pending: 0, free: 2, coming: 0, target: 3, spare: 2 },
  running: [],
  obstacles: [],
  settings: DEFAULTS,
  describedAgoMs: 12_400,
  problems: [],
};

const text = (view: PoolView) => `${explainPool(view).join("\n")}\n`;

describe("explainPool()", () => {
  it("of a pool that has what it wants says the sum and that nobody waits", () => {
    expect(text(QUIET)).toBe(`\
Wanted: 3 addresses: 1 leased + 0 cooling + 0 expected + 2 spare = 3.
Held: 3 on 1 interface: 1 leased, 0 cooling, 2 free.
  eth0 (eni-1): IPv4 1 leased, 0 cooling, 2 free
Nothing is being asked of the cloud, whose last answer is 12 s old.
No pod waits for an address.
Settings that make the difference:
  spare-addresses=2 (default)
`);
  });

  it("of an instance that is full names the limit, who waits and since when, and settings with their origins", () => {
    const limit = "the limit max-eni=1 is reached: 1 interfaces are in use";
    const view: PoolView = {
      ...QUIET,
      waiting: 2,
      waitingPods: [
        { pod: "demo/web-1", forMs: 12_000 },
        { pod: "demo/web-2", forMs: 300_000 },
      ],
      plan: { leased: 9, cooling: 1, pending: 2, free: 0, coming: 0, target: 15, spare: 3 },
      limit,
      limitReason: "InstanceFull",
      obstacles: [
        { what: "creation", code: "limit-reached", why: "the limit max-eni=1 is reached", forMs: 90_000 },
      ],
      settings: {
        ...DEFAULTS,
        "warm-ip-target": { value: "3", from: "override gpu" },
        "minimum-ip-target": { value: "0", from: "file" },
        "max-eni": { value: "1", from: "file" },
      },
      problems: [{ code: "mark-shared", severity: "warning", sentence: "a rule compares our bits" }],
    };
    expect(text(view)).toBe(`\
Wanted: 15 addresses: 9 leased + 1 cooling + 2 expected + 3 spare = 15.
Held: 10 on 1 interface: 9 leased, 1 cooling, 0 free.
  eth0 (eni-1): IPv4 1 leased, 0 cooling, 2 free
Nothing is being asked of the cloud, whose last answer is 12 s old.
Nothing more can be had (InstanceFull): ${limit}.
  creation, for 90 s at most
2 pods wait for an address, for the reason above:
  demo/web-1, for 12 s
  demo/web-2, for 5 min
Settings that make the difference:
  warm-ip-target=3 (override gpu)
  max-eni=1 (file)
Problems on this node:
  warning: mark-shared: a rule compares our bits
`);
  });

  it("of a pool that grows in dual stack says what is asked for, what is set aside and what is in the way of others", () => {
    const [uplink] = QUIET.uplinks;
    if (uplink === undefined) throw new Error("no uplink");
    const view: PoolView = {
      ...QUIET,
      uplinks: [
        {
          ...uplink,
          units: ["10.0.0.48/28", "2001:db8:a::/80"],
          setAside: ["10.0.0.48/28"],
          releasing: ["10.0.0.9/32"],
          families: [
            { family: 4, free: 0, leased: 16, cooling: 0 },
            { family: 6, free: Number.MAX_SAFE_INTEGER, leased: 16, cooling: 0 },
          ],
        },
        { ...uplink, slot: 2, link: "eth1", interfaceId: "eni-2", units: [] },
      ],
      plan: { leased: 16, cooling: 0, pending: 4, free: 0, coming: 16, target: 22, spare: 2 },
      running: [
        { kind: "assign", what: "1 IPv4 /28 block for eni-1" },
        { kind: "create", what: "a new interface with 3 IPv4 addresses" },
      ],
      obstacles: [
        {
          what: "full-subnet subnet-a",
          code: "subnet-exhausted",
          why: "CreateNetworkInterface: subnet-a has no free address",
          forMs: 55_000,
        },
      ],
      settings: { ...DEFAULTS, "ip-families": { value: "ipv4,ipv6", from: "start" } },
    };
    expect(text(view)).toBe(`\
Wanted: addresses for 22 pods, each of ipv4 and ipv6: 16 leased + 0 cooling + 4 expected + 2 spare = 22.
Held: 16 on 2 interfaces: 16 leased, 0 cooling, 0 free.
  eth0 (eni-1): IPv4 16 leased, 0 cooling, 0 free; IPv6 16 leased, 0 cooling, plenty free
    set aside, because the cloud does not list it: 10.0.0.48/28
    on its way back to the cloud: 10.0.0.9/32
  eth1 (eni-2): no address for pods
Being asked of the cloud, whose last answer is 12 s old; 16 are coming:
  1 IPv4 /28 block for eni-1
  a new interface with 3 IPv4 addresses
In the way, but not of what is wanted now:
  full-subnet subnet-a, for 55 s at most: CreateNetworkInterface: subnet-a has no free address
No pod waits for an address.
Settings that make the difference:
  spare-addresses=2 (default)
`);
  });

  it("of a start without the cloud says that nothing is known yet", () => {
    const { plan: _, describedAgoMs: __, ...rest } = QUIET;
    const view: PoolView = {
      ...rest,
      uplinks: [],
      waiting: 1,
      waitingPods: [{ pod: "demo/web", forMs: 4_000 }],
      limit: "DescribeNetworkInterfaces: no answer",
      limitReason: "CloudUnavailable",
    };
    expect(text(view)).toBe(`\
The cloud has not answered yet: nothing is wanted until it is known what is there.
Nothing is being asked of the cloud.
Nothing more can be had (CloudUnavailable): DescribeNetworkInterfaces: no answer.
1 pod waits for an address, for the reason above:
  demo/web, for 4 s
Settings that make the difference:
  spare-addresses=2 (default)
`);
  });

  it("names those that have waited longest, and counts the others", () => {
    const waitingPods = Array.from({ length: 100 }, (_, n) => ({ pod: `demo/${n}`, forMs: 60_000 - n }));
    const lines = explainPool({ ...QUIET, waitingPods });
    expect(lines).toContain("100 pods wait for an address:");
    expect(lines).toContain("  demo/19, for 60 s");
    expect(lines.filter((line) => line.startsWith("  demo/"))).toHaveLength(20);
    expect(lines).toContain("  and 80 more");
  });

  it.each([
    [
      "no pod has come",
      { leased: 0, cooling: 0, spare: 0, target: 0 },
      {},
      "No pod has come yet: the first ones bring the spare with them.",
    ],
    [
      "kubelet accepts no more",
      { leased: 9, cooling: 1, spare: 1, target: 11 },
      { maxPods: 10 },
      "No more than the 10 pods that kubelet accepts.",
    ],
    [
      "addresses cool down",
      { leased: 3, cooling: 2, spare: 0, target: 5 },
      {},
      "What cools down stands in for the spare: pods are known here before they ask.",
    ],
  ] as const)("says why the spare is small when %s", (_, count, more, sentence) => {
    const view: PoolView = { ...QUIET, ...more, plan: { pending: 0, free: 0, coming: 0, ...count } };
    expect(explainPool(view)[1]).toBe(`  ${sentence}`);
  });

  it.each([
    [{ "address-unit": "block", "warm-prefix-target": "1" }, ["address-unit=block", "warm-prefix-target=1"]],
    [{ "warm-prefix-target": "1" }, ["spare-addresses=2"]],
    [{ "warm-eni-target": "1" }, ["warm-eni-target=1"]],
    [{ "warm-eni-target": "1", "minimum-ip-target": "9" }, ["minimum-ip-target=9"]],
  ])("of %j names what decides about the target", (written, wanted) => {
    const own = Object.entries(written).map(([name, value]) => [name, { value, from: "file" }]);
    const lines = explainPool({ ...QUIET, settings: { ...DEFAULTS, ...Object.fromEntries(own) } });
    const named = lines.slice(lines.indexOf("Settings that make the difference:") + 1);
    expect(named.map((line) => line.trim().split(" ")[0]).sort()).toEqual(wanted);
  });
});
