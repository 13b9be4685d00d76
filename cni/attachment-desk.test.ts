import { describe, expect, it } from "vitest";
import type { Attachment, ContainerId } from "../common/ids.ts";
import { memoryLogger } from "../common/log.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { AttachmentDesk } from "./attachment-desk.ts";
import { CallOrder } from "./call-order.ts";

const attachment: Attachment = { containerId: "aa01" as ContainerId, ifname: "eth0" };
const never = new AbortController().signal;

/** A desk whose pods are a set: an ADD puts the attachment in, a DEL takes it out. */
function desk() {
  const { log, lines } = memoryLogger();
  const clock = new SteppedClock();
  const calls = new AttachmentDesk(clock, log);
  const pods = new Set<Attachment>();
  const ignored = () => lines.filter(({ msg }) => msg === IGNORED);
  return {
    clock,
    pods,
    ignored,
    add: (startedAt: number, until?: Promise<void>) =>
      calls.add(attachment, startedAt, never, async (ended) => {
        if (pods.has(attachment)) throw new Error("added twice");
        await until;
        ended.throwIfAborted();
        pods.add(attachment);
      }),
    del: (startedAt: number) => calls.del(attachment, startedAt, () => pods.delete(attachment)),
  };
}

const IGNORED = "a DEL that is older than the ADD of this pod does nothing";

describe("AttachmentDesk", () => {
  it("leaves a pod to its own DEL: one that began before the pod's ADD does nothing, and says so once", async () => {
    const { add, del, pods, ignored } = desk();
    await add(5);
    await expect(del(4)).resolves.toBeUndefined();
    expect(pods.size).toBe(1);
    expect(ignored()).toMatchObject([{ level: "info", containerId: "aa01", ifname: "eth0" }]);
    await expect(del(6)).resolves.toBe(true);
    expect(pods.size).toBe(0);
    expect(ignored()).toHaveLength(1);
  });

  it("lets a running ADD finish when a DEL comes that is older than it", async () => {
    const { add, del, pods, clock } = desk();
    const gate = Promise.withResolvers<void>();
    const adding = add(5, gate.promise);
    await clock.settle();
    const deleting = del(4);
    gate.resolve();
    await adding;
    await deleting;
    expect(pods.size).toBe(1);
  });

  it("ends a running ADD when a DEL comes that began later", async () => {
    const { add, del, pods, clock } = desk();
    const gate = Promise.withResolvers<void>();
    const adding = add(5, gate.promise);
    await clock.settle();
    const deleting = del(6);
    gate.resolve();
    await expect(adding).rejects.toMatchObject({ code: "attachment-ended" });
    await deleting;
    expect(pods.size).toBe(0);
  });

  it("ends a pod by a DEL between its ADD and a later one that was refused", async () => {
    const { add, del, pods } = desk();
    await add(1);
    const second = expect(add(3)).rejects.toThrow("added twice");
    await del(2);
    await second;
    expect(pods.size).toBe(0);
  });

  it("refuses an ADD that is older than any DEL of the attachment, whatever the DEL found", async () => {
    const { add, del } = desk();
    await del(7);
    await del(3);
    await expect(add(7)).rejects.toMatchObject({ code: "attachment-ended" });
    await add(8);
    await del(2);
    await expect(add(6)).rejects.toMatchObject({ code: "attachment-ended" });
  });
});

describe("CallOrder", () => {
  it("forgets an attachment ten minutes after its last call, whatever time the call named", async () => {
    const clock = new SteppedClock();
    const order = new CallOrder(clock);
    order.noteDel("from the future", 1e15);
    order.noteAdd("old", 1);
    await clock.advance(9 * 60_000);
    order.noteDel("old", 2);
    await clock.advance(2 * 60_000);
    order.noteDel("new", -5);
    expect(order.lastDel("from the future")).toBe(-Infinity);
    expect([order.lastAdd("old"), order.lastDel("old"), order.lastDel("new")]).toEqual([1, 2, -5]);
    await clock.advance(9 * 60_000);
    order.noteDel("newer", 3);
    expect(order.size).toBe(2);
  });

  it("does not grow past its limit, and gives up the oldest first", () => {
    const order = new CallOrder(new SteppedClock());
    for (let call = 0; call < 20_000; call += 1) order.noteDel(`${call}/eth0`, call);
    expect(order.size).toBe(10_000);
    expect([order.lastDel("9999/eth0"), order.lastDel("10000/eth0")]).toEqual([-Infinity, 10_000]);
  });
});
