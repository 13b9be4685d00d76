import { describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId, parseMac, type SubnetId } from "../common/ids.ts";
import { Cidr } from "../common/ip.ts";
import type { Capabilities, CloudInterface } from "../providers/provider.ts";
import { creationToken, type PlanInput, plan } from "./plan.ts";
import type { ShelfSummary } from "./pool.ts";

const capabilities: Capabilities = {
  cards: [{ index: 0, interfacesMax: 2 }],
  skippedCards: [],
  unitsPerInterface: { 4: 3, 6: 3 },
  unitLengths: { 4: [32, 28], 6: [128, 80] },
  canAddInterfaces: true,
  canReleaseUnits: true,
};

function nic(
  slot: number,
  units: readonly string[],
  state: CloudInterface["state"] = "attached",
): CloudInterface {
  return {
    id: `eni-${slot}` as InterfaceId,
    mac: parseMac(`02:00:00:00:00:0${slot}`),
    subnet: { id: "subnet-1" as SubnetId, zone: "a" },
    isPrimary: slot === 1,
    ownership: slot === 1 ? "shared" : "ours",
    state,
    cardIndex: 0,
    own: [],
    units: units.map((unit) => Cidr.parse(unit)),
    foreignUnits: [],
    gateways: {},
    poolKey: DEFAULT_POOL,
  };
}

function shelf(slot: number, family: 4 | 6, free: number): ShelfSummary {
  return { slot, key: DEFAULT_POOL, family, units: free, free, leased: 0, cooling: 0 };
}

function planOf(change: Partial<PlanInput> & { readonly interfaces?: readonly CloudInterface[] }) {
  return plan({
    key: DEFAULT_POOL,
    families: [4],
    waiting: 0,
    spare: 2,
    shelves: [shelf(1, 4, 0)],
    view: { interfaces: change.interfaces ?? [nic(1, [])], networkCidrs: [] },
    capabilities,
    slotOf: (id) => Number(id.slice(4)),
    lost: new Set(),
    fullSubnets: new Set(),
    ...change,
  });
}

describe("plan()", () => {
  it("does nothing when the spare is there", () => {
    expect(
      planOf({ shelves: [shelf(1, 4, 2)], interfaces: [nic(1, ["10.0.0.1/32", "10.0.0.2/32"])] }),
    ).toEqual({ actions: [] });
  });

  it("asks once per family for what is missing, so that both families meet", () => {
    const shelves = [shelf(1, 4, 2), shelf(1, 6, 0)];
    expect(
      planOf({ families: [4, 6], waiting: 1, shelves, interfaces: [nic(1, ["10.0.0.1/32", "10.0.0.2/32"])] })
        .actions,
    ).toEqual([
      { kind: "assign", interfaceId: "eni-1", request: { family: 4, prefixLength: 32, count: 1 } },
      { kind: "assign", interfaceId: "eni-1", request: { family: 6, prefixLength: 128, count: 3 } },
    ]);
  });

  it("fills an interface, then adds one with the rest in the same call", () => {
    expect(planOf({ waiting: 3, interfaces: [nic(1, ["10.0.0.1/32"])] }).actions).toEqual([
      { kind: "assign", interfaceId: "eni-1", request: { family: 4, prefixLength: 32, count: 2 } },
      {
        kind: "create",
        key: "default",
        subnets: { by: "ids", ids: ["subnet-1"] },
        avoid: [],
        cardIndex: 0,
        units: [{ family: 4, prefixLength: 32, count: 3 }],
      },
    ]);
  });

  it("does not add an interface while one is arriving", () => {
    const interfaces = [nic(1, ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]), nic(2, [], "attaching")];
    expect(planOf({ waiting: 3, interfaces })).toEqual({ actions: [] });
  });

  it("names the instance's limit when nothing more can be had", () => {
    const full = ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"];
    const { actions, limit } = planOf({
      waiting: 1,
      interfaces: [nic(1, full), nic(2, full)],
      shelves: [shelf(1, 4, 0), shelf(2, 4, 0)],
    });
    expect(actions).toEqual([]);
    expect(limit).toBe("the instance is full: 2 of 2 interfaces with 3 addresses for pods each are in use");
  });

  it("asks nothing of a full subnet, and says so", () => {
    expect(planOf({ fullSubnets: new Set(["subnet-1" as SubnetId]) })).toEqual({
      actions: [],
      limit: "subnet subnet-1 has no free address",
    });
  });

  it("asks nothing of an interface whose link is lost, and adds another beside it", () => {
    const full = ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"];
    const three = { ...capabilities, cards: [{ index: 0, interfacesMax: 3 }] };
    const { actions } = planOf({
      capabilities: three,
      interfaces: [nic(1, full), nic(2, [])],
      lost: new Set(["eni-2" as InterfaceId]),
    });
    expect(actions).toMatchObject([{ kind: "create" }]);
  });

  it("asks for nothing while the primary is tagged as not ours, and says so", () => {
    expect(planOf({ interfaces: [{ ...nic(1, []), ownership: "foreign" }] })).toEqual({
      actions: [],
      limit: "the node's primary interface eni-1 is tagged as not ours, and pods cannot do without it",
    });
  });

  it("never touches a foreign interface", () => {
    const foreign: CloudInterface = { ...nic(2, []), ownership: "foreign" };
    expect(
      planOf({ waiting: 9, interfaces: [nic(1, ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]), foreign] })
        .actions,
    ).toEqual([]);
  });
});

describe("after a crash while an interface was made", () => {
  const full = nic(1, ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]);
  const view = (...interfaces: CloudInterface[]) => ({ interfaces, networkCidrs: [] });
  const wanted = { key: DEFAULT_POOL, cardIndex: 0 };

  it("plan() asks for it again: what is detached takes no place on the instance", () => {
    const { actions, limit } = planOf({ interfaces: [full, nic(2, [], "detached")] });
    expect(actions.map(({ kind }) => kind)).toEqual(["create"]);
    expect(limit).toBeUndefined();
  });

  it("creationToken() stays the same until the interface is attached", () => {
    const token = creationToken(view(full), wanted);
    expect(creationToken(view(full, nic(2, [], "detached")), wanted)).toBe(token);
    expect(creationToken(view(full, nic(2, [], "attaching")), wanted)).not.toBe(token);
    expect(creationToken(view(full), { ...wanted, cardIndex: 1 })).not.toBe(token);
  });
});
