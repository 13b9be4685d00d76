import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PodUid } from "../common/ids.ts";
import { memoryLogger } from "../common/log.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { CloudError } from "../providers/errors.ts";
import type { PoolState } from "./addresses-condition.ts";
import { MemoryEvents } from "./kube/events-memory.ts";
import { PoolNews } from "./pool-news.ts";

const WEB = { namespace: "demo", name: "web", uid: "u-1" as PodUid };
const GOOD: PoolState = { isShort: false, limit: undefined, fullSubnet: undefined };
const SHORT: PoolState = {
  isShort: true,
  limit: { reason: "SubnetFull", message: "subnet-a has no free address" },
  fullSubnet: undefined,
};

let clock: SteppedClock;
let events: MemoryEvents;
let logged: ReturnType<typeof memoryLogger>;
let waiting: { readonly pod: typeof WEB; readonly since: number }[];
let state: PoolState | undefined;
let news: PoolNews;
let stopping: AbortController;
let running: Promise<void>;

beforeEach(() => {
  clock = new SteppedClock();
  logged = memoryLogger();
  events = new MemoryEvents();
  [waiting, state] = [[], GOOD];
  stopping = new AbortController();
  news = new PoolNews({ events, waiting: () => waiting, state: () => state, clock, log: logged.log });
  running = news.run(stopping.signal);
});

afterEach(async () => {
  stopping.abort();
  await clock.settle();
  await running;
});

const unauthorized = (operation: string) =>
  new CloudError("unauthorized", "UnauthorizedOperation", { operation });

describe("PoolNews", () => {
  it("tells of a pod that waits without anything else happening, and when it is served", async () => {
    await clock.advance(1_000);
    [waiting, state] = [[{ pod: WEB, since: clock.now() }], SHORT];
    news.changed();
    await clock.advance(4_000);
    expect(events.pods).toEqual([]);
    await clock.advance(2_000);
    expect(events.pods).toMatchObject([
      {
        pod: WEB,
        type: "Warning",
        reason: "WaitingForAddress",
        message: expect.stringContaining("subnet-a"),
      },
    ]);
    [waiting, state] = [[], GOOD];
    news.served(WEB);
    await clock.advance(1_000);
    expect(events.pods[1]).toMatchObject({ type: "Normal", message: "has its address, after 6 s" });
  });

  it("keeps the condition, and says nothing before the cloud's first answer", async () => {
    state = undefined;
    news.changed();
    const condition = () => events.conditions.get("PodAddressesAvailable");
    events.conditions.clear();
    await clock.advance(1_000);
    expect(condition()).toBeUndefined();
    state = SHORT;
    news.changed();
    await clock.advance(1_000);
    expect(condition()).toMatchObject({ status: "False", reason: "SubnetFull" });
    state = { ...SHORT, limit: { reason: "SubnetFull", message: "subnet-b has no free address" } };
    news.changed();
    await clock.advance(1_000);
    expect(condition()?.message).toContain("subnet-b");
    expect(events.node).toMatchObject([{ type: "Warning", reason: "SubnetFull" }]);
    state = GOOD;
    news.changed();
    await clock.advance(12_000);
    expect(condition()).toMatchObject({ status: "True" });
  });

  it("tells a missing permission of each action once an hour, on the node", async () => {
    for (let minute = 0; minute < 61; minute += 1) {
      for (const action of ["AssignPrivateIpAddresses", "CreateTags"]) news.failed(unauthorized(action));
      news.failed(new CloudError("throttled", "slow down", { operation: "CreateTags" }));
      await clock.advance(60_000);
    }
    expect(events.node.map(({ reason, about }) => [reason, about])).toEqual([
      ["NoPermission", "AssignPrivateIpAddresses"],
      ["NoPermission", "CreateTags"],
      ["NoPermission", "AssignPrivateIpAddresses"],
      ["NoPermission", "CreateTags"],
    ]);
    expect(events.node[0]?.message).toContain("may not AssignPrivateIpAddresses");
  });

  it("goes on when whoever is told fails, and logs it once", async () => {
    const { onNode } = events;
    events.onNode = () => {
      throw new Error("the API server is away");
    };
    news.failed(unauthorized("A"));
    await clock.advance(1_000);
    news.failed(unauthorized("B"));
    await clock.advance(1_000);
    expect(logged.lines.map(({ msg }) => msg)).toEqual(["events cannot be told"]);
    events.onNode = onNode;
    news.failed(unauthorized("C"));
    await clock.advance(1_000);
    expect(events.node).toHaveLength(1);
  });

  it("tells nobody in the call that brings the news", () => {
    news.failed(unauthorized("A"));
    expect(events.node).toEqual([]);
  });
});
