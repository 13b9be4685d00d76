import { describe, expect, it } from "vitest";
import { noFaultPoints } from "../common/fault-points.ts";
import { type Attachment, type ContainerId, DEFAULT_POOL } from "../common/ids.ts";
import { Cidr, type IpAddress } from "../common/ip.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Route } from "../common/kernel/routes.ts";
import { memoryLogger } from "../common/log.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { Journal } from "./journal.ts";
import { LeaseBook, PoolEmptyError } from "./lease-book.ts";
import { Pool } from "./pool.ts";
import type { Uplink } from "./uplink.ts";

const pod = (name: string): Attachment => ({ containerId: name as ContainerId, ifname: "eth0" });
const never = new AbortController().signal;

/** A book over one uplink; the kernel's part is its pods table alone. */
function bookOf(
  units: readonly string[],
  options: {
    readonly forget?: (addresses: readonly IpAddress[]) => Promise<void>;
    readonly uplinkMtuBytes?: number;
    readonly podMtuBytes?: number | undefined;
  } = {},
) {
  const routes = new Map<string, Route>();
  const keyOf = (route: Route) => `${route.type} ${route.destination}`;
  const table = {
    add: (route: Route) => routes.set(keyOf(route), route),
    remove: (route: Route) => routes.delete(keyOf(route)),
  };
  const kernel = { host: { routes: table, together: (work: () => void) => work() } } as unknown as Kernel;
  const pool = new Pool();
  pool.addUplink(1, DEFAULT_POOL);
  for (const unit of units) pool.hold(1, Cidr.parse(unit));
  const clock = new SteppedClock();
  const forgotten: string[] = [];
  const waits: string[] = [];
  const book = new LeaseBook({
    pool,
    journal: new Journal(kernel, noFaultPoints),
    clock,
    log: memoryLogger().log,
    families: [4],
    cooldownMs: () => 30_000,
    uplink: () =>
      options.uplinkMtuBytes === undefined
        ? undefined
        : ({ mtuBytes: options.uplinkMtuBytes, addresses: [] } as unknown as Uplink),
    podMtuBytes: () => options.podMtuBytes,
    forgetConnections: async (addresses) => {
      await options.forget?.(addresses);
      forgotten.push(...addresses.map(String));
    },
    demandChanged: () => undefined,
    waited: ({ name }, ms, isServed) => void waits.push(`${name} ${ms} ${isServed}`),
    limit: () => "subnet subnet-1 is full",
  });
  return { book, pool, clock, routes, forgotten, waits };
}

describe("LeaseBook", () => {
  it("reserve() claims in the kernel before it answers; cancel() frees at once", async () => {
    const { book, routes, pool } = bookOf(["10.0.0.1/32"]);
    const lease = await book.reserve(pod("a"), {}, never);
    expect([...routes.keys()]).toEqual(["unreachable 10.0.0.1/32"]);
    book.cancel(pod("a"));
    expect(routes.size).toBe(0);
    expect(pool.use(lease.ipv4 as IpAddress)).toBe("free");
  });

  it("release() cools for the whole period, forgets connections, then frees", async () => {
    const { book, clock, routes, forgotten, pool } = bookOf(["10.0.0.1/32"]);
    const stop = new AbortController();
    const running = book.runCooling(stop.signal);
    const lease = await book.reserve(pod("a"), {}, never);
    book.confirm(lease);
    book.release(pod("a"));
    await clock.advance(29_999);
    expect([pool.use(lease.ipv4 as IpAddress), routes.size, forgotten]).toEqual(["cooling", 1, []]);
    await clock.advance(1);
    expect([pool.use(lease.ipv4 as IpAddress), routes.size, forgotten]).toEqual(["free", 0, ["10.0.0.1"]]);
    stop.abort();
    await running;
  });

  it("an address whose connections could not be forgotten cools again and is not given", async () => {
    const { book, clock, pool } = bookOf(["10.0.0.1/32"], {
      forget: () => Promise.reject(new Error("worker gone")),
    });
    const stop = new AbortController();
    const running = book.runCooling(stop.signal);
    const lease = await book.reserve(pod("a"), {}, never);
    book.release(pod("a"));
    await clock.advance(30_000);
    expect(pool.use(lease.ipv4 as IpAddress)).toBe("cooling");
    stop.abort();
    await running;
  });

  it("reserve() on an empty pool waits, and is served in order of arrival", async () => {
    const { book, pool } = bookOf([]);
    const served: string[] = [];
    const both = ["a", "b"].map((name) =>
      book.reserve(pod(name), {}, never).then(({ ipv4 }) => served.push(`${name} ${ipv4}`)),
    );
    expect(book.waiting()).toHaveLength(2);
    pool.hold(1, Cidr.parse("10.0.0.1/32"));
    book.serveWaiters();
    await both[0];
    expect([served, book.waiting().length]).toEqual([["a 10.0.0.1"], 1]);
    pool.hold(1, Cidr.parse("10.0.0.2/32"));
    book.serveWaiters();
    await both[1];
    expect(served).toEqual(["a 10.0.0.1", "b 10.0.0.2"]);
  });

  it("a wait that times out fails with the limit that was hit and leaves nothing", async () => {
    const { book, pool } = bookOf([]);
    const error = await book.reserve(pod("a"), {}, AbortSignal.timeout(5)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(PoolEmptyError);
    expect(String(error)).toContain("subnet subnet-1 is full");
    pool.hold(1, Cidr.parse("10.0.0.1/32"));
    book.serveWaiters();
    expect(pool.summary()[0]).toMatchObject({ free: 1, leased: 0 });
  });

  it("tells how long each ADD has waited: not at all, until it was served, or in vain", async () => {
    const { book, clock, waits } = bookOf(["10.0.0.1/32"]);
    await book.reserve(pod("a"), { name: "a" }, never);
    const second = book.reserve(pod("b"), { name: "b" }, never);
    const abandon = new AbortController();
    const third = book.reserve(pod("c"), { name: "c" }, abandon.signal);
    await clock.advance(2_000);
    book.cancel(pod("a"));
    await second;
    await clock.advance(3_000);
    abandon.abort(new Error("the runtime went away"));
    await expect(third).rejects.toThrow("went away");
    expect(waits).toEqual(["a 0 true", "b 2000 true", "c 5000 false"]);
  });

  it("linkGone() ends a ready lease, and not one whose ADD still runs", async () => {
    const { book, pool } = bookOf(["10.0.0.1/32"]);
    const { podLink } = await import("../cni/pod-link.ts");
    const name = podLink(pod("a")).hostName;
    const lease = await book.reserve(pod("a"), {}, never);
    expect(book.linkGone(name)).toBeUndefined();
    book.confirm(lease);
    expect(book.linkGone(name)).toBe(lease);
    expect(book.find(pod("a"))).toBeUndefined();
    expect(pool.use(lease.ipv4 as IpAddress)).toBe("cooling");
  });

  it("oth-68: a second, late release() leaves the address's next holder alone", async () => {
    const { book, clock, pool } = bookOf(["10.0.0.1/32"]);
    const stop = new AbortController();
    const running = book.runCooling(stop.signal);
    await book.reserve(pod("a"), {}, never);
    book.release(pod("a"));
    await clock.advance(30_000);
    const next = await book.reserve(pod("b"), {}, never);
    book.release(pod("a"));
    book.cancel(pod("a"));
    expect([String(next.ipv4), pool.use(next.ipv4 as IpAddress)]).toEqual(["10.0.0.1", "leased"]);
    stop.abort();
    await running;
  });

  it.each([
    ["of the uplink that carries it", undefined, 8896],
    ["of the setting", 1400, 1400],
  ])("oth-38: a pod gets the MTU %s", async (_what, setting, expected) => {
    const { book } = bookOf(["10.0.0.1/32"], { uplinkMtuBytes: 8896, podMtuBytes: setting });
    expect((await book.reserve(pod("a"), {}, never)).mtuBytes).toBe(expected);
  });

  it.each([-7_200_000, 7_200_000])(
    "oth-85: a wall clock that jumps by %d ms neither ends nor lengthens a cooling period",
    async (jumpMs) => {
      const { book, clock, pool } = bookOf(["10.0.0.1/32"]);
      const stop = new AbortController();
      const running = book.runCooling(stop.signal);
      const lease = await book.reserve(pod("a"), {}, never);
      book.release(pod("a"));
      clock.wallTime = () => new Date(Date.UTC(2026, 0, 1) + jumpMs);
      await clock.advance(29_999);
      expect(pool.use(lease.ipv4 as IpAddress)).toBe("cooling");
      await clock.advance(1);
      expect(pool.use(lease.ipv4 as IpAddress)).toBe("free");
      stop.abort();
      await running;
    },
  );
});
