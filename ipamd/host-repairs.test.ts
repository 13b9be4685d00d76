import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { addPod } from "../cni/add.ts";
import { podLink } from "../cni/pod-link.ts";
import { noFaultPoints } from "../common/fault-points.ts";
import type { Attachment, ContainerId } from "../common/ids.ts";
import { Cidr, IpAddress } from "../common/ip.ts";
import { memoryLogger } from "../common/log.ts";
import { Metrics } from "../common/metrics.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { type MemoryDaemon, memoryDaemon, NETNS } from "../test/e2e/memory-daemon.ts";
import { knowDamage } from "./damage.ts";
import { Guard } from "./guard.ts";
import { HostRepairs } from "./host-repairs.ts";
import { ProblemBoard } from "./problems.ts";

const MANY = 700;
/** What a look at one pod costs a real kernel and an interpreter at least. */
const LOOK_MS = 1;
const never = new AbortController().signal;
const attachment = (index: number): Attachment => ({
  containerId: "aa01" as ContainerId,
  ifname: `e${index}`,
});

/** A daemon in memory with so many pods, and what puts its host back. */
async function withPods(count: number) {
  const daemon = await memoryDaemon(noFaultPoints, [Cidr.parse("10.0.0.0/20"), Cidr.parse("2001:db8::/80")]);
  for (let index = 0; index < count; index += 1)
    await addPod(
      daemon.deps,
      { attachment: attachment(index), netnsPath: NETNS, pod: {}, startedAt: 1 },
      never,
    );
  const clock = new SteppedClock();
  const { log } = memoryLogger();
  const repairs = new HostRepairs({
    kernel: daemon.kernel,
    adoption: daemon.adoption,
    book: daemon.book,
    dyingLinks: daemon.deps.dyingLinks,
    problems: new ProblemBoard({ clock, log, gauge: new Metrics().gauge("problems", "Problems.") }),
    log,
    uplinkLost: () => undefined,
    leaseLost: () => undefined,
  });
  return { daemon, clock, log, repairs };
}

function runGuard({ daemon, clock, log, repairs }: Awaited<ReturnType<typeof withPods>>) {
  const { kernel, uplinks, book, pool } = daemon;
  const metrics = new Metrics();
  const stopping = new AbortController();
  const running = new Guard({
    kernel,
    clock,
    log,
    looked: metrics.counter("looks_total", "Looks."),
    repaired: metrics.counter("repairs_total", "Repairs."),
    repairs: {
      everything: () => repairs.everything(),
      podLinks: (names) => repairs.podLinks(names),
      podLinkGone: (name) => repairs.podLinkGone(name),
      forwardAccepts: async () => [],
      otherLink: () => undefined,
      ...knowDamage({ uplinks, book, pool, families: [4, 6] }),
    },
  }).run(stopping.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}

/** How often the pods table has been read since. */
function countReads({ kernel }: MemoryDaemon): () => number {
  const { routes } = kernel.host;
  const list = routes.list.bind(routes);
  let reads = 0;
  routes.list = (filter) => {
    reads += 1;
    return list(filter);
  };
  return () => reads;
}

describe("a pod's neighbours that are no pod's address", () => {
  it("come and go without a read of the pods table; its own address has it read", async () => {
    const pods = await withPods(2);
    const { kernel } = pods.daemon;
    const index = kernel.host.links.find(podLink(attachment(0)).hostName)?.index ?? 0;
    await using _ = runGuard(pods);
    await pods.clock.settle();
    const reads = countReads(pods.daemon);
    for (let number = 1; number <= 200; number += 1) {
      // of others, of links, and of the pool but free
      const text = [`192.0.2.${number}`, `fe80::${number}`, `10.0.1.${number}`][number % 3] ?? "";
      kernel.forgetNeighbour(index, IpAddress.parse(text));
      // a repair would follow within 20 ms; the look by time comes after 10 s
      await pods.clock.advance(25);
    }
    expect(reads()).toBe(0);
    const own = pods.daemon.book.find(attachment(0))?.ipv4;
    if (own === undefined) throw new Error("the pod has no address");
    kernel.forgetNeighbour(index, own);
    await pods.clock.advance(25);
    expect(reads()).toBeGreaterThan(0);
  });
});

describe("HostRepairs.everything()", () => {
  it(`looks at ${MANY} pods in slices: a call waits for a few of them at most`, async () => {
    const { daemon, repairs } = await withPods(MANY);
    const { links } = daemon.kernel.host;
    const find = links.findPeer.bind(links);
    let looked = 0;
    links.findPeer = (ref) => {
      for (const end = performance.now() + LOOK_MS; performance.now() < end; );
      looked += 1;
      return find(ref);
    };
    let isDone = false;
    const all = repairs.everything().then(() => (isDone = true));
    const waited: number[] = [];
    while (!isDone) {
      const before = looked;
      await turn();
      waited.push(looked - before);
    }
    await all;
    expect(looked).toBe(MANY);
    // 5 ms, and the one that was begun
    expect(Math.max(...waited)).toBeLessThanOrEqual(6);
  });
});
