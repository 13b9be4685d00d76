import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Added } from "../../cni/add.ts";
import { checkPod } from "../../cni/check.ts";
import { parsePrevResult } from "../../cni/prev-result.ts";
import { repair } from "../../cni/repair.ts";
import { podResult, printResult } from "../../cni/result.ts";
import type { ContainerId } from "../../common/ids.ts";
import { AttachNode, attachment, path, run } from "./attach-node.ts";

const never = new AbortController().signal;
let world: AttachNode;
let added: Added;

beforeEach(async () => {
  world = await AttachNode.start();
  added = await world.add();
});

afterEach(() => world[Symbol.asyncDispose]());

/** What the runtime has been told, in 1.1.0. */
function told(changes: Readonly<Record<string, unknown>> = {}): object {
  const { link, ifname } = added.network;
  const result = podResult(
    added.lease,
    { name: link.hostName, mac: link.hostMac },
    { name: ifname, mac: link.podMac, netns: added.netnsPath },
  );
  return { ...printResult(result, "1.1.0"), ...changes };
}

function check(prevResult: object = told(), netnsPath = added.netnsPath, who = attachment): Promise<void> {
  const prev = parsePrevResult(prevResult);
  return checkPod(world.deps, { attachment: who, netnsPath, ...(prev && { prevResult: prev }) }, never);
}

/** A line of `ip` or `nft` words: N, P, L, 4 and 6 stand for node, pod's namespace, host link and the pod's addresses. */
function sh(line: string): void {
  const { lease, network } = added;
  const words = {
    N: world.node,
    P: world.podNetns,
    L: network.link.hostName,
    "4": lease.ipv4,
    "6": lease.ipv6,
  };
  run(
    "sh",
    "-ec",
    line.replace(/(?<!-)\b[NPL46]\b(?=[ /.]|$)/g, (word) => String(words[word as keyof typeof words])),
  );
}

/** All that a CHECK could have written. The operational state of links is left out: it follows a moment later. */
function listing(): string {
  const objects = [
    "link",
    "address",
    "neighbour show nud permanent",
    "-4 route show table all",
    "-6 route show table all",
    "rule",
  ];
  const both = [world.node, world.podNetns].flatMap((name) =>
    objects.map((what) => run("ip", "-n", name, ...what.split(" "))),
  );
  const table = run("ip", "netns", "exec", world.node, "nft", "-s", "list", "ruleset");
  return [...both, table].join("\n").replace(/ state \S+| linkdown|NO-CARRIER,/g, "");
}

describe("CHECK on the real kernel", () => {
  it("succeeds right after ADD, and changes nothing", async () => {
    const before = listing();
    await check();
    expect(listing()).toBe(before);
  });

  it.each([
    ["an IPv4 address of the pod", "ip -n P address del 4/32 dev eth0", /address 10\S+\/32 of the pod/],
    ["an IPv6 address of the pod", "ip -n P address del 6/128 dev eth0", /address fd00\S+\/128 of the pod/],
    ["the pod's IPv4 default route", "ip -n P route del default", /route unicast 0\.0\.0\.0\/0 via 169/],
    ["the pod's IPv6 default route", "ip -n P -6 route del default", /route unicast ::\/0 via fe80::c:1/],
    ["the pod's gateway neighbour", "ip -n P neigh del 169.254.1.1 dev eth0", /neighbour 169\.254\.1\.1/],
    [
      "the route to the pod",
      "ip -n N route del 4 table 4100 proto 197 dev L",
      /unicast 10\S+ link \d+ src|unicast 10/,
    ],
    [
      "the record of its address",
      "ip -n N route del unreachable 4 table 4100 metric 4096",
      /route unreachable/,
    ],
    ["the host's neighbour", "ip -n N neigh del 4 dev L", /neighbour 10\S+ 02:\S+ of the host/],
    [
      "the host's gateway address",
      "ip -n N address del fe80::c:1/64 dev L",
      /address fe80::c:1\/64 of the host/,
    ],
    ["the lease's alias", "ip -n N link set L alias nothing", /alias of link cw.*found nothing/],
    ["the host link's MAC", "ip -n N link set L address 02:00:00:00:00:99", /MAC of link.*00:99/],
    ["the host link's MTU", "ip -n N link set L mtu 1400", /MTU of link cw.*expected 9001, found 1400/],
    ["the pod link's MTU", "ip -n P link set eth0 mtu 1400", /MTU of link eth0.*expected 9001, found 1400/],
    ["the host link, set down", "ip -n N link set L down", /link cw\S+: expected up, found down/],
    ["the pod's link, set down", "ip -n P link set eth0 down", /link eth0 in CNI_NETNS: expected up/],
    ["the pod's link, removed", "ip -n P link del eth0", /link cw\S+: expected there, found none/],
    [
      "the pod's link, renamed",
      "ip -n P link set eth0 down name eth9",
      /link eth0 in CNI_NETNS: expected there/,
    ],
    ["the rule to the pods table", "ip -n N rule del pref 402", /IPv4 rule 402 lookup 4100/],
    ["the rule of its uplink's mark", "ip -n N -6 rule del pref 404", /IPv6 rule 404 fwmark 0x100\/0x1f00/],
    ["a genuine pair", "ip netns exec N nft flush set inet causeway genuine6", /nft genuine cw\S+ fd00/],
    [
      "the uplink of its unit",
      "ip netns exec N nft flush map inet causeway uplink4",
      /uplink slot of 10\S+: expected 1, found none/,
    ],
    [
      "a parameter of the host link",
      "ip netns exec N sysctl -qw net.ipv4.conf.L.rp_filter=0",
      /rp_filter of the host: expected 1, found 0/,
    ],
  ])("names %s as the first difference, and repairs nothing", async (_what, damage, message) => {
    sh(damage);
    const before = listing();
    await expect(check()).rejects.toMatchObject({ number: 100, message: expect.stringMatching(message) });
    expect(listing()).toBe(before);
  });

  it("oth-56: a MAC that a chained plugin gave the pod is no difference once the host follows", async () => {
    sh("ip -n P link set eth0 address 02:42:0a:3c:00:99");
    await expect(check()).rejects.toMatchObject({ message: expect.stringMatching(/of the host/) });
    repair(world.kernel, added.lease);
    await check();
  });

  it.each([
    [
      "without an address of the lease",
      { ips: [{ address: "10.9.9.9/32" }] },
      /address in prevResult: expected 10\.0.*found 10\.9\.9\.9/,
    ],
    ["with no interfaces", { interfaces: [] }, /interface in prevResult: expected eth0, found none/],
    [
      "of another plugin",
      { interfaces: [{ name: "net9", sandbox: "/x" }], ips: [] },
      /address in prevResult.*found none/,
    ],
  ])("names what is wrong in a prevResult %s", async (_what, changes, message) => {
    await expect(check(told(changes))).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });

  it("wants what a later plugin promised on the pod's link, and no more", async () => {
    const { ips, interfaces } = told() as { ips: object[]; interfaces: object[] };
    const more = [
      ...ips,
      { address: "192.0.2.1/24", interface: 1 },
      { address: "192.0.2.2/24", interface: 2 },
    ];
    const later = told({
      ips: more,
      interfaces: [...interfaces, { name: "net1", sandbox: added.netnsPath }],
    });
    await expect(check(later)).rejects.toMatchObject({ message: expect.stringContaining("192.0.2.1/24") });
    sh("ip -n P address add 192.0.2.1/24 dev eth0");
    await check(later);
  });

  it("is code 7 without a prevResult", async () => {
    const request = { attachment, netnsPath: added.netnsPath };
    await expect(checkPod(world.deps, request, never)).rejects.toMatchObject({ number: 7 });
  });

  it.each([
    ["an empty namespace", () => world.addNetns("other"), /link eth0 in CNI_NETNS: expected there/],
    ["the node's", () => path(world.node), /link eth0 in CNI_NETNS: expected there/],
    ["no namespace", () => "/run/netns/none-such", /none-such/],
  ])("looks into the namespace of CNI_NETNS: %s", async (_what, netns, message) => {
    await expect(check(told(), netns())).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });

  it("finds another live pod's namespace out", async () => {
    const other = world.addNetns("other");
    const who = { containerId: "bb02" as ContainerId, ifname: "eth0" };
    await world.add(1, who, other);
    const message = /link eth0 in CNI_NETNS: expected the peer of cw\S+, found the peer of link \d+/;
    await expect(check(told(), other)).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });

  it("names the container and interface that have no lease", async () => {
    const who = { containerId: "never" as ContainerId, ifname: "net7" };
    const message = "CHECK: lease of container never interface net7: expected one, found none";
    await expect(check(told(), added.netnsPath, who)).rejects.toMatchObject({ message });
  });
});
