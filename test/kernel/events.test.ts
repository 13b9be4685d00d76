import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseMac } from "../../common/ids.ts";
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
    const told = seen.map((event) => {
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
