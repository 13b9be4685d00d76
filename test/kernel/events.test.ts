import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseMac } from "../../common/ids.ts";
import { IpAddress } from "../../common/ip.ts";
import type { KernelEvent } from "../../common/kernel/events.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { testTable } from "../conformance/nft-table.ts";
import { createNetns, run, type TestNetns } from "./namespaces.ts";

let host: TestNetns;
let pod: TestNetns;
let kernel: Kernel;

beforeEach(async () => {
  [host, pod] = [createNetns(), createNetns()];
  kernel = await openKernel({ netnsPath: host.path });
});
afterEach(async () => {
  await kernel.close();
  for (const netns of [host, pod]) netns.destroy();
});

function createPair(): void {
  using netns = kernel.netns.open(pod.path);
  const [hostMac, podMac] = [parseMac("0a:00:00:00:00:01"), parseMac("0a:00:00:00:00:02")];
  const pair = { hostName: "cw0", hostMac, podName: "eth0", podMac, mtuBytes: 1500, podNetnsFd: netns.fd };
  kernel.host.links.createPair(pair);
}

/** Watches while it acts, until an event fits; gives all that were seen. */
async function watch(act: () => unknown, fits: (event: KernelEvent) => boolean): Promise<KernelEvent[]> {
  const seen: KernelEvent[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  using _ = kernel.events.subscribe((event) => {
    seen.push(event);
    if (fits(event)) resolve();
  });
  await act();
  await promise;
  return seen;
}

const isRule = (priority: number) => (event: KernelEvent) =>
  event.kind === "rule" && event.rule.priority === priority;
/** Something of another process that ends a watch. */
const endWatch = () => run(`ip -n ${host.name} rule add priority 999 lookup main`);

describe("NetlinkEvents", () => {
  it("tells that any far end may have been set when reading them fails, and goes on", async () => {
    const seen: string[] = [];
    let failures = 1;
    using _ = kernel.events.subscribe((event) => {
      if (event.kind !== "peer") return;
      if (failures-- > 0) throw new Error("cannot be read");
      seen.push(event.link === undefined ? "any" : "one");
    });
    createPair();
    run(`ip -n ${pod.name} link set eth0 down`);
    await expect.poll(() => seen).toContain("any");
    run(`ip -n ${pod.name} link set eth0 up`);
    await expect.poll(() => seen).toContain("one");
  });

  it("tells links, addresses, routes and rules that iproute2 changes, in both families and in order", async () => {
    const ip = (command: string) => run(`ip -n ${host.name} ${command}`);
    const seen = await watch(() => {
      ip("link add cw0 type veth peer name cw1");
      ip("addr add 10.0.0.1/32 dev cw0");
      ip("route add unreachable 10.0.0.5 table 4100 proto 197");
      ip("-6 route add blackhole 2001:db8::/80 table 4100 proto 197 metric 8192");
      ip("route flush table 4100");
      ip("-6 rule add priority 402 lookup 4100 protocol 197");
      ip("link delete cw0");
      endWatch();
    }, isRule(999));
    // of every new link the kernel tells its parameters
    const others = seen.filter((event) => event.kind !== "parameter");
    const told = others.map((event) => {
      if (event.kind === "link") return `${event.kind} ${event.change} ${event.link.name}`;
      if (event.kind === "address") return `${event.kind} ${event.change} ${event.address.address}`;
      if (event.kind === "route")
        return `${event.kind} ${event.change} ${event.route.type} ${event.route.destination}`;
      return event.kind === "rule"
        ? `${event.kind} ${event.change} ${event.family} ${event.rule.table}`
        : event.kind;
    });
    expect(told).toEqual([
      "link set cw1",
      "link set cw0",
      "address set 10.0.0.1",
      "route set unreachable 10.0.0.5/32",
      "route set blackhole 2001:db8::/80",
      "route gone unreachable 10.0.0.5/32",
      "rule set 6 4100",
      "address gone 10.0.0.1",
      "link gone cw0",
      "link gone cw1",
      "rule set 4 254",
    ]);
  });

  it("tells which parameter was set, and which permanent neighbour was removed", async () => {
    createPair();
    kernel.host.links.change("cw0", { up: true });
    const linkIndex = kernel.host.links.find("cw0")?.index ?? 0;
    kernel.host.neighbours.set({ linkIndex, address: IpAddress.parse("10.0.0.5"), mac: "0a:00:00:00:00:02" });
    const seen = await watch(() => {
      host.exec("sysctl -qw net.ipv4.ip_forward=1");
      host.exec("sysctl -qw net.ipv4.ip_forward=0");
      host.exec("sysctl -qw net.ipv4.conf.cw0.rp_filter=1");
      host.exec("sysctl -qw net.ipv6.conf.all.forwarding=1");
      host.exec("ip neighbour delete 10.0.0.5 dev cw0");
      endWatch();
    }, isRule(999));
    const all = { kind: "parameter", scope: "all" };
    expect(seen).toContainEqual({ ...all, family: 4, forwarding: false });
    expect(seen).toContainEqual({ ...all, family: 6, forwarding: true });
    expect(seen).toContainEqual({ kind: "parameter", scope: "link", linkIndex, family: 4, rpFilter: 1 });
    const neighbour = expect.objectContaining({ linkIndex, address: IpAddress.parse("10.0.0.5") });
    expect(seen).toContainEqual({ kind: "neighbour", change: "gone", neighbour });
  });

  it("does not tell what our own nft and our own thread do", async () => {
    createPair();
    const seen = await watch(async () => {
      await kernel.nft.load(testTable);
      kernel.host.links.change("cw0", { group: 4101 });
      // not of our prefix, so the thread takes it out of the group
      expect(await kernel.slow.removeLinkGroup(4101, "other")).toEqual({ removed: 0 });
      await kernel.nft.load("delete table inet causeway");
      endWatch();
    }, isRule(999));
    expect(seen).toEqual([expect.objectContaining({ kind: "rule" })]);
    expect(kernel.host.links.find("cw0")?.group).toBe(0);
  });

  it("tells that links of a removed group are gone, in one event each", async () => {
    createPair();
    kernel.host.links.change("cw0", { group: 4101 });
    const seen = await watch(async () => {
      expect(await kernel.slow.removeLinkGroup(4101, "cw")).toEqual({ removed: 1 });
      endWatch();
    }, isRule(999));
    expect(seen.slice(0, -1)).toEqual([
      expect.objectContaining({
        kind: "link",
        change: "gone",
        link: expect.objectContaining({ name: "cw0" }),
      }),
    ]);
  });

  it("names who touched our table, once per transaction, and is silent about other tables", async () => {
    await kernel.nft.load(testTable);
    const seen = await watch(
      () => {
        host.exec("nft add table inet other");
        host.exec("nft add element inet causeway units4 {10.0.0.0/28,10.1.0.0/28}");
      },
      (event) => event.kind === "nft",
    );
    expect(seen).toEqual([{ kind: "nft", processName: "nft", processId: expect.any(Number) }]);
  });

  it.each([
    { family: 4, program: "iptables-nft", table: "ip filter" },
    { family: 6, program: "ip6tables-nft", table: "ip6 filter" },
  ])(
    "tells of $program's changes of FORWARD, once per transaction, and of nothing else",
    async ({ family, program, table }) => {
      const seen = await watch(
        () => {
          host.exec(`${program} -A FORWARD -j ACCEPT`);
          host.exec(`${program} -A FORWARD -j DROP`);
          host.exec(`${program} -F FORWARD`);
          host.exec(`${program} -A FORWARD -j ACCEPT`);
          host.exec(`${program} -D FORWARD 1`);
          host.exec(`nft delete table ${table}`);
          host.exec(`${program} -P FORWARD DROP`);
          host.exec(`${program} -A INPUT -j ACCEPT`);
          host.exec(`${program} -N KUBE-FORWARD`);
          host.exec(`${program} -A KUBE-FORWARD -j ACCEPT`);
          host.exec(`${program} -F KUBE-FORWARD`);
          host.exec(`${program} -t mangle -A FORWARD -j ACCEPT`);
          host.exec("nft add table inet causeway");
        },
        ({ kind }) => kind === "nft",
      );
      const event = { kind: "forward", families: [family], processId: expect.any(Number) };
      const byProgram = { ...event, processName: expect.stringMatching("tables") };
      const byNft = { ...event, processName: "nft" };
      const told = seen.filter(({ kind }) => kind === "forward");
      expect(told).toEqual([byProgram, byProgram, byProgram, byProgram, byProgram, byNft]);
    },
  );

  it("tells of our table and of FORWARD when one transaction takes both", async () => {
    await kernel.nft.load(testTable);
    host.exec("iptables-nft -A FORWARD -j ACCEPT");
    host.exec("ip6tables-nft -A FORWARD -j ACCEPT");
    const seen = await watch(
      () => host.exec("nft flush ruleset"),
      ({ kind }) => kind === "forward",
    );
    expect(seen).toEqual([
      expect.objectContaining({ kind: "nft", processName: "nft" }),
      expect.objectContaining({ kind: "forward", families: expect.arrayContaining([4, 6]) }),
    ]);
  });

  it("says that events were lost, and goes on after that", async () => {
    const batch = `/run/${host.name}.batch`;
    const route = (number: number) => `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
    const lines = Array.from(
      { length: 30_000 },
      (_, number) => `route add unreachable ${route(number)} table 9`,
    );
    writeFileSync(batch, lines.join("\n"));
    // holds the sockets open between the two watches
    using _ = kernel.events.subscribe(() => undefined);
    // the program runs to its end while the event loop stands still
    const seen = await watch(
      () => run(`ip -n ${host.name} -batch ${batch}`),
      (event) => event.kind === "lost",
    );
    expect(seen.length).toBeLessThan(30_000);
    await watch(endWatch, isRule(999));
  });

  it("lets promises that a listener settles go on at once, not when the event loop wakes for something else", async () => {
    const order: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    using _ = kernel.events.subscribe(() => {
      setImmediate(() => {
        order.push("next turn");
        resolve();
      });
      void Promise.resolve().then(() => order.push("promise"));
    });
    endWatch();
    await promise;
    expect(order).toEqual(["promise", "next turn"]);
  });

  it("goes on for one listener when the other stops, and starts again after the last", async () => {
    const first: KernelEvent[] = [];
    const stopFirst = kernel.events.subscribe((event) => first.push(event));
    await watch(endWatch, isRule(999));
    expect(first.length).toBe(1);
    stopFirst[Symbol.dispose]();
    await watch(() => run(`ip -n ${host.name} rule add priority 998 lookup main`), isRule(998));
    expect(first.length).toBe(1);
  });
});
