import { describe, expect, it } from "vitest";
import { DYING_GROUP, POD_LINK_PREFIX } from "../common/constants.ts";
import type { Attachment, ContainerId } from "../common/ids.ts";
import { KernelError } from "../common/kernel/errors.ts";
import { MemoryKernel } from "../common/kernel/memory/kernel.ts";
import { memoryLogger } from "../common/log.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { DyingLinks } from "./dying-links.ts";
import { podLink } from "./pod-link.ts";

const NETNS = "/run/netns/pod";

/** Dying links of a kernel in memory whose first removals fail. */
function start(failures: number) {
  const kernel = new MemoryKernel();
  kernel.createNetns(NETNS);
  const clock = new SteppedClock();
  const { log, lines } = memoryLogger();
  const stopping = new AbortController();
  const removals = { tried: 0 };
  const links = new DyingLinks({
    removeGroup: async () => {
      removals.tried += 1;
      if (removals.tried <= failures) throw new KernelError("ENOBUFS", "the thread died");
      await kernel.slow.removeLinkGroup(DYING_GROUP, POD_LINK_PREFIX);
    },
    clock,
    log,
    stopping: stopping.signal,
  });
  const dying = (containerId: string): string => {
    const attachment: Attachment = { containerId: containerId as ContainerId, ifname: containerId };
    const { hostName, hostMac, podMac } = podLink(attachment);
    using netns = kernel.netns.open(NETNS);
    const { hostIndex } = kernel.host.links.createPair({
      hostName,
      hostMac,
      podName: containerId,
      podMac,
      mtuBytes: 1500,
      podNetnsFd: netns.fd,
    });
    kernel.host.links.change(hostIndex, { group: DYING_GROUP });
    links.add(hostName);
    return hostName;
  };
  const isThere = (name: string) => kernel.host.links.find(name) !== undefined;
  return { links, dying, isThere, clock, lines, stopping, removals };
}

describe("DyingLinks", () => {
  it("removes the links of one moment together, and knows of none afterwards", async () => {
    const { links, dying, isThere, removals } = start(0);
    const names = ["aa01", "aa02", "aa03"].map(dying);
    await Promise.all(names.map((name) => links.gone(name)));
    expect(names.filter(isThere)).toEqual([]);
    expect(removals.tried).toBe(1);
    await links.gone(names[0] as string);
  });

  it("tries a removal that fails again until the links are gone, and tells of it once", async () => {
    const { links, dying, isThere, clock, lines, removals } = start(2);
    const name = dying("aa01");
    let stillThere: boolean | undefined;
    const gone = links.gone(name).then(() => {
      stillThere = isThere(name);
    });
    await clock.settle();
    expect([removals.tried, stillThere]).toEqual([1, undefined]);
    const later = dying("aa02");
    await clock.run();
    await gone;
    expect(stillThere).toBe(false);
    expect([removals.tried, isThere(later)]).toEqual([3, false]);
    expect(lines).toMatchObject([
      { level: "warn", err: { code: "ENOBUFS" }, links: [name] },
      { level: "info", failures: 2, links: [name, later] },
    ]);
  });

  it("removes a link that joins while others are being removed", async () => {
    const { links, dying, isThere, clock, removals } = start(0);
    const first = dying("aa01");
    await links.gone(first);
    const second = dying("aa02");
    await Promise.resolve();
    const third = dying("aa03");
    await clock.settle();
    expect([second, third].filter(isThere)).toEqual([]);
    expect(removals.tried).toBeGreaterThan(1);
  });

  it("ends a wait by its signal, and all tries when the daemon stops", async () => {
    const { links, dying, clock, stopping, removals } = start(Number.POSITIVE_INFINITY);
    const name = dying("aa01");
    const impatient = new AbortController();
    const waiting = links.gone(name, impatient.signal);
    impatient.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await clock.run(3);
    const { tried } = removals;
    stopping.abort();
    await clock.run();
    expect(removals.tried).toBe(tried);
  });
});
