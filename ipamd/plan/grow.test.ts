import { describe, expect, it } from "vitest";
import type { InterfaceId, SubnetId } from "../../common/ids.ts";
import type { Action } from "./facts.ts";
import { block, M5_LARGE, type Node, planOf, singles } from "./testing.ts";

const four = (prefixLength: number, count: number) => ({ family: 4, prefixLength, count }) as const;
const six = (prefixLength: number, count: number) => ({ family: 6, prefixLength, count }) as const;

function assign(slot: number, ...requests: Extract<Action, { kind: "assign" }>["requests"]): Action {
  return { kind: "assign", interfaceId: `eni-${slot}` as InterfaceId, requests };
}

function create(units: Extract<Action, { kind: "create" }>["units"], avoid: readonly string[] = []): object {
  return { kind: "create", key: "default", subnets: { by: "node" }, avoid, cardIndex: 0, units };
}

const actionsOf = (node: Node) => planOf(node).actions;

describe("a shortage", () => {
  it("is none while the spare is there", () => {
    expect(planOf({ nics: [{ units: singles(1, 4, 2) }] })).toMatchObject({
      actions: [],
      count: { leased: 2, free: 2, target: 4 },
    });
  });

  it("is asked for in one call on the interface that has room", () => {
    expect(actionsOf({ pending: 1 })).toEqual([assign(1, four(32, 3))]);
  });

  it("fills one interface, and has the rest created with the next, at the same time", () => {
    const settings = { unit: "single" } as const;
    expect(actionsOf({ settings, pending: 14, nics: [{ units: singles(1, 3, 3) }] })).toEqual([
      assign(1, four(32, 6)),
      create([four(32, 9)]),
      create([four(32, 1)]),
    ]);
  });

  it("has the room of what the cloud has taken back, and not of what it still lists", () => {
    const leaving = ["10.0.1.21/32", "10.0.1.22/32", "10.0.1.23/32"];
    const nic = { units: singles(1, 5, 5) };
    expect(actionsOf({ pending: 1, nics: [{ ...nic, released: leaving }] })).toEqual([
      assign(1, four(32, 4)),
    ]);
    const settings = { unit: "single" } as const;
    const actions = actionsOf({ settings, pending: 1, nics: [{ ...nic, releasing: leaving }] });
    expect(actions.map(({ kind }) => kind)).toContain("create");
  });

  it("counts what has been asked for, and leaves the interface alone that is being written to", () => {
    const running = [assign(1, four(32, 5))];
    expect(actionsOf({ pending: 3, running })).toEqual([]);
    const nics = [{ units: singles(1, 2, 2) }, { units: [] }];
    expect(actionsOf({ pending: 5, running, nics })).toEqual([assign(2, four(32, 3))]);
  });

  it("counts interfaces that have come beside those that are being created", () => {
    const settings = { unit: "single" } as const;
    const came = { units: singles(2, 9), state: "attaching" as const };
    const nics = [{ units: singles(1, 9, 9) }, came];
    const running = [create([four(32, 4)]) as Action];
    expect(planOf({ settings, pending: 11, nics, running })).toMatchObject({
      actions: [],
      count: { coming: 13 },
    });
  });

  it("is no reason to ask for more interfaces than there are places for", () => {
    const settings = { unit: "single" } as const;
    const nics = [{ units: singles(1, 9, 9) }, { units: singles(2, 9), state: "attaching" as const }];
    const running = [create([four(32, 4)]) as Action];
    const { actions, limit } = planOf({ settings, pending: 30, nics, running });
    expect([actions, limit]).toEqual([[], expect.stringContaining("the instance is full")]);
  });

  it("waits for an interface that is being written to, rather than for another one", () => {
    const running = [assign(1, four(32, 5))];
    const capabilities = { ...M5_LARGE, unitsPerInterface: { 4: 29, 6: 29 } };
    expect(actionsOf({ capabilities, pending: 20, running })).toEqual([]);
    const settings = { unit: "single" } as const;
    expect(actionsOf({ settings, pending: 8, running: [assign(1, four(32, 8))] })).toEqual([
      create([four(32, 1)]),
    ]);
  });

  it("is asked for with some more where pods are there already, up to those that kubelet accepts", () => {
    const settings = { unit: "single" } as const;
    const node = { settings, nics: [{ units: singles(1, 4, 4) }], pending: 1 };
    // half of the pods that are there
    expect(actionsOf(node)).toEqual([assign(1, four(32, 5))]);
    // no interface for what may come
    expect(actionsOf({ ...node, ahead: 6 })).toEqual([assign(1, four(32, 5))]);
    expect(actionsOf({ ...node, maxPods: 8 })).toEqual([assign(1, four(32, 4))]);
    expect(actionsOf({ ...node, isFresh: true })).toEqual([assign(1, four(32, 3))]);
    expect(actionsOf({ ...node, settings: { ...settings, warmIpTarget: 2 } })).toEqual([
      assign(1, four(32, 3)),
    ]);
    expect(actionsOf({ ...node, pending: 0, nics: [{ units: singles(1, 6, 4) }] })).toEqual([]);
  });

  it("is none on a node that has just begun and has no pods yet", () => {
    expect(planOf({ isAnnounced: true, isFresh: true })).toMatchObject({ actions: [], count: { target: 0 } });
    expect(actionsOf({ isAnnounced: true, isFresh: true, pending: 1 })).toEqual([assign(1, four(32, 3))]);
  });

  it("counts an interface on its way with the room that it will have", () => {
    const nics = [{ units: singles(1, 9, 9) }, { units: singles(2, 2), state: "attaching" as const }];
    const settings = { unit: "single" } as const;
    expect(actionsOf({ settings, pending: 7, nics })).toEqual([]);
    expect(actionsOf({ settings, pending: 8, nics })).toEqual([create([four(32, 6)])]);
  });

  it("counts an interface once that is being created and that the cloud lists already", () => {
    const running = [create([four(32, 9)]) as Action];
    const nics = [{ units: singles(1, 9, 9) }, { units: singles(2, 9), state: "attaching" as const }];
    const beingMade = new Set(["eni-2" as InterfaceId]);
    expect(planOf({ pending: 7, nics, running, beingMade }).count.coming).toBe(9);
  });

  it("is asked for in each family by what that one lacks, so that both families meet", () => {
    const families = [4, 6] as const;
    expect(actionsOf({ families, pending: 1 })).toEqual([assign(1, four(32, 3), six(80, 1))]);
    const nics = [{ units: [...singles(1, 3), { unit: "2001:db8::/80" }] }];
    expect(actionsOf({ families, pending: 3, nics })).toEqual([assign(1, four(32, 2))]);
    const settings = { unit: "single" } as const;
    expect(actionsOf({ families, settings, pending: 1 })).toEqual([assign(1, four(32, 3), six(128, 3))]);
  });

  it("asks for no more of one family than the other can have", () => {
    const settings = { unit: "single" } as const;
    const capabilities = {
      ...M5_LARGE,
      unitsPerInterface: { 4: 9, 6: 2 },
      cards: [{ index: 0, interfacesMax: 1 }],
    };
    expect(actionsOf({ families: [4, 6], settings, capabilities, pending: 5 })).toEqual([
      assign(1, four(32, 2), six(128, 2)),
    ]);
  });

  it("is met by interfaces of several cards", () => {
    const capabilities = {
      ...M5_LARGE,
      cards: [
        { index: 0, interfacesMax: 1 },
        { index: 1, interfacesMax: 1 },
      ],
    };
    const nics = [{ units: singles(1, 9, 9) }];
    expect(actionsOf({ settings: { unit: "single" }, capabilities, nics })).toEqual([
      { ...create([four(32, 7)]), cardIndex: 1 },
    ]);
  });
});

describe("address-unit", () => {
  const roomy = { ...M5_LARGE, unitsPerInterface: { 4: 29, 6: 29 } };

  it("auto takes single addresses while they fit", () => {
    expect(actionsOf({ capabilities: roomy, pending: 27 })).toEqual([assign(1, four(32, 29))]);
  });

  it("auto takes blocks, and single addresses for the rest, where single ones would need another interface", () => {
    expect(actionsOf({ capabilities: roomy, pending: 40 })).toEqual([assign(1, four(28, 2), four(32, 10))]);
  });

  it("auto rounds up to a block when that wastes no more than the spare", () => {
    expect(actionsOf({ capabilities: roomy, pending: 44 })).toEqual([assign(1, four(28, 3))]);
  });

  it("auto takes another interface rather than waste a block", () => {
    const nics = [{ units: [block(1, 0, 16), ...singles(1, 8, 8)] }];
    expect(actionsOf({ nics, pending: 1 })).toEqual([create([four(32, 9)])]);
  });

  it("auto begins a node with a block where an interface has room for fewer single addresses than a block has", () => {
    const isFresh = true;
    expect(actionsOf({ isFresh, pending: 1 })).toEqual([assign(1, four(32, 3))]);
    expect(actionsOf({ isFresh, pending: 4 })).toEqual([assign(1, four(28, 1))]);
    expect(actionsOf({ isFresh, pending: 20 })).toEqual([assign(1, four(28, 1), four(32, 6))]);
    expect(actionsOf({ isFresh, pending: 30 })).toEqual([assign(1, four(28, 2))]);
    const nics = [{ units: [block(1, 0, 16)] }];
    expect(actionsOf({ isFresh, nics, pending: 4 })).toEqual([assign(1, four(32, 6))]);
    expect(actionsOf({ pending: 4 })).toEqual([assign(1, four(32, 6))]);
  });

  it("a cold m5.large has blocks for 100 pods by one call", () => {
    expect(actionsOf({ settings: { unit: "block" }, pending: 100 })).toEqual([assign(1, four(28, 7))]);
  });

  it("a cold m5.4xlarge has single addresses for 100 pods by one call, and three interfaces created", () => {
    const capabilities = {
      ...M5_LARGE,
      cards: [{ index: 0, interfacesMax: 8 }],
      unitsPerInterface: { 4: 29, 6: 29 },
    };
    expect(actionsOf({ settings: { unit: "single" }, capabilities, pending: 100 })).toEqual([
      assign(1, four(32, 29)),
      create([four(32, 29)]),
      create([four(32, 29)]),
      create([four(32, 15)]),
    ]);
  });

  it("block takes nothing else", () => {
    expect(actionsOf({ settings: { unit: "block" } })).toEqual([assign(1, four(28, 1))]);
  });

  it("block is single where the instance has none", () => {
    const capabilities = { ...M5_LARGE, unitLengths: { 4: [32], 6: [128] } };
    expect(actionsOf({ settings: { unit: "block" }, capabilities })).toEqual([assign(1, four(32, 2))]);
  });

  it("block tries other subnets for one before single addresses, and comes back to blocks", () => {
    const settings = { unit: "block" } as const;
    const blocklessSubnets = new Set(["subnet-1" as SubnetId]);
    expect(actionsOf({ settings, obstacles: { blocklessSubnets } })).toEqual([
      create([four(28, 1)], ["subnet-1"]),
    ]);
    expect(actionsOf({ settings, obstacles: { blocklessSubnets, noBlocks: true } })).toEqual([
      assign(1, four(32, 2)),
    ]);
    expect(actionsOf({ settings })).toEqual([assign(1, four(28, 1))]);
  });
});

describe("what stands in the way", () => {
  it("a full subnet is asked for nothing, and another one is tried", () => {
    const fullSubnets = new Set(["subnet-1" as SubnetId]);
    expect(actionsOf({ obstacles: { fullSubnets } })).toEqual([create([four(32, 2)], ["subnet-1"])]);
  });

  it("a subnet that refused more is asked for less, and then for one", () => {
    const settings = { unit: "single" } as const;
    const subnetAtMost = new Map([["subnet-1" as SubnetId, 2]]);
    expect(actionsOf({ settings, pending: 5, obstacles: { subnetAtMost } })[0]).toEqual(
      assign(1, four(32, 2)),
    );
    const nics = [{ units: singles(1, 9, 9) }];
    expect(actionsOf({ nics, pending: 5, obstacles: { creationAtMost: 1 } })).toEqual([
      create([four(32, 1)]),
      create([four(32, 1)]),
    ]);
  });

  it("an interface that should have shown its link long ago is waited for no more", () => {
    const settings = { unit: "single" } as const;
    const nics = [{ units: singles(1, 9, 9) }, { units: singles(2, 9), state: "attaching" as const }];
    const overdue = new Set(["eni-2" as InterfaceId]);
    expect(actionsOf({ settings, nics })).toEqual([]);
    expect(actionsOf({ settings, nics, overdue })).toMatchObject([{ kind: "create" }]);
    const capabilities = { ...M5_LARGE, cards: [{ index: 0, interfacesMax: 2 }] };
    expect(planOf({ settings, nics, overdue, capabilities }).limit).toBe(
      "interface eni-2 is attaching, but its link has not shown on this node",
    );
  });

  it("an interface that is being deleted keeps no other one from being created", () => {
    const settings = { unit: "single" } as const;
    const nics = [{ units: singles(1, 9, 9) }, { units: [] }];
    const running = [{ kind: "delete", interfaceId: "eni-2" as InterfaceId, units: [] } as const];
    expect(actionsOf({ settings, nics, running, pending: 2 })).toMatchObject([{ kind: "create" }]);
  });

  it("is named: the subnet, and what keeps other ones away", () => {
    const fullSubnets = new Set(["subnet-1" as SubnetId]);
    const capabilities = { ...M5_LARGE, cards: [{ index: 0, interfacesMax: 1 }] };
    expect(planOf({ obstacles: { fullSubnets }, capabilities }).limit).toBe(
      "subnet subnet-1 has no free address; the instance is full: 1 of 1 interfaces with 9 addresses for pods each are in use",
    );
  });

  it.each([
    ["noGrowth", "EC2 throttles", []],
    ["noCreation", "no permission", ["assign"]],
  ] as const)("%s is the limit", (name, why, kinds) => {
    const made = planOf({ settings: { unit: "single" }, pending: 20, obstacles: { [name]: why } });
    expect([made.actions.map(({ kind }) => kind), made.limit]).toEqual([kinds, why]);
  });

  it("max-eni is the limit, by name", () => {
    const made = planOf({ settings: { unit: "single", maxEni: 1 }, pending: 20 });
    expect(made.actions).toEqual([assign(1, four(32, 9))]);
    expect(made.limit).toBe("the limit max-eni=1 is reached: 1 interfaces are in use");
  });

  it("an interface whose link has not shown is named, and none is added for what it will carry", () => {
    const nics = [{ units: singles(1, 9, 9) }, { units: [], hasLink: false }];
    const made = planOf({ settings: { unit: "single" }, nics });
    expect(made.actions).toEqual([]);
    expect(made.limit).toBe("interface eni-2 is attached, but its link has not shown on this node");
  });

  it("an interface whose link is lost is asked for nothing, and another one is added beside it", () => {
    const nics = [{ units: singles(1, 9, 9) }, { units: [] }];
    const lost = new Set(["eni-2" as InterfaceId]);
    expect(actionsOf({ settings: { unit: "single" }, nics, lost })).toEqual([create([four(32, 7)])]);
  });

  it("never touches a foreign interface", () => {
    const nics = [{ units: singles(1, 9, 9) }, { units: [], ownership: "foreign" as const }];
    const settings = { unit: "single" } as const;
    expect(actionsOf({ settings, nics })).toEqual([create([four(32, 7)])]);
    expect(planOf({ settings, nics: [...nics, ...nics.slice(1)] })).toMatchObject({
      actions: [],
      limit: expect.stringContaining("3 of 3 interfaces"),
    });
  });

  it("a primary that is tagged as not ours stops everything", () => {
    const made = planOf({ nics: [{ units: [], ownership: "foreign" }], pending: 3 });
    expect(made.actions).toEqual([]);
    expect(made.limit).toContain("eni-1 is tagged as not ours");
  });
});
