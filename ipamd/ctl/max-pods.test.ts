import { describe, expect, it } from "vitest";
import type { InstanceTypeFacts } from "../../providers/provider.ts";
import { describeMaxPods, maxPods, maxPodsOf } from "./max-pods.ts";

const M5_LARGE: InstanceTypeFacts = {
  instanceType: "m5.large",
  capabilities: {
    cards: [{ index: 0, interfacesMax: 3 }],
    skippedCards: [],
    unitsPerInterface: { 4: 9, 6: 10 },
    unitLengths: { 4: [32, 28], 6: [128, 80] },
    canAddInterfaces: true,
    canReleaseUnits: true,
  },
  podsAdvised: 110,
};

describe("maxPodsOf()", () => {
  it("is interfaces x addresses beside their own, 16 times as many with blocks, and kubelet's with two more, as advised", () => {
    expect(maxPodsOf(M5_LARGE).modes).toEqual([
      { addressUnit: "single", pods: 27, kubeletMaxPods: 29 },
      { addressUnit: "block", pods: 432, kubeletMaxPods: 110 },
    ]);
  });

  it("counts no more interfaces than max-eni, and every card that carries pods", () => {
    expect(maxPodsOf(M5_LARGE, { units: ["single"], maxEni: 2 }).modes[0]?.pods).toBe(18);
    expect(maxPodsOf(M5_LARGE, { units: ["single"], maxEni: 20 }).modes[0]?.pods).toBe(27);
    const cards = [0, 1].map((index) => ({ index, interfacesMax: 7 }));
    const two = { ...M5_LARGE, capabilities: { ...M5_LARGE.capabilities, cards } };
    expect(maxPodsOf(two, { units: ["single"] }).modes[0]?.pods).toBe(126);
    const many = { ...M5_LARGE.capabilities, cards: [{ index: 0, interfacesMax: 60 }] };
    expect(maxPodsOf({ ...M5_LARGE, capabilities: many }).interfaces).toBe(15);
  });

  it("has no mode of blocks where the type has none", () => {
    const capabilities = { ...M5_LARGE.capabilities, unitLengths: { 4: [32], 6: [128] } };
    expect(maxPodsOf({ ...M5_LARGE, capabilities }).modes.map(({ addressUnit }) => addressUnit)).toEqual([
      "single",
    ]);
  });
});

it("describeMaxPods() says it to people", () => {
  expect(describeMaxPods(maxPodsOf(M5_LARGE))).toEqual([
    "m5.large: 3 interfaces for pods, with 9 places for addresses or blocks each.",
    "  address-unit=single: 27 pods with an address; kubelet --max-pods=29",
    "  address-unit=block: 432 pods with an address; kubelet --max-pods=110",
    "kubelet counts pods of the node's own network too, which need no address: 2 of them are included (the daemon and kube-proxy).",
    "Not more than 110, as the cloud's own managed nodes of this size have it.",
  ]);
});

describe("maxPods()", () => {
  it("of a common type asks nobody", async () => {
    const { json } = await maxPods({ "instance-type": "m5.4xlarge", "address-unit": "single" });
    expect(json).toMatchObject({ modes: [{ pods: 232, kubeletMaxPods: 110 }] });
    const { json: big } = await maxPods({ "instance-type": "m5.16xlarge", "address-unit": "block" });
    expect(big).toMatchObject({ modes: [{ pods: 11_760, kubeletMaxPods: 250 }] });
  });

  it.each([
    [{}, "needs --instance-type"],
    [
      { "instance-type": "m5.large", "address-unit": "auto" },
      "--address-unit=auto is not one of single, block",
    ],
    [{ "instance-type": "m5.large", "max-eni": "0" }, "--max-eni=0"],
  ])("refuses %j by name", async (options, words) => {
    await expect(maxPods(options)).rejects.toThrow(words);
  });
});
