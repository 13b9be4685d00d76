import { queryObjects } from "node:v8";
import { beforeEach, describe, expect, it } from "vitest";
import { AttachmentDesk } from "../cni/attachment-desk.ts";
import type { AttachRequest, DetachRequest } from "../cni/command.ts";
import { DyingLinks } from "../cni/dying-links.ts";
import { podLink } from "../cni/pod-link.ts";
import { systemClock } from "../common/clock.ts";
import { CodedError } from "../common/errors.ts";
import { noFaultPoints } from "../common/fault-points.ts";
import { type Attachment, type ContainerId, DEFAULT_POOL } from "../common/ids.ts";
import { Cidr } from "../common/ip.ts";
import { MemoryKernel } from "../common/kernel/memory/kernel.ts";
import { memoryLogger } from "../common/log.ts";
import { testTable } from "../test/conformance/nft-table.ts";
import { Journal } from "./journal.ts";
import { LeaseBook } from "./lease-book.ts";
import { Pool } from "./pool.ts";
import { ADDS_AT_ONCE_MAX, bootClockMs, buildVerbs, type VerbDeps, type VerbsOptions } from "./verbs.ts";

const NETNS = "/run/netns/pod";
const ADD_WAIT_MS = 60_000;
const attachment: Attachment = { containerId: "aa01" as ContainerId, ifname: "eth0" };
const common = {
  cniVersion: "1.0.0",
  config: { name: "causeway", type: "causeway" },
  args: new Map(),
  attachment,
  pod: {},
} as const;
const never = new AbortController().signal;
const dropped: [Attachment, number][] = [];

let deps: VerbDeps;
let pool: Pool;

beforeEach(async () => {
  dropped.length = 0;
  const kernel = new MemoryKernel();
  await kernel.nft.load(testTable);
  kernel.createNetns(NETNS);
  pool = new Pool();
  pool.addUplink(1, DEFAULT_POOL);
  const { log } = memoryLogger();
  const ipam = new LeaseBook({
    pool,
    journal: new Journal(kernel, noFaultPoints),
    clock: systemClock,
    log,
    families: [4],
    cooldownMs: () => 30_000,
    uplink: () => undefined,
    podMtuBytes: () => undefined,
    forgetConnections: async () => undefined,
    demandChanged: () => undefined,
    limit: () => "none is to be had",
  });
  deps = {
    kernel,
    points: noFaultPoints,
    ipam,
    desk: new AttachmentDesk(systemClock, log),
    dyingLinks: new DyingLinks({
      removeGroup: () => kernel.slow.removeLinkGroup(4101, "cw"),
      clock: systemClock,
      log,
      stopping: never,
    }),
    dropOlderDels: async (...of) => void dropped.push(of),
    bornAt: 0,
    rulesOf: () => [],
    hindrance: () => undefined,
  };
});

const options = (more: Partial<VerbsOptions> = {}): VerbsOptions => ({
  log: memoryLogger().log,
  addWaitMs: ADD_WAIT_MS,
  ready: Promise.resolve(),
  delLost: () => undefined,
  ...more,
});

function add(startedAtMs: number, addWaitMs = ADD_WAIT_MS, ready = Promise.resolve(), of = attachment) {
  const request: AttachRequest = {
    ...common,
    command: "ADD",
    attachment: of,
    netns: NETNS,
    startedAtMs,
  };
  return buildVerbs(deps, options({ addWaitMs, ready })).ADD(request, never);
}

function del(startedAtMs: number) {
  const request: DetachRequest = { ...common, command: "DEL", startedAtMs };
  const ready = new Promise<void>(() => undefined);
  return buildVerbs(deps, options({ ready })).DEL(request, never);
}

const fillPool = () => pool.hold(1, Cidr.parse("10.0.0.16/28"));

describe("ADDs at once", () => {
  it("are refused above a number that no node reaches, until one of them has ended", async () => {
    const verbs = buildVerbs(deps, options());
    const begin = (ifname: string) => {
      const plugin = new AbortController();
      const request = {
        ...common,
        command: "ADD",
        attachment: { ...attachment, ifname },
        netns: NETNS,
      } as const;
      const ended = verbs.ADD(request, plugin.signal).catch((error: unknown) => error);
      return { ended, kill: () => plugin.abort(new CodedError("killed", "killed")) };
    };
    const waiting = Array.from({ length: ADDS_AT_ONCE_MAX }, (_, at) => begin(`e${at}`));
    expect(await begin("more").ended).toMatchObject({ code: "too-many-adds", retry: "later" });
    waiting[0]?.kill();
    expect(await waiting[0]?.ended).toMatchObject({ code: "killed" });
    waiting[0] = begin("again");
    for (const { kill } of waiting) kill();
    for (const { ended } of waiting) expect(await ended).toMatchObject({ code: "killed" });
  });
});

describe("ADD's deadline", () => {
  it("counts from the plugin's start: what it has waited elsewhere is over", async () => {
    const failed = await add(bootClockMs() - ADD_WAIT_MS + 200).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: "pool-empty" });
  });

  it("has come for a plugin that is older than an ADD may last, also when there is an address", async () => {
    fillPool();
    for (const startedAt of [1, bootClockMs() - ADD_WAIT_MS])
      await expect(add(startedAt)).rejects.toMatchObject({ code: "add-timeout" });
    expect(deps.ipam.find(attachment)).toBeUndefined();
  });

  it.each([1e15, Number.POSITIVE_INFINITY])(
    "is not put off by a plugin that says it starts at %d",
    async (startedAt) => {
      await expect(add(startedAt, 1_000)).rejects.toMatchObject({ code: "pool-empty" });
    },
  );

  it("ends a wait for a daemon that is not ready yet", async () => {
    fillPool();
    const ready = new Promise<void>(() => undefined);
    const failed = expect(add(bootClockMs() - ADD_WAIT_MS + 200, ADD_WAIT_MS, ready)).rejects;
    await failed.toMatchObject({ code: "add-timeout" });
  });

  it("ends a wait for an earlier link of the attachment that cannot be removed", async () => {
    fillPool();
    const removeGroup = () => new Promise(() => undefined);
    const { log } = memoryLogger();
    const dyingLinks = new DyingLinks({ removeGroup, clock: systemClock, log, stopping: never });
    dyingLinks.add(podLink(attachment).hostName);
    deps = { ...deps, dyingLinks };
    await expect(add(bootClockMs() - ADD_WAIT_MS + 200)).rejects.toMatchObject({ code: "add-timeout" });
    expect(deps.ipam.find(attachment)).toBeUndefined();
  });
});

describe("ADD and DEL", () => {
  it("hold nothing once they are over: no signal waits for a deadline behind them", async () => {
    pool.hold(1, Cidr.parse("10.0.16.0/24"));
    const signalsAfter = async (calls: number) => {
      for (let call = 0; call < calls; call += 1) {
        await add(bootClockMs());
        await del(bootClockMs());
      }
      return queryObjects(AbortSignal, { format: "count" });
    };
    const few = await signalsAfter(1);
    expect(await signalsAfter(100)).toBeLessThan(few + 50);
  });

  it("a DEL from the future refuses no ADD that comes after it", async () => {
    fillPool();
    await del(1e15);
    await expect(add(bootClockMs())).resolves.toBeDefined();
  });

  it("a DEL that began before the ADD leaves its pod; the pod's own ends it", async () => {
    fillPool();
    const startedAt = bootClockMs();
    await add(startedAt);
    await del(startedAt - 1);
    expect(deps.ipam.find(attachment)).toBeDefined();
    await del(bootClockMs());
    expect(deps.ipam.find(attachment)).toBeUndefined();
  });

  it("an ADD drops older DELs from the queue once it has found no lease that they could end", async () => {
    fillPool();
    const startedAt = bootClockMs();
    await add(startedAt);
    await expect(add(bootClockMs())).rejects.toMatchObject({ code: "attachment-exists" });
    expect(dropped).toEqual([[attachment, startedAt]]);
  });
});

describe("GC", () => {
  it("tells each lease that it has ended, as nobody calls the other plugins' DEL", async () => {
    fillPool();
    await add(bootClockMs());
    const { hostName } = podLink(attachment);
    const told: string[] = [];
    const verbs = buildVerbs(deps, options({ delLost: (lease) => told.push(lease.attachment.containerId) }));
    const collect = () =>
      verbs.GC(
        { ...common, command: "GC", config: { ...common.config, "cni.dev/valid-attachments": [] } },
        never,
      );
    await collect();
    expect(told).toEqual([]);
    const { links } = deps.kernel.host;
    links.remove(links.find(hostName)?.index ?? 0);
    await collect();
    expect(told).toEqual(["aa01"]);
  });

  it("tells those that it has ended also when another cannot be ended, and fails with that error", async () => {
    fillPool();
    await add(bootClockMs());
    const other = { containerId: "aa02" as ContainerId, ifname: "eth1" };
    await add(bootClockMs(), ADD_WAIT_MS, Promise.resolve(), other);
    const { links } = deps.kernel.host;
    for (const each of [attachment, other]) links.remove(links.find(podLink(each).hostName)?.index ?? 0);
    const release = (each: Attachment) => {
      if (each.containerId === "aa01") throw new Error("the kernel says no");
      deps.ipam.release(each);
    };
    const ipam = Object.assign(Object.create(deps.ipam), { release });
    const told: string[] = [];
    const delLost: VerbsOptions["delLost"] = (lease) => told.push(lease.attachment.containerId);
    const verbs = buildVerbs({ ...deps, ipam }, options({ delLost }));
    const config = { ...common.config, "cni.dev/valid-attachments": [] };
    await expect(verbs.GC({ ...common, command: "GC", config }, never)).rejects.toThrow("the kernel says no");
    expect(told).toEqual(["aa02"]);
  });
});
