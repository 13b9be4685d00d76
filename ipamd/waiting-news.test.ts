import { describe, expect, it } from "vitest";
import type { PodUid } from "../common/ids.ts";
import type { PoolLimit } from "./pool-limit.ts";
import { WaitingNews } from "./waiting-news.ts";

const WEB = { namespace: "demo", name: "web", uid: "u-1" as PodUid };
const FULL: PoolLimit = { reason: "SubnetFull", message: "subnet-a has no free address" };
const THROTTLED: PoolLimit = { reason: "Throttled", message: "EC2 throttles, request 1" };

/** What is told of a pod that waits from 0 on, at each of these seconds, with the limit of then. */
function told(seconds: readonly (readonly [second: number, limit: PoolLimit | undefined])[]): string[] {
  const news = new WaitingNews();
  return seconds.flatMap(([second, limit]) =>
    news
      .look([{ pod: WEB, since: 0 }], limit, second * 1_000)
      .map(({ event }) => `${second}: ${event.message}`),
  );
}

describe("WaitingNews", () => {
  it("tells of a pod that has waited for 5 s, with the limit, and once however often it is looked at", () => {
    const seconds = Array.from({ length: 300 }, (_, second) => [second, FULL] as const);
    expect(told(seconds)).toEqual(["5: has waited 5 s for an address: subnet-a has no free address"]);
  });

  it("tells it again when the reason changes, and not while nothing is known to stand in the way", () => {
    expect(
      told([
        [6, FULL],
        [7, undefined],
        [8, FULL],
        [9, THROTTLED],
      ]),
    ).toEqual([
      "6: has waited 6 s for an address: subnet-a has no free address",
      "9: has waited 9 s for an address: EC2 throttles, request 1",
    ]);
  });

  it("tells other words for the same reason after a minute, and the same words after ten", () => {
    const other = { ...THROTTLED, message: "EC2 throttles, request 2" };
    expect(
      told([
        [6, THROTTLED],
        [30, other],
        [70, other],
        [669, other],
        [671, other],
      ]),
    ).toEqual([
      "6: has waited 6 s for an address: EC2 throttles, request 1",
      "70: has waited 70 s for an address: EC2 throttles, request 2",
      "671: has waited 671 s for an address: EC2 throttles, request 2",
    ]);
  });

  it("says so when nothing is known to stand in the way", () => {
    expect(told([[6, undefined]])).toEqual([
      "6: has waited 6 s for an address: nothing is known to stand in the way, and the cloud has been asked",
    ]);
  });

  it("tells how long a pod has waited over all its ADDs when it is served, and nothing of one that was quick", () => {
    const news = new WaitingNews();
    expect(news.look([{ pod: WEB, since: 0 }], FULL, 6_000)).toHaveLength(1);
    // its ADD timed out, and the next one waits
    expect(news.look([], FULL, 90_000)).toEqual([]);
    expect(news.look([{ pod: WEB, since: 95_000 }], FULL, 95_000)).toEqual([]);
    expect(news.served(WEB, 100_000)).toEqual({
      pod: WEB,
      event: { type: "Normal", reason: "AddressAssigned", message: "has its address, after 100 s" },
    });
    expect(news.served(WEB, 100_000)).toBeUndefined();
    news.look([{ pod: WEB, since: 200_000 }], FULL, 200_000);
    expect(news.served(WEB, 201_000)).toBeUndefined();
  });

  it("says when the next pod is to be told of, and forgets pods that are gone", () => {
    const news = new WaitingNews();
    expect(news.nextAt()).toBeUndefined();
    news.look([{ pod: WEB, since: 2_000 }], undefined, 2_000);
    expect(news.nextAt()).toBe(7_000);
    news.look([], undefined, 700_000);
    expect(news.nextAt()).toBeUndefined();
  });

  it("passes over a pod that has no name", () => {
    expect(new WaitingNews().look([{ pod: {}, since: 0 }], FULL, 60_000)).toEqual([]);
  });
});
