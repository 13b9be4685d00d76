import { beforeEach, describe, expect, it } from "vitest";
import { claimOf } from "../cni/pod-network.ts";
import {
  type Attachment,
  type ContainerId,
  DEFAULT_POOL,
  type InterfaceId,
  parseMac,
} from "../common/ids.ts";
import { Cidr, IpAddress } from "../common/ip.ts";
import { MemoryKernel } from "../common/kernel/memory/kernel.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import type { CloudInterface } from "../providers/provider.ts";
import { testTable } from "../test/conformance/nft-table.ts";
import { poolParts } from "../test/pool-parts.ts";
import type { Adoption } from "./adopt.ts";
import { heldRoute, releasingRoute } from "./journal.ts";
import type { LeaseBook } from "./lease-book.ts";
import { CONFIRM_AFTER_MS, LAG_MAX_MS } from "./misses.ts";
import type { Pool } from "./pool.ts";
import { readKernel, recover } from "./recovery.ts";
import { formatUplinkAlias } from "./uplink.ts";
import { Uplinks } from "./uplinks.ts";

const [A, B, C] = ["10.0.0.5/32", "10.0.0.6/32", "10.0.1.7/32"] as const;
const never = new AbortController().signal;
const pod = (name: string): Attachment => ({ containerId: name as ContainerId, ifname: "eth0" });
function nic(slot: number, units: readonly string[]): CloudInterface {
  return {
    id: `eni-${slot}` as InterfaceId,
    mac: parseMac(`02:00:00:00:00:0${slot}`),
    subnet: { id: "subnet-1" as CloudInterface["subnet"]["id"], zone: "a" },
    isPrimary: slot === 1,
    ownership: slot === 1 ? "shared" : "ours",
    state: "attached",
    cardIndex: 0,
    own: [],
    units: units.map((unit) => Cidr.parse(unit)),
    foreignUnits: [],
    gateways: {},
    poolKey: DEFAULT_POOL,
  };
}

/** A node with eth0 and eth1, as its daemon sees it; the cloud's answers are given by hand. */
class Node {
  readonly kernel = new MemoryKernel();
  readonly clock = new SteppedClock();
  readonly pool: Pool;
  readonly uplinks: Uplinks;
  readonly book: LeaseBook;
  readonly adoption: Adoption;

  constructor() {
    const { pool, uplinks, book, adoption } = poolParts(this);
    this.pool = pool;
    this.uplinks = uplinks;
    this.book = book;
    this.adoption = adoption;
  }

  addLink(slot: number): void {
    const mac = parseMac(`02:00:00:00:00:0${slot}`);
    const name = `eth${slot - 1}`;
    this.kernel.hostNamespace.addLink({ name, mac, mtuBytes: 9001, up: true, group: 0 });
  }

  /** What the kernel tells a daemon that starts now; links carry their records as the host's network gives them. */
  recovered() {
    for (const uplink of this.uplinks.list())
      if (this.kernel.host.links.find(uplink.linkIndex) !== undefined)
        this.kernel.host.links.change(uplink.linkIndex, { alias: formatUplinkAlias(uplink) });
    return recover(readKernel(this.kernel));
  }

  async hear(...interfaces: CloudInterface[]): Promise<void> {
    await this.adoption.adopt({ interfaces, networkCidrs: [] }, never);
  }

  async hearLater(...interfaces: CloudInterface[]): Promise<void> {
    await this.clock.advance(CONFIRM_AFTER_MS);
    await this.hear(...interfaces);
  }

  free(): number {
    return this.pool.summary().reduce((sum, { free }) => sum + free, 0);
  }

  unitRoutes(): string[] {
    return this.kernel.host.routes
      .list({ family: 4, table: 4100 })
      .filter(({ type }) => type !== "unreachable")
      .map(({ type, destination }) => `${type} ${destination}`);
  }

  mapped(): string[] {
    return readKernel(this.kernel).units.map(({ unit }) => unit.toString());
  }
}

let node: Node;

beforeEach(async () => {
  node = new Node();
  await node.kernel.nft.load(testTable);
  node.addLink(1);
  node.addLink(2);
  await node.hear(nic(1, [A, B]), nic(2, [C]));
});

describe("a unit that the cloud's answer omits", () => {
  it("is not given from that answer on, and is again once the cloud lists it", async () => {
    await node.hear(nic(1, [A]), nic(2, [C]));
    expect([node.free(), node.adoption.askAgainAfterMs()]).toEqual([2, 10_000]);
    expect(node.unitRoutes()).toContain(`blackhole ${B}`);
    await node.hear(nic(1, [A, B]), nic(2, [C]));
    expect([node.free(), node.adoption.askAgainAfterMs()]).toEqual([3, undefined]);
  });

  it("is given up by a second answer, but not by one that comes at once", async () => {
    for (let answer = 0; answer < 3; answer += 1) await node.hear(nic(1, [A]), nic(2, [C]));
    expect(node.pool.units(1)).toHaveLength(2);
    await node.hearLater(nic(1, [A]), nic(2, [C]));
    expect(node.pool.units(1).map(String)).toEqual([A]);
    expect(node.unitRoutes()).toEqual([`blackhole ${A}`, `blackhole ${C}`]);
    expect(node.mapped()).toEqual([A, C]);
    expect(node.adoption.askAgainAfterMs()).toBeUndefined();
  });

  it("stays while a pod has an address of it, and until that has cooled", async () => {
    const leases = [];
    for (const name of ["a", "b"]) leases.push(await node.book.reserve(pod(name), {}, never));
    await node.hear(nic(1, []), nic(2, [C]));
    await node.hearLater(nic(1, []), nic(2, [C]));
    expect([node.pool.units(1).length, node.free()]).toEqual([2, 1]);
    expect(node.adoption.askAgainAfterMs()).not.toBe(1_000);
    node.book.release(pod("a"));
    await node.hearLater(nic(1, []), nic(2, [C]));
    expect(node.pool.units(1)).toHaveLength(2);
    const ended = new AbortController();
    const cooling = node.book.runCooling(ended.signal);
    await node.clock.advance(30_000);
    ended.abort();
    await cooling;
    expect(node.adoption.askAgainAfterMs()).toBe(1_000);
    await node.hear(nic(1, []), nic(2, [C]));
    expect(node.pool.units(1).map(String)).toEqual([leases[1]?.ipv4?.toCidr().toString()]);
  });

  it("is given all the same while it is so young that the answer may be older", async () => {
    const young = Cidr.parse("10.0.0.9/32");
    node.adoption.holdUnits("eni-1" as InterfaceId, [young]);
    await node.hear(nic(1, [A, B]), nic(2, [C]));
    expect([node.free(), node.adoption.askAgainAfterMs()]).toEqual([4, undefined]);
    await node.clock.advance(LAG_MAX_MS);
    await node.hear(nic(1, [A, B]), nic(2, [C]));
    expect([node.free(), node.adoption.askAgainAfterMs()]).toEqual([3, 10_000]);
  });

  it("has its addresses still when it is back, also those that were given before", async () => {
    await node.hear(nic(1, [A, B]));
    for (const name of ["a", "b"]) await node.book.reserve(pod(name), {}, never);
    for (const name of ["a", "b"]) node.book.cancel(pod(name));
    await node.hear(nic(1, [B]));
    expect((await node.book.reserve(pod("c"), {}, never)).ipv4?.toString()).toBe("10.0.0.6");
    await node.hear(nic(1, [A, B]));
    expect((await node.book.reserve(pod("d"), {}, never)).ipv4?.toString()).toBe("10.0.0.5");
  });
});

describe("an uplink", () => {
  const takenAway: [string, CloudInterface[]][] = [
    ["that the cloud does not list", []],
    ["that was detached", [{ ...nic(2, [C]), state: "detaching" }]],
    ["that is tagged as not ours", [{ ...nic(2, []), ownership: "foreign" }]],
  ];

  it.each(takenAway)("%s gives nothing more, and is given up by a second answer", async (_what, rest) => {
    await node.hear(nic(1, [A, B]), ...rest);
    expect(node.free()).toBe(2);
    expect(node.uplinks.list()).toHaveLength(2);
    await node.hearLater(nic(1, [A, B]), ...rest);
    expect(node.uplinks.list().map(({ slot }) => slot)).toEqual([1]);
    expect(node.pool.summary().map(({ slot }) => slot)).not.toContain(2);
    expect(node.mapped()).toEqual([A, B]);
    expect(node.unitRoutes()).toEqual([`blackhole ${A}`, `blackhole ${B}`]);
  });

  it("that is given up loses our alias and group, and its slot serves another", async () => {
    const index = node.uplinks.get(2)?.linkIndex ?? 0;
    const alias = formatUplinkAlias(node.uplinks.get(2) ?? expect.fail("no uplink"));
    node.kernel.host.links.change(index, { alias, group: 4100 });
    await node.hear(nic(1, [A, B]));
    await node.hearLater(nic(1, [A, B]));
    expect(node.kernel.host.links.find(index)).not.toHaveProperty("alias");
    expect(node.kernel.host.links.find(index)).toMatchObject({ group: 0 });
    node.addLink(3);
    await node.hear(nic(1, [A, B]), nic(3, [C]));
    expect(node.uplinks.get(2)?.interfaceId).toBe("eni-3");
  });

  it("stays while a pod has an address of it", async () => {
    for (const name of ["a", "b", "c"]) await node.book.reserve(pod(name), {}, never);
    await node.hear(nic(1, [A, B]));
    await node.hearLater(nic(1, [A, B]));
    expect(node.uplinks.list()).toHaveLength(2);
    node.book.cancel(pod("c"));
    expect(node.free()).toBe(0);
    await node.hear(nic(1, [A, B]));
    expect(node.uplinks.list()).toHaveLength(1);
  });

  it("whose link is gone gives nothing more, and gives again when the link is back", async () => {
    node.kernel.hostNamespace.removeLink(node.uplinks.get(2)?.linkIndex ?? 0);
    expect(node.adoption.missLostLinks()).toBe(true);
    expect(node.adoption.missLostLinks()).toBe(false);
    expect(node.free()).toBe(2);
    await node.hearLater(nic(1, [A, B]), nic(2, [C]));
    expect([node.free(), node.uplinks.list().length]).toEqual([2, 2]);
    node.addLink(2);
    await node.hear(nic(1, [A, B]), nic(2, [C]));
    expect([node.free(), node.adoption.lostUplinks()]).toEqual([3, []]);
  });

  it("that is the primary stays when it is tagged as not ours, without units", async () => {
    const tagged: CloudInterface = { ...nic(1, []), ownership: "foreign" };
    await node.hear(tagged, nic(2, [C]));
    await node.hearLater(tagged, nic(2, [C]));
    expect(node.uplinks.list().map(({ slot }) => slot)).toEqual([1, 2]);
    expect(node.pool.units(1)).toEqual([]);
  });
});

describe("a unit that the cloud lists on another interface of the node", () => {
  it.each([
    ["to a later uplink", [nic(1, [B]), nic(2, [C, A])], 2, [B]],
    ["to an earlier one", [nic(1, [A, B, C]), nic(2, [])], 1, [A, B, C]],
  ])("moves %s with its pod, at once", async (_what, answer, slot, first) => {
    const names = ["a", "b", "c"];
    for (const name of names) await node.book.reserve(pod(name), {}, never);
    for (const name of names) node.book.confirm(node.book.find(pod(name)) ?? expect.fail("no lease"));
    const moved = slot === 2 ? "10.0.0.5" : "10.0.1.7";
    await node.hear(...answer);
    expect(node.pool.units(1).map(String).sort()).toEqual([...first].sort());
    const lease = node.book.ready().find(({ ipv4 }) => ipv4?.toString() === moved);
    expect(lease?.slot).toBe(slot);
    expect(node.free()).toBe(0);
    expect(node.mapped().sort()).toEqual([A, B, C]);
    expect(node.adoption.askAgainAfterMs()).toBeUndefined();
  });

  it("moves when the cloud gives it by a write", async () => {
    await node.hear(nic(1, [A, B]), nic(2, []));
    node.adoption.holdUnits("eni-1" as InterfaceId, [Cidr.parse(C)]);
    expect(node.pool.units(1).map(String)).toEqual([A, B, C]);
    expect(node.free()).toBe(3);
  });

  it("is left out while it only overlaps one of another interface, and keeps nothing else from being adopted", async () => {
    await node.hear(nic(1, [A, B, "10.0.1.0/28", "10.0.0.9/32"]), nic(2, []));
    expect(node.pool.units(1).map(String)).toEqual([A, B, "10.0.0.9/32"]);
    await node.hearLater(nic(1, [A, B, "10.0.1.0/28", "10.0.0.9/32"]), nic(2, []));
    expect(node.pool.units(1).map(String)).toEqual([A, B, "10.0.0.9/32", "10.0.1.0/28"]);
  });
});

describe("what is gone and waits for its last pod", () => {
  it("is given up also when the link of its uplink went meanwhile, and then nothing is asked for in haste", async () => {
    for (const name of ["a", "b", "c"]) await node.book.reserve(pod(name), {}, never);
    await node.hear(nic(1, [A, B]), nic(2, []));
    await node.hearLater(nic(1, [A, B]), nic(2, []));
    node.kernel.hostNamespace.removeLink(node.uplinks.get(2)?.linkIndex ?? 0);
    await node.hear(nic(1, [A, B]), nic(2, []));
    node.book.cancel(pod("c"));
    expect(node.adoption.askAgainAfterMs()).toBe(1_000);
    await node.hear(nic(1, [A, B]), nic(2, []));
    expect([node.adoption.askAgainAfterMs(), node.pool.units(2)]).toEqual([undefined, []]);
  });

  it("is not asked for in haste while its interface is in doubt", async () => {
    for (const name of ["a", "b", "c"]) await node.book.reserve(pod(name), {}, never);
    await node.hear(nic(1, [A, B]), nic(2, []));
    await node.hearLater(nic(1, [A, B]), nic(2, []));
    await node.hear(nic(1, [A, B]));
    node.book.cancel(pod("c"));
    expect(node.adoption.askAgainAfterMs()).not.toBe(1_000);
  });
});

describe("a unit whose uplink's link went while the daemon was down", () => {
  it("loses its routes when the cloud's answer does not have it", async () => {
    node.kernel.hostNamespace.removeLink(node.uplinks.get(2)?.linkIndex ?? 0);
    const { units, orphans } = node.recovered();
    expect(units.map(({ unit }) => unit.toString())).toEqual([A, B]);
    expect(orphans).toEqual([{ unit: Cidr.parse(C), releasing: false }]);
  });
});

describe("a unit whose map went while the daemon was down", () => {
  const lost = Cidr.parse("10.0.0.8/32");

  it("loses its routes when the cloud's answer does not have it", async () => {
    node.kernel.host.routes.add(heldRoute(lost));
    const { orphans } = node.recovered();
    expect(orphans).toEqual([{ unit: lost, releasing: false }]);
    node.adoption.restore([], orphans);
    expect(node.unitRoutes()).toContain(`blackhole ${lost}`);
    await node.hear(nic(1, [A, B]), nic(2, [C]));
    expect(node.unitRoutes()).not.toContain(`blackhole ${lost}`);
  });

  it("is held again, or released further, when the cloud lists it", async () => {
    const leaving = Cidr.parse("10.0.0.12/32");
    node.kernel.host.routes.add(heldRoute(lost));
    node.kernel.host.routes.add(releasingRoute(leaving));
    node.adoption.restore([], node.recovered().orphans);
    await node.hear(nic(1, [A, B, "10.0.0.8/32", "10.0.0.12/32"]), nic(2, [C]));
    expect(node.pool.units(1).map(String)).toEqual([A, B, "10.0.0.8/32"]);
    expect(node.pool.releasing(1)).toEqual([leaving]);
  });
});

describe("Uplinks.restore()", () => {
  it("does not take a pool address for the uplink's own, put there while nobody looked", async () => {
    const { linkIndex, interfaceId } = node.uplinks.get(1) ?? expect.fail("no uplink");
    const alias = formatUplinkAlias({ slot: 1, interfaceId, poolKey: DEFAULT_POOL });
    node.kernel.host.links.change(linkIndex, { alias });
    for (const text of ["10.0.0.2", "10.0.0.5"]) {
      node.kernel.host.addresses.add({ linkIndex, address: IpAddress.parse(text), prefixLength: 24 });
    }
    const restarted = new Uplinks(node.kernel.host);
    restarted.restore(recover(readKernel(node.kernel)));
    expect(restarted.get(1)?.addresses.map(({ address }) => address.toString())).toEqual(["10.0.0.2"]);
  });
});

// a claim of a lease is no unit
it("recover() takes a reserved address for no unit", () => {
  const claimed = claimOf(Cidr.parse("10.0.0.44/32").first);
  node.kernel.host.routes.add(claimed);
  expect(node.recovered().orphans).toEqual([]);
});
