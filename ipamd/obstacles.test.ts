import { describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId, type SubnetId } from "../common/ids.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { CloudError } from "../providers/errors.ts";
import { ObstacleBook } from "./obstacles.ts";
import type { Action } from "./plan/facts.ts";
import { DEFAULT_POOL_SETTINGS } from "./settings.ts";

const A = "subnet-a" as SubnetId;
const MINUTE_MS = 60_000;
const units = [{ family: 4, prefixLength: 32, count: 1 }] as const;
const ASSIGN: Action = { kind: "assign", interfaceId: "eni-1" as InterfaceId, requests: units };

function create(avoid: readonly SubnetId[]): Action {
  return { kind: "create", key: DEFAULT_POOL, subnets: { by: "node" }, avoid, cardIndex: 0, units };
}

describe("ObstacleBook.note()", () => {
  it.each([
    ["subnet-exhausted", "fullSubnets", MINUTE_MS],
    ["no-free-block", "blocklessSubnets", 5 * MINUTE_MS],
  ] as const)(
    "lets %s end in time, though creations that avoid the subnet fail for it",
    async (code, what, forMs) => {
      const clock = new SteppedClock();
      const book = new ObstacleBook(clock, () => 0.5);
      const error = new CloudError(code, "full", { operation: "assignUnits", subnetIds: [A] });
      const now = () => [...book.current(DEFAULT_POOL_SETTINGS)[what]];
      book.note(ASSIGN, error);
      await clock.advance(forMs - 1);
      book.note(create([A]), error);
      expect(now()).toEqual([A]);
      await clock.advance(2);
      expect(now()).toEqual([]);
      book.note(create([]), error);
      expect(now()).toEqual([A]);
    },
  );
});

describe("ObstacleBook", () => {
  const failure = (code: "invalid" | "throttled" | "subnet-exhausted") =>
    new CloudError(code, "no", { operation: "assignUnits", subnetIds: [A] });
  const other: Action = { ...ASSIGN, interfaceId: "eni-2" as InterfaceId } as Action;
  const bookOf = () => {
    const book = new ObstacleBook(new SteppedClock(), () => 0.5);
    return { book, now: () => book.current(DEFAULT_POOL_SETTINGS) };
  };

  it("lets one interface that refuses stop no other, and no other's success end its rest", () => {
    const { book, now } = bookOf();
    expect(book.note(ASSIGN, failure("invalid"))).toBe(true);
    expect([now().noGrowth, [...now().fullInterfaces]]).toEqual([undefined, ["eni-1"]]);
    book.done(other);
    expect([...now().fullInterfaces]).toEqual(["eni-1"]);
    book.done(ASSIGN);
    expect([...now().fullInterfaces]).toEqual([]);
    book.note(ASSIGN, failure("throttled"));
    expect(now().noGrowth).toContain("no");
  });

  it("asks a subnet that refused many for half, and takes it for full when it has not one", () => {
    const { book, now } = bookOf();
    const asking = (count: number): Action => ({ ...ASSIGN, requests: [{ ...units[0], count }] }) as Action;
    book.note(asking(5), failure("subnet-exhausted"));
    expect([[...now().subnetAtMost], [...now().fullSubnets]]).toEqual([[[A, 2]], []]);
    book.note(asking(2), failure("subnet-exhausted"));
    expect([...now().subnetAtMost]).toEqual([[A, 1]]);
    book.note(asking(1), failure("subnet-exhausted"));
    expect([...now().fullSubnets]).toEqual([A]);
  });

  it("has the cloud asked what became of a release that was throttled: an earlier try of it may have acted", () => {
    const { book } = bookOf();
    const release: Action = { kind: "release", interfaceId: "eni-1" as InterfaceId, units: [] };
    expect(book.note(release, failure("throttled"))).toBe(true);
    expect(book.note(ASSIGN, failure("throttled"))).toBe(false);
  });
});
