/** A second call of the same attachment that comes at any moment of the first: at every write of an ADD, and at every write of a DEL. */
import { beforeAll, describe, expect, it } from "vitest";
import { addPod } from "../../cni/add.ts";
import { delPod } from "../../cni/del.ts";
import { podLink } from "../../cni/pod-link.ts";
import { readPodsTable } from "../../cni/repair.ts";
import { hasCode } from "../../common/errors.ts";
import { attachment, type MemoryDaemon, memoryDaemon, NETNS } from "./memory-daemon.ts";
import { type CrashMoment, type RecordedPoints, recordPoints } from "./points.ts";

const LINK = podLink(attachment).hostName;
const never = new AbortController().signal;

type Outcome = "done" | "ended" | "exists";
type Call = { readonly verb: "ADD" | "DEL"; readonly startedAt: number };

let points: RecordedPoints;

beforeAll(async () => {
  points = await recordPoints();
});

/** Runs `first`, and `second` from inside the write of that moment. Gives what came of both, and the daemon. */
async function interleave(
  before: readonly Call[],
  first: Call,
  moment: CrashMoment,
  second: Call,
): Promise<{ readonly outcomes: readonly Outcome[]; readonly daemon: MemoryDaemon }> {
  const counts = new Map<string, number>();
  let running: Promise<Outcome> | undefined;
  let isArmed = false;
  const daemon = await memoryDaemon({
    reach: (point) => {
      if (!isArmed) return;
      counts.set(point, (counts.get(point) ?? 0) + 1);
      if (running === undefined && `${point}:${counts.get(point)}` === moment) running = run(daemon, second);
    },
  });
  for (const call of before) await run(daemon, call);
  isArmed = true;
  const one = await run(daemon, first);
  if (running === undefined) throw new Error(`${moment} was not reached`);
  return { outcomes: [one, await running], daemon };
}

async function run({ deps }: MemoryDaemon, { verb, startedAt }: Call): Promise<Outcome> {
  try {
    if (verb === "DEL") await delPod(deps, { attachment, startedAt });
    else await addPod(deps, { attachment, netnsPath: NETNS, pod: {}, startedAt }, never);
    return "done";
  } catch (error) {
    if (hasCode(error, "attachment-ended")) return "ended";
    if (hasCode(error, "attachment-exists")) return "exists";
    throw error;
  }
}

/** What the daemon and the kernel have of the attachment: all of it, or nothing but addresses that cool or are free. */
async function expectPod(daemon: MemoryDaemon, isThere: boolean): Promise<void> {
  await daemon.deps.dyingLinks.gone(LINK, never);
  const { book, kernel, pool } = daemon;
  const routes = readPodsTable(kernel).filter(({ type }) => type === "unicast").length;
  const genuine = kernel.nft.list("genuine").length;
  const leased = pool.addressesIn("leased").length;
  const found = {
    leases: book.ready().length,
    isLink: kernel.host.links.find(LINK) !== undefined,
    routes,
    leased,
  };
  expect(found).toEqual({
    leases: isThere ? 1 : 0,
    isLink: isThere,
    routes: isThere ? 2 : 0,
    leased: isThere ? 2 : 0,
  });
  expect(genuine).toBe(isThere ? 3 : 0);
  // every reserved address is a lease's or cools
  expect(readPodsTable(kernel).filter(({ type }) => type === "unreachable")).toHaveLength(
    leased + pool.addressesIn("cooling").length,
  );
}

describe("at every write of an ADD", () => {
  it("a newer DEL ends it, and a DEL's success is the end of the pod", async () => {
    for (const moment of points.add) {
      const { outcomes, daemon } = await interleave([], add(1), moment, del(2));
      expect(outcomes, moment).toEqual(["ended", "done"]);
      await expectPod(daemon, false);
    }
  });

  it("an older DEL leaves the pod", async () => {
    for (const moment of points.add) {
      const { outcomes, daemon } = await interleave([], add(2), moment, del(1));
      expect(outcomes, moment).toEqual(["done", "done"]);
      await expectPod(daemon, true);
    }
  });

  it("a second ADD is refused, and leaves the first", async () => {
    for (const moment of points.add) {
      const { outcomes, daemon } = await interleave([], add(1), moment, add(2));
      expect(outcomes, moment).toEqual(["done", "exists"]);
      await expectPod(daemon, true);
    }
  });
});

describe("at every write of a DEL", () => {
  it("a newer ADD waits for its end, and has its pod", async () => {
    for (const moment of points.del) {
      const { outcomes, daemon } = await interleave([add(1)], del(2), moment, add(3));
      expect(outcomes, moment).toEqual(["done", "done"]);
      await expectPod(daemon, true);
    }
  });

  it("an ADD that is older is refused", async () => {
    for (const moment of points.del) {
      const { outcomes, daemon } = await interleave([add(1)], del(3), moment, add(2));
      expect(outcomes, moment).toEqual(["done", "ended"]);
      await expectPod(daemon, false);
    }
  });

  it("a second DEL succeeds, too", async () => {
    for (const moment of points.del) {
      const { outcomes, daemon } = await interleave([add(1)], del(2), moment, del(3));
      expect(outcomes, moment).toEqual(["done", "done"]);
      await expectPod(daemon, false);
    }
  });
});

it("an ADD whose link's name is taken by a stranger fails, and leaves that link as it is", async () => {
  const daemon = await memoryDaemon({ reach: () => undefined });
  const { kernel, pool } = daemon;
  kernel.hostNamespace.addLink({ name: LINK, alias: "do not touch", mtuBytes: 1500, up: true, group: 7 });
  await expect(run(daemon, add(1))).rejects.toMatchObject({ code: "EEXIST" });
  expect(kernel.host.links.find(LINK)).toMatchObject({ alias: "do not touch", up: true, group: 7 });
  expect([pool.addressesIn("leased"), pool.addressesIn("cooling")]).toEqual([[], []]);
});

function add(startedAt: number): Call {
  return { verb: "ADD", startedAt };
}

function del(startedAt: number): Call {
  return { verb: "DEL", startedAt };
}
