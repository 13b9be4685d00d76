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
