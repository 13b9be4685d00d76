import { statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseMac } from "../../common/ids.ts";
import type { IpAddress } from "../../common/ip.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { inNetns, udpAsk } from "../cloudsim/probe/index.ts";
import { ipBatch, runIn } from "../cloudsim/vpc/commands.ts";
import type { Cluster, ClusterNode, PodOf } from "../cluster/cluster.ts";
import type { PluginRun, Sandbox } from "../cluster/runtime.ts";
import { createNetns, type TestNetns } from "../kernel/namespaces.ts";
import { until } from "../shim/waiting.ts";
import { Auditor } from "./audit.ts";
import { listHost } from "./host-listing.ts";
import { LivingNode, SETTINGS } from "./living-node.ts";

const COOLDOWN_MS = 1_000;

let life: LivingNode;
let cluster: Cluster;
let node: ClusterNode;
let auditor: Auditor;
let live: PodOf;
let friend: PodOf;

beforeAll(async () => {
  life = await LivingNode.start(`life${process.pid}`);
  ({ cluster, node, auditor, live, friend } = life);
});

afterAll(() => life[Symbol.asyncDispose]());

function many(count: number): TestNetns[] {
  return Array.from({ length: count }, () => createNetns());
}

function errorOf(run: PluginRun): { readonly code: number; readonly msg: string; readonly details: string } {
  expect(run.exitCode, run.stdout).toBe(1);
  return JSON.parse(run.stdout);
}

/** What a pod has, as it would show a stranger's hand. */
function listPod({ netnsPath }: Sandbox): string {
  return runIn(netnsPath, ["sh", "-c", "ip address; ip route; ip -6 route; ip neighbour show nud permanent"]);
}

describe("a pod that ends without a DEL", () => {
  const cases = [
    { name: "aws-01: frees every address when its namespace goes", pod: (index: number) => `gone-${index}` },
    { name: "oth-40: frees every address of sandboxes that a later plugin failed", pod: () => "same-pod" },
  ];
  for (const { name, pod } of cases)
    it(name, async () => {
      for (let round = 0; round < 3; round += 1) {
        const places = many(10);
        const added = await Promise.all(places.map((netns, index) => life.addIn(netns, pod(index))));
        expect(new Set(added.map(({ ipv4 }) => String(ipv4))).size).toBe(10);
        for (const netns of places) netns.destroy();
      }
      await life.onlyTheLiving();
    });
});

describe("DEL", () => {
  const reused = [
    { name: "aws-07: of a dead pod whose path is another pod's by now", netns: () => live.netnsPath },
    { name: "oth-42: of a dead pod whose path is the host's by now", netns: () => node.place.netnsPath },
  ];
  for (const { name, netns } of reused)
    it(`${name} touches nothing there`, async () => {
      using place = createNetns();
      const dead = await life.addIn(place, "dead");
      const [pod, host] = [listPod(live), runIn(node.place.netnsPath, ["ip", "address", "show", "eth0"])];
      const run = await node.runtime.exec("DEL", dead, { env: { CNI_NETNS: netns() } });
      expect(run).toMatchObject({ exitCode: 0, stdout: "" });
      await life.onlyTheLiving();
      expect(listPod(live)).toBe(pod);
      expect(runIn(node.place.netnsPath, ["ip", "address", "show", "eth0"])).toBe(host);
    });

  const odd: readonly {
    readonly name: string;
    readonly env?: Record<string, string | undefined>;
    readonly prevResult?: () => unknown;
  }[] = [
    { name: "oth-43: without CNI_NETNS", env: { CNI_NETNS: undefined } },
    { name: "oth-43: with an empty CNI_NETNS", env: { CNI_NETNS: "" } },
    { name: "oth-43: with a path that is gone", env: { CNI_NETNS: "/run/netns/none" } },
    { name: "oth-44: with an empty prevResult", prevResult: () => ({}) },
    { name: "oth-44: with a prevResult that is null", prevResult: () => null },
    {
      name: "aws-06: with a prevResult cut short",
      prevResult: () => ({ cniVersion: "1.0.0", interfaces: [] }),
    },
    {
      name: "oth-44: with the prevResult of another pod",
      prevResult: () => ({ cniVersion: "1.0.0", ips: [{ address: `${live.ipv4}/32` }] }),
    },
  ];
  for (const { name, env, prevResult } of odd)
    it(`${name} frees its own addresses, five times over`, async () => {
      using place = createNetns();
      const sandbox = await life.addIn(place, "ends");
      const config = { cniVersion: "1.0.0", name: "causeway", type: "causeway" };
      const stdin = JSON.stringify(
        prevResult === undefined ? config : { ...config, prevResult: prevResult() },
      );
      for (let time = 0; time < 5; time += 1) {
        const run = await node.runtime.exec("DEL", sandbox, { ...(env && { env }), stdin });
        expect(run).toMatchObject({ exitCode: 0, stdout: "" });
      }
      await auditor.settled(({ page }) => page.leases.length === 2);
    });

  it("aws-08: of an old sandbox leaves the new one of the same pod name alone", async () => {
    using first = createNetns();
    using second = createNetns();
    const [c1, c2] = [await life.addIn(first, "web-0"), await life.addIn(second, "web-0")];
    expect(c1.hostLink).not.toBe(c2.hostLink);
    expect(await life.isReached(second.path)).toBe(true);
    await node.runtime.del(c1);
    expect(await life.isReached(second.path)).toBe(true);
    await node.runtime.exec("DEL", c1, { env: { CNI_NETNS: "" } });
    expect(await life.isReached(second.path)).toBe(true);
    const { page } = await auditor.settled();
    expect(page.leases.map(({ containerId }) => containerId)).toContain(c2.containerId);
    await node.runtime.del(c2);
    await life.onlyTheLiving();
  });

  it("aws-10: and ADD of one attachment at any moment leave nothing once a DEL was last", async () => {
    const lane = async () => {
      using place = createNetns();
      for (let round = 0; round < 25; round += 1) {
        const sandbox = node.runtime.sandbox("raced", place.path);
        const late = async (command: string) => {
          await delay(Math.random() * 20);
          return node.runtime.exec(command, sandbox);
        };
        const [add, del] = await Promise.all([late("ADD"), late("DEL")]);
        expect(del).toMatchObject({ exitCode: 0 });
        expect([0, 1]).toContain(add.exitCode);
        await node.runtime.del(sandbox);
      }
    };
    await Promise.all([lane(), lane(), lane(), lane()]);
    await life.onlyTheLiving();
  });

  it("aws-36: while no daemon runs is done by the next one", async () => {
    const places = many(3);
    const pods = await Promise.all(places.map((place) => life.addIn(place)));
    await node.daemon?.stop("SIGKILL");
    for (const pod of pods) await node.runtime.del(pod);
    await node.startDaemon("serving", {}, SETTINGS);
    await life.onlyTheLiving();
    for (const place of places) place.destroy();
  });
});

describe("an ADD whose plugin was killed while it waited for the cloud", () => {
  it("aws-02, oth-41: leaves nothing, with and without a DEL", async () => {
    const slow = await life.addNode("slow");
    await slow.startDaemon("ready for pods", {}, SETTINGS);
    await using books = await Auditor.open(cluster, slow);
    await books.settled(({ page }) => page.uplinks[0]?.families.every(({ free }) => free >= 2) ?? false);
    cluster.ec2.faults.delay("*", 1_500, 1_000);
    const places = many(6);
    const calls = places.map((place) => {
      const sandbox = slow.runtime.sandbox("waits", place.path);
      return { sandbox, plugin: slow.runtime.start("ADD", sandbox) };
    });
    await until("four wait", async () => (await books.read()).page.waiting === 4, 4_000);
    const served = new Set((await books.read()).page.leases.map(({ containerId }) => containerId));
    const waiting = calls.filter(({ sandbox }) => !served.has(sandbox.containerId));
    for (const { plugin } of waiting) plugin.kill();
    const startedAt = performance.now();
    for (const { sandbox } of waiting.slice(2)) await slow.runtime.del(sandbox);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    cluster.ec2.faults.clear();
    const { page } = await books.settled(
      ({ page: now }) => now.waiting === 0 && (now.uplinks[0]?.families[0]?.free ?? 0) >= 2,
    );
    expect(page.leases.map(({ containerId }) => containerId).sort()).toEqual([...served].sort());
    await Promise.all(calls.map(({ plugin }) => plugin.run));
    await slow.daemon?.stop();
    for (const place of places) place.destroy();
  });
});

describe("the socket", () => {
  it("and its folder are root's alone", () => {
    expect(statSync(node.socketPath).mode & 0o777).toBe(0o600);
    expect(statSync(path.dirname(node.socketPath)).mode & 0o777).toBe(0o700);
  });

  it("refuses a second daemon, which touches nothing", async () => {
    const first = node.daemon;
    await life.settledWithSpare();
    const before = listHost(node.place.netnsPath);
    const second = node.launchDaemon({}, SETTINGS);
    expect(await second.exited).toMatchObject({ code: 1 });
    node.daemon = first;
    expect(second.logText()).toContain("another causeway daemon serves");
    expect(listHost(node.place.netnsPath)).toEqual(before);
    expect(await life.isReached(friend.netnsPath)).toBe(true);
  });

  it("serves others while clients say nothing", async () => {
    const silent = Array.from({ length: 20 }, () => connect(node.socketPath));
    using place = createNetns();
    await node.runtime.del(await life.addIn(place));
    for (const client of silent) client.destroy();
  });

  it("takes 1 MB of configuration, and refuses 3 MB by name", async () => {
    using place = createNetns();
    const stdinOf = (bytes: number) =>
      JSON.stringify({ cniVersion: "1.0.0", name: "causeway", type: "causeway", padding: "x".repeat(bytes) });
    const sandbox = node.runtime.sandbox("big", place.path);
    expect(errorOf(await node.runtime.exec("ADD", sandbox, { stdin: stdinOf(3 << 20) })).msg).toContain(
      "larger than the limit",
    );
    expect(await node.runtime.exec("ADD", sandbox, { stdin: stdinOf(1 << 20) })).toMatchObject({
      exitCode: 0,
    });
    await node.runtime.del(sandbox);
    await life.onlyTheLiving();
  });
});

describe("ADD", () => {
  it("refuses a container id that the journal cannot hold, naming it, and keeps nothing", async () => {
    using place = createNetns();
    const sandbox = { ...node.runtime.sandbox("long", place.path), containerId: "c".repeat(200) };
    const { code, msg } = errorOf(await node.runtime.exec("ADD", sandbox));
    expect(code).toBe(4);
    expect(msg).toMatch(/^ADD: CNI_CONTAINERID has 200 characters, at most 1\d\d with .*: "cccc/);
    await life.onlyTheLiving();
  });

  it("aws-49: gives IPv6 at once in a namespace with IPv6 disabled", async () => {
    using place = createNetns();
    inNetns(place.path, () => {
      for (const scope of ["all", "default"]) {
        writeFileSync(`/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`, "1");
        writeFileSync(`/proc/sys/net/ipv6/conf/${scope}/accept_dad`, "2");
      }
    });
    const sandbox = await life.addIn(place);
    expect(await life.isReached(place.path)).toBe(true);
    expect(runIn(place.path, ["ip", "-6", "address"])).not.toContain("tentative");
    await node.runtime.del(sandbox);
  });

  it("aws-32, oth-59: gives links an address that udev leaves alone, and holds it against one that does not", async () => {
    await using rewriter = await openKernelAsUdev();
    const places = many(10);
    const pods = await Promise.all(places.map((place) => life.addIn(place)));
    for (const { hostLink } of pods) expect(addressAssignType(hostLink)).toBe("3");
    await until("every link was rewritten", () => rewriter.rewritten >= 10, 5_000);
    for (const place of places) await until("the pod is reached", () => life.isReached(place.path), 1_000);
    for (const pod of pods) await node.runtime.del(pod);
    for (const place of places) place.destroy();
    await life.onlyTheLiving();
  });
});

describe("an address", () => {
  it("aws-41: is kept from the next pod while it cools, and its old connections are forgotten", async () => {
    using place = createNetns();
    const old = await life.addIn(place, "old");
    const to = old.ipv4 as IpAddress;
    await udpAsk(node.place.netnsPath, { to, port: 9, timeoutMs: 50 });
    const entries = () =>
      runIn(node.place.netnsPath, ["sh", "-c", "conntrack -L 2>/dev/null"])
        .split("\n")
        .filter((line) => line.includes(`=${to} `));
    expect(entries()).not.toEqual([]);
    await node.runtime.del(old);
    const deletedAt = performance.now();
    const next = await life.addIn(place, "next");
    expect(String(next.ipv4)).not.toBe(String(to));
    await auditor.settled(({ page }) => !page.cooling.includes(to.toString()));
    expect(performance.now() - deletedAt).toBeGreaterThan(COOLDOWN_MS - 100);
    expect(entries()).toEqual([]);
    await node.runtime.del(next);
    await life.onlyTheLiving();
  });

  it("aws-33: that a host link got while no daemon ran is taken off before it is given", async () => {
    const { page } = await auditor.settled(({ page: now }) => (now.uplinks[0]?.families[0]?.free ?? 0) > 0);
    const used = page.leases.flatMap(({ addresses }) => addresses);
    const free = page.uplinks
      .flatMap(({ units }) => units)
      .find((unit) => unit.endsWith("/32") && !used.includes(unit.slice(0, -3)));
    await node.daemon?.stop();
    ipBatch(node.place.netnsPath, [`address add ${free} dev lo`]);
    await node.startDaemon("serving", {}, SETTINGS);
    expect(runIn(node.place.netnsPath, ["ip", "address", "show", "lo"])).not.toContain(free?.slice(0, -3));
    await life.onlyTheLiving();
  });
});

describe("the nft table, deleted while no daemon runs,", () => {
  it("loses no lease: what pods have is not free once the cloud has named the units again", async () => {
    await node.daemon?.stop("SIGKILL");
    runIn(node.place.netnsPath, ["nft", "delete table inet causeway"]);
    await node.startDaemon("ready for pods", {}, SETTINGS);
    const places = many(6);
    const pods = await Promise.all(places.map((place) => life.addIn(place)));
    const { page } = await auditor.settled();
    expect(page.leases).toHaveLength(8);
    expect(await life.isReached(friend.netnsPath)).toBe(true);
    for (const pod of pods) await node.runtime.del(pod);
    for (const place of places) place.destroy();
    await life.onlyTheLiving();
  });
});

describe("a link's alias", () => {
  it("that somebody wrote is not ours to remove, and ours is put back over his", async () => {
    const netns = node.place.netnsPath;
    ipBatch(netns, [
      "link add cw0123456789ab type veth peer name theirs",
      "link set cw0123456789ab alias note",
      `link set ${friend.hostLink} alias note`,
    ]);
    const aliasOf = (link: string) =>
      (
        JSON.parse(runIn(netns, ["ip", "-d", "-j", "link", "show", link])) as [{ readonly ifalias?: string }]
      )[0].ifalias;
    await until("ours is back", () => aliasOf(friend.hostLink)?.startsWith("v1|ready|") ?? false, 1_000);
    await node.daemon?.stop("SIGKILL");
    await node.startDaemon("serving", {}, SETTINGS);
    await auditor.settled();
    expect(aliasOf("cw0123456789ab")).toBe("note");
    ipBatch(netns, ["link delete cw0123456789ab"]);
    await life.onlyTheLiving();
  });
});

describe("a stop", () => {
  it("under calls lets each of them end as its plugin says", async () => {
    const places = many(8);
    const sandboxes = places.map((place) => node.runtime.sandbox("stopped", place.path));
    const calls = sandboxes.map((sandbox) => node.runtime.exec("ADD", sandbox));
    await until("one is done", async () => (await auditor.read()).page.leases.length > 2, 5_000);
    await node.daemon?.stop("SIGTERM");
    expect(await node.daemon?.exited).toMatchObject({ code: 0 });
    await node.startDaemon("serving", {}, SETTINGS);
    const runs = await Promise.all(calls);
    expect(runs.map(({ exitCode, stdout }) => (exitCode === 0 ? "" : stdout))).toEqual(runs.map(() => ""));
    for (const place of places) expect(await life.isReached(place.path), node.daemon?.logText()).toBe(true);
    for (const sandbox of sandboxes) await node.runtime.del(sandbox);
    for (const place of places) place.destroy();
    await life.onlyTheLiving();
  });
});

/** 0 permanent, 1 random, 2 stolen, 3 set by user space (linux/netdevice.h); udev rewrites 1. */
function addressAssignType(link: string): string {
  const script = `mount -t sysfs none /sys && cat /sys/class/net/${link}/addr_assign_type`;
  return runIn(node.place.netnsPath, ["unshare", "--mount", "sh", "-c", script]).trim();
}

/** Gives every new pod link another hardware address, once, up to 200 ms after it came. */
async function openKernelAsUdev(): Promise<AsyncDisposable & { rewritten: number }> {
  const kernel = await openKernel({ netnsPath: node.place.netnsPath });
  const seen = new Set(kernel.host.links.list("veth").map(({ index }) => index));
  const udev = {
    rewritten: 0,
    [Symbol.asyncDispose]: () => kernel.close(),
  };
  kernel.events.subscribe((event) => {
    if (event.kind !== "link" || seen.has(event.link.index) || !event.link.name.startsWith("cw")) return;
    seen.add(event.link.index);
    setTimeout(() => {
      kernel.host.links.change(event.link.index, { mac: parseMac("02:de:ad:be:ef:01") });
      udev.rewritten += 1;
    }, Math.random() * 200);
  });
  return udev;
}
