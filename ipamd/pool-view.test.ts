import { describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId, type SubnetId } from "../common/ids.ts";
import { Cidr } from "../common/ip.ts";
import { PoolNode } from "../test/pool-node.ts";
import { describeAction } from "./plan/describe-action.ts";
import type { Action } from "./plan/facts.ts";
import { poolView } from "./pool-view.ts";
import { MemorySettings } from "./settings-memory.ts";

const SINGLES = { unit: "single" } as const;

function viewOf(node: PoolNode) {
  const { clock, parts, reconciler } = node;
  const settings = new MemorySettings({ "address-unit": "single" });
  const sources = { settings, node: { maxPods: () => 20 }, clock };
  return poolView({ ...parts, reconciler, problems: { list: () => [] } }, sources);
}

describe("poolView()", () => {
  it("says what is wanted, what is being asked of the cloud and how old its answer is", async () => {
    await using node = await PoolNode.start({ settings: SINGLES });
    node.cloud.delayMs = 5_000;
    await node.add("a", "b", "c");
    await node.pass(2_000);
    const view = viewOf(node);
    expect(view).toMatchObject({
      plan: { leased: 2, pending: 1, target: 5, spare: 2 },
      running: [{ kind: "assign", what: expect.stringMatching(/^\d IPv4 addresses for eni-/) }],
      waiting: 1,
      settings: {
        "address-unit": { value: "single", from: "file" },
        "spare-addresses": { value: "2", from: "default" },
      },
      maxPods: 20,
    });
    expect(view.waitingPods[0]?.forMs).toBeGreaterThanOrEqual(2_000);
    expect(view.describedAgoMs).toBeGreaterThan(0);
    expect(view).not.toHaveProperty("limit");
  });

  it("says why there is no more, and what stands in the way for how long", async () => {
    await using node = await PoolNode.start({ settings: SINGLES });
    node.cloud.failNext("assign", { code: "unauthorized", times: 1_000 });
    await node.add("a", "b", "c");
    await node.pass(1_000);
    expect(viewOf(node)).toMatchObject({
      limitReason: "NoPermission",
      limit: expect.stringContaining("assign"),
      obstacles: [{ what: "growth", code: "unauthorized", forMs: expect.any(Number) }],
    });
  });
});

const units = ["10.0.0.5/32", "10.0.0.16/28"].map((text) => Cidr.parse(text));
const eni = "eni-1" as InterfaceId;

it.each<[Action, string]>([
  [
    {
      kind: "assign",
      interfaceId: eni,
      requests: [
        { family: 4, prefixLength: 28, count: 1 },
        { family: 4, prefixLength: 32, count: 3 },
      ],
    },
    "1 IPv4 /28 block and 3 IPv4 addresses for eni-1",
  ],
  [
    {
      kind: "create",
      key: DEFAULT_POOL,
      subnets: { by: "ids", ids: ["subnet-a" as SubnetId] },
      avoid: [],
      cardIndex: 0,
      units: [{ family: 6, prefixLength: 80, count: 2 }],
    },
    "a new interface with 2 IPv6 /80 blocks",
  ],
  [{ kind: "release", interfaceId: eni, units }, "10.0.0.5/32 10.0.0.16/28 of eni-1 given back"],
  [{ kind: "delete", interfaceId: eni, units: [] }, "interface eni-1 deleted"],
])("describeAction() of %j is %s", (action, words) => {
  expect(describeAction(action)).toBe(words);
});
