import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MAIN_TABLE, PODS_TABLE, PROTOCOL, UPLINK_GROUP } from "../common/constants.ts";
import { parseMac } from "../common/ids.ts";
import { Cidr, IpAddress } from "../common/ip.ts";
import type { Link } from "../common/kernel/links.ts";
import { MemoryKernel } from "../common/kernel/memory/kernel.ts";
import type { Route } from "../common/kernel/routes.ts";
import { memoryLogger } from "../common/log.ts";
import { Metrics } from "../common/metrics.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { Guard } from "./guard.ts";

const POD_LINK = "cw0123456789ab";
const MANY_MS = 60_000;

let kernel: MemoryKernel;
let clock: SteppedClock;
let stopping: AbortController;
/** What the guard has done, in order. */
let done: string[];
/** When it looked at everything. */
let looks: number[];
/** What the next looks will have to write. */
let damage: string[];
/** Others' links that it told of. */
let others: string[];
let links: { eth0: Link; eth1: Link; docker: Link; pod: Link };
let running: Promise<void>;
let log: ReturnType<typeof memoryLogger>;

beforeEach(async () => {
  [kernel, clock, stopping] = [new MemoryKernel(), new SteppedClock(), new AbortController()];
  log = memoryLogger();
  [done, looks, damage, others] = [[], [], [], []];
  const add = (name: string, digit: number, kind?: string) =>
    kernel.hostNamespace.addLink({
      name,
      mac: parseMac(`02:00:00:00:00:0${digit}`),
      mtuBytes: 1500,
      up: true,
      group: kind === undefined ? UPLINK_GROUP : 0,
      ...(kind !== undefined && { kind }),
    });
  links = {
    eth0: add("eth0", 1),
    eth1: add("eth1", 2),
    docker: add("veth1", 3, "veth"),
    pod: add(POD_LINK, 4, "veth"),
  };
  running = buildGuard().run(stopping.signal);
  await clock.settle();
});

afterEach(async () => {
  stopping.abort();
  await running;
});

function buildGuard(): Guard {
  const metrics = new Metrics();
  return new Guard({
    kernel,
    clock,
    log: log.log,
    looked: metrics.counter("looks_total", "Looks."),
    repaired: metrics.counter("repairs_total", "Repairs."),
    repairs: {
      everything: async () => {
        looks.push(clock.now());
        return damage.splice(0);
      },
      forwardAccepts: async () => {
        done.push("FORWARD");
        return [];
      },
      podLinks: (names) => {
        done.push(names.join(" "));
        return [];
      },
      podLinkGone: (name) => done.push(`${name} gone`),
      otherLink: (change, { name }) => others.push(`${name} ${change}`),
      roleOf: ({ name }) => (name === POD_LINK ? "pod" : name.startsWith("eth") ? "uplink" : undefined),
      isSecondary: (index) => index === links.eth1.index,
      isOfPool: (address) => ["10.0.0.5", "10.0.0.6"].includes(address.toString()),
      isUnused: (address) => address.toString() === "10.0.0.6",
      isWrongParameter: ({ forwarding }) => forwarding === false,
      isDamaged: ({ up }) => !up,
    },
  });
}

/** As another program; long enough for what the guard makes of it, too short for its look by time. */
async function byOther(work: () => unknown): Promise<void> {
  kernel.asOther(work);
  await clock.advance(1_000);
}

const route = (table: number, linkIndex: number, more: Partial<Route> = {}): Route => ({
  destination: Cidr.parse("10.9.0.0/24"),
  table,
  type: "unicast",
  protocol: 3,
  metric: 0,
  linkIndex,
  ...more,
});
const address = (linkIndex: number, text: string) => ({
  linkIndex,
  address: IpAddress.parse(text),
  prefixLength: 24,
});

describe("a whole look follows within a second", () => {
  it.each<readonly [string, () => void]>([
    ["a secondary uplink's route in main", () => kernel.host.routes.add(route(MAIN_TABLE, links.eth1.index))],
    ["somebody's route in an uplink's table", () => kernel.host.routes.add(route(4101, links.docker.index))],
    [
      "an address on a secondary uplink",
      () => kernel.host.addresses.add(address(links.eth1.index, "192.0.2.9")),
    ],
    ["a pod's address on any link", () => kernel.host.addresses.add(address(links.docker.index, "10.0.0.5"))],
    ["an uplink set down", () => kernel.host.links.change("eth1", { up: false })],
    ["an uplink's end", () => kernel.host.links.remove("eth1")],
    ["our table's change", () => kernel.nft.deleteTable()],
    ["lost events", () => kernel.loseEvents()],
  ])("after %s", async (_, work) => {
    await byOther(work);
    expect(looks.length).toBeGreaterThan(0);
  });

  it("after a route of ours was removed from an uplink's table", async () => {
    const ours = route(PODS_TABLE + 1, links.eth0.index, { protocol: PROTOCOL });
    kernel.host.routes.add(ours);
    await byOther(() => kernel.host.routes.remove(ours));
    expect(looks).toHaveLength(1);
  });
});

describe("no whole look follows", () => {
  it.each<readonly [string, () => void]>([
    ["a route in main by others' links", () => kernel.host.routes.add(route(MAIN_TABLE, links.docker.index))],
    ["a route in main by the primary", () => kernel.host.routes.add(route(MAIN_TABLE, links.eth0.index))],
    [
      "a route without a link",
      () =>
        kernel.host.routes.add({
          destination: Cidr.parse("10.9.0.0/24"),
          table: MAIN_TABLE,
          type: "blackhole",
          protocol: 3,
          metric: 0,
        }),
    ],
    [
      "the kernel's own route of an IPv6 link",
      () =>
        kernel.host.routes.add(
          route(MAIN_TABLE, links.eth1.index, { destination: Cidr.parse("fe80::/64"), metric: 256 }),
        ),
    ],
    ["a route in another table", () => kernel.host.routes.add(route(100, links.eth1.index))],
    [
      "an address on another link",
      () => kernel.host.addresses.add(address(links.docker.index, "172.17.0.1")),
    ],
    [
      "a link-local address on a secondary uplink",
      () => kernel.host.addresses.add({ ...address(links.eth1.index, "fe80::9"), scope: 253 }),
    ],
    ["an uplink that is as it should be", () => kernel.host.links.change("eth1", { mtuBytes: 1400 })],
    [
      "another link's coming and going",
      () => {
        kernel.hostNamespace.addLink({ name: "veth2", mtuBytes: 1500, up: true, group: 0, kind: "veth" });
        kernel.host.links.remove("veth2");
      },
    ],
    ["a change of FORWARD", () => kernel.touchForward([4])],
    ["a pod's lost neighbours", () => kernel.setLinkDown(POD_LINK)],
  ])("after %s", async (_, work) => {
    await byOther(work);
    expect(looks).toEqual([]);
  });

  it("after somebody's route went from an uplink's table", async () => {
    const theirs = route(PODS_TABLE + 1, links.docker.index);
    kernel.host.routes.add(theirs);
    await byOther(() => kernel.host.routes.remove(theirs));
    expect(looks).toEqual([]);
  });
});

describe("Guard", () => {
  it.each([
    ["10.0.0.5", [POD_LINK]],
    ["10.0.0.6", []],
  ])("repairs what a pod's link lost of %s when a pod has that address", async (text, repaired) => {
    const destination = Cidr.parse(text);
    const lost = route(PODS_TABLE, links.pod.index, { destination, protocol: PROTOCOL });
    kernel.host.routes.add(lost);
    await byOther(() => kernel.host.routes.remove(lost));
    expect(done).toEqual(repaired);
  });

  it("looks at the FORWARD chain alone when that was changed, once for what comes together", async () => {
    kernel.touchForward([4]);
    kernel.touchForward([6]);
    await clock.advance(1_000);
    expect(done).toEqual(["FORWARD"]);
    expect(looks).toEqual([]);
  });

  it("repairs the pod's link alone when that was damaged", async () => {
    await byOther(() => kernel.host.links.change(POD_LINK, { up: false }));
    expect(done).toEqual([POD_LINK]);
  });

  it("has all pods' links repaired together that were damaged together", async () => {
    const other = "cwba9876543210";
    kernel.hostNamespace.addLink({ name: other, mtuBytes: 1500, up: true, group: 0, kind: "veth" });
    await byOther(() => {
      for (const name of [POD_LINK, other]) kernel.host.links.change(name, { up: false });
    });
    expect(done).toEqual([`${POD_LINK} ${other}`]);
  });

  it("tells of others' links, and of no pod's or uplink's", async () => {
    await byOther(() => {
      kernel.host.links.change("veth1", { up: false });
      kernel.host.links.change("eth1", { up: false });
      kernel.host.links.change(POD_LINK, { up: false });
      kernel.host.links.remove("veth1");
    });
    expect(others).toEqual(["veth1 set", "veth1 gone"]);
  });

  it("looks every 10 s when nothing happens", async () => {
    await clock.advance(35_000);
    expect(looks).toHaveLength(3);
  });

  it("looks at most about twice a second while events come that turn out to be nothing", async () => {
    await touchEvery(20, MANY_MS);
    expect(looks.length).toBeLessThan(130);
  });

  it("repairs within a second what is damaged among events that turn out to be nothing", async () => {
    await touchEvery(20, 10_000);
    damage.push("a rule");
    const since = clock.now();
    await touchEvery(20, 1_000);
    expect(damage).toEqual([]);
    expect(looks.find((at) => at > since)).toBeLessThan(since + 600);
  });

  it("repairs at once what is damaged after such events have ended", async () => {
    await touchEvery(20, 10_000);
    await clock.advance(9_000);
    const since = clock.now();
    kernel.asOther(() => kernel.nft.deleteTable());
    await clock.advance(50);
    expect(looks.at(-1)).toBe(since + 20);
  });

  it("repairs ever more slowly what is damaged again and again, down to once in 5 s", async () => {
    await damageEvery(100, MANY_MS);
    const pauses = looks.slice(1).map((at, index) => at - (looks[index] ?? 0));
    expect(pauses.at(-1)).toBeGreaterThanOrEqual(5_000);
    expect(looks.length).toBeLessThan(25);
  });

  it("tells of damage among events that are nothing, and of a fight when it begins only", async () => {
    const told = () => log.lines.filter(({ level }) => level === "warn").length;
    await touchEvery(20, 5_000);
    damage.push("a rule");
    await touchEvery(20, 1_000);
    expect(told()).toBe(1);
    damage.push("a rule");
    await touchEvery(20, 1_000);
    expect(told()).toBe(2);
    await damageEvery(100, 10_000);
    expect(told()).toBe(3);
  });
});

async function touchEvery(everyMs: number, forMs: number): Promise<void> {
  for (let passed = 0; passed < forMs; passed += everyMs) {
    kernel.asOther(() => kernel.nft.deleteTable());
    await clock.advance(everyMs);
  }
}

async function damageEvery(everyMs: number, forMs: number): Promise<void> {
  for (let passed = 0; passed < forMs; passed += everyMs) {
    if (damage.length === 0) damage.push("a rule");
    kernel.asOther(() => kernel.nft.deleteTable());
    await clock.advance(everyMs);
  }
}
