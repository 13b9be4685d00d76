import { describe, expect, it } from "vitest";
import type { InterfaceId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import type { Action } from "./facts.ts";
import { block, M5_LARGE, type Node, planOf, singles, type Unit } from "./testing.ts";

const RELEASE_AFTER_MS = 60_000;
const LONG_MS = 5 * RELEASE_AFTER_MS;

function actionsOf(node: Node): object[] {
  return planOf(node).actions.map((action) => ({
    ...action,
    ...("units" in action && { units: action.units.map(String) }),
  }));
}

function release(slot: number, ...units: readonly (string | Unit)[]): object {
  const names = units.map((unit) => Cidr.parse(typeof unit === "string" ? unit : unit.unit).toString());
  return { kind: "release", interfaceId: `eni-${slot}`, units: names };
}

describe("what is not wanted any more", () => {
  it("goes back when it has been idle long enough, down to the target", () => {
    const units = singles(1, 9, 1, RELEASE_AFTER_MS);
    expect(actionsOf({ nics: [{ units }] })).toEqual([release(1, ...units.slice(1, 7))]);
  });

  it("stays while it has been used lately, cools down, or is in doubt", () => {
    const young = singles(1, 9, 1, RELEASE_AFTER_MS - 1);
    expect(actionsOf({ nics: [{ units: young }] })).toEqual([]);
    const cooling = singles(1, 5).map((unit) => ({ ...unit, cooling: 1, idleMs: RELEASE_AFTER_MS }));
    expect(actionsOf({ nics: [{ units: cooling }] })).toMatchObject([{ kind: "assign" }]);
  });

  it("waits for what will soon be idle long enough, to go in one call, but not for ever", () => {
    const some = (idleMs: number) => [...singles(1, 4, 0, idleMs), ...singles(2, 5, 0, RELEASE_AFTER_MS / 2)];
    expect(actionsOf({ nics: [{ units: some(RELEASE_AFTER_MS) }] })).toEqual([]);
    expect(actionsOf({ nics: [{ units: some(2 * RELEASE_AFTER_MS) }] })).toMatchObject([{ kind: "release" }]);
  });

  it("waits for a block, rather than give back the single addresses that the block could go instead of", () => {
    const units = (idleMs: number) => [
      ...singles(1, 2, 2),
      ...singles(2, 3, 0, RELEASE_AFTER_MS),
      block(1, 0, 0, idleMs),
    ];
    expect(actionsOf({ nics: [{ units: units(RELEASE_AFTER_MS - 1) }] })).toEqual([]);
    const [, , first] = units(0);
    expect(actionsOf({ nics: [{ units: units(RELEASE_AFTER_MS) }] })).toEqual([
      release(1, block(1, 0), first as Unit),
    ]);
  });

  it("stays longer when it is little", () => {
    const few = (idleMs: number) => ({ nics: [{ units: singles(1, 5, 0, idleMs) }] });
    expect(actionsOf(few(LONG_MS))).toEqual([]);
    expect(actionsOf(few(15 * RELEASE_AFTER_MS))).toHaveLength(1);
  });

  it("goes back as whole blocks, never a block of which one address is in use", () => {
    const units = [block(1, 0, 1), block(1, 1, 0, RELEASE_AFTER_MS), block(1, 2, 0, RELEASE_AFTER_MS)];
    expect(actionsOf({ nics: [{ units }] })).toEqual([release(1, block(1, 1), block(1, 2))]);
  });

  it("stays when without it less than the target would be left", () => {
    const units = [...singles(1, 1), block(1, 0, 0, LONG_MS)];
    expect(actionsOf({ nics: [{ units }] })).toEqual([]);
  });

  it("goes from the emptiest interface first", () => {
    const nics = [
      { units: singles(1, 6, 4, RELEASE_AFTER_MS) },
      { units: singles(2, 6, 1, RELEASE_AFTER_MS) },
    ];
    const [, second] = nics;
    expect(actionsOf({ nics })).toEqual([release(2, ...(second?.units.slice(1) ?? []))]);
  });

  it("waits for what the later interface holds, rather than take the primary's that have been idle for longer", () => {
    const nics = (idleMs: number) => [
      { units: singles(1, 6, 0, 20 * RELEASE_AFTER_MS) },
      { units: singles(2, 6, 0, idleMs), idleMs },
    ];
    expect(actionsOf({ nics: nics(RELEASE_AFTER_MS / 2) })).toEqual([]);
    expect(actionsOf({ nics: nics(RELEASE_AFTER_MS) })).toMatchObject([
      { interfaceId: "eni-2", units: { length: 6 } },
      { interfaceId: "eni-1", units: { length: 4 } },
    ]);
  });

  it("is never what is not ours to give back", () => {
    const units = singles(1, 9, 1, RELEASE_AFTER_MS);
    const foreign = units.map(({ unit }) => unit);
    expect(actionsOf({ nics: [{ units, foreign }] })).toEqual([]);
  });

  it("keeps the block of IPv6 on an interface that is kept", () => {
    const units = [...singles(1, 3, 1), { unit: "2001:db8::/80", idleMs: LONG_MS }];
    expect(actionsOf({ families: [4, 6], nics: [{ units }] })).toEqual([]);
  });

  it("stays where the cloud cannot give back a unit alone", () => {
    const capabilities = { ...M5_LARGE, canReleaseUnits: false };
    expect(actionsOf({ capabilities, nics: [{ units: singles(1, 9, 1, LONG_MS) }] })).toEqual([]);
  });

  it("waits until nothing else runs", () => {
    const running = [{ kind: "delete", interfaceId: "eni-3" as InterfaceId, units: [] } satisfies Action];
    expect(actionsOf({ running, nics: [{ units: singles(1, 9, 1, LONG_MS) }] })).toEqual([]);
  });

  it("stays while the brake is on", () => {
    const nics = [{ units: singles(1, 9, 1, LONG_MS) }];
    expect(actionsOf({ nics, obstacles: { noRelease: "brake" } })).toEqual([]);
  });
});

describe("an interface that nobody uses", () => {
  const empty = { units: singles(2, 9, 0, LONG_MS), idleMs: LONG_MS };

  it("is deleted with what it holds, after a longer while", () => {
    const nics = [{ units: singles(1, 9, 5) }, empty];
    const units = empty.units.map(({ unit }) => unit.replace("/32", ""));
    expect(actionsOf({ nics })).toEqual([
      {
        kind: "delete",
        interfaceId: "eni-2",
        units: units.map((text) => Cidr.parse(`${text}/32`).toString()),
      },
    ]);
    const young = { units: singles(2, 9, 0, LONG_MS - 1), idleMs: LONG_MS - 1 };
    expect(actionsOf({ nics: [{ units: singles(1, 9, 5) }, young] })).toMatchObject([{ kind: "release" }]);
  });

  it("is deleted also when it holds nothing", () => {
    const nics = [{ units: singles(1, 9, 5) }, { units: [], idleMs: LONG_MS }];
    expect(actionsOf({ nics })).toMatchObject([{ kind: "delete", interfaceId: "eni-2" }]);
  });

  it("stays when its addresses are wanted", () => {
    const nics = [{ units: singles(1, 9, 9) }, empty];
    expect(actionsOf({ nics })).toMatchObject([{ kind: "release", interfaceId: "eni-2" }]);
  });

  it("stays when it is the primary, or not ours whole", () => {
    const nics = [{ ...empty, units: [] }, { units: singles(2, 4, 1) }];
    expect(actionsOf({ nics })).toEqual([]);
    const shared = { ...empty, units: [], ownership: "shared" as const };
    expect(actionsOf({ nics: [{ units: singles(1, 4, 1) }, shared] })).toEqual([]);
  });
});

describe("what is on its way back", () => {
  it("is asked for once more while the cloud still lists it", () => {
    const nics = [{ units: singles(1, 3, 1), releasing: ["10.0.1.9/32"] }];
    expect(actionsOf({ nics })).toEqual([release(1, "10.0.1.9/32")]);
  });

  it("takes its place on the interface until the cloud says that it is gone", () => {
    const nics = [{ units: singles(1, 8, 8), releasing: ["10.0.1.9/32"] }];
    const made = actionsOf({ settings: { unit: "single" }, nics });
    expect(made).toMatchObject([{ kind: "create" }, { kind: "release" }]);
  });
});
