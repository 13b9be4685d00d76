import { expect, test } from "vitest";
import type { InterfaceId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { findSabotage, SABOTAGES, type Sabotage } from "../cloudsim/sabotage.ts";
import type { Lab } from "./lab.ts";
import { PODS } from "./lab-addresses.ts";
import { runMatrix } from "./matrix.ts";
import { FAILING_CELLS } from "./sabotage-effects.ts";
import { formatOutcome } from "./world.ts";

const ETH1 = "eni-node-a-eth1" as InterfaceId;

function act(sabotage: Sabotage, lab: Lab): void {
  const unit = Cidr.parse(PODS.p1[4]);
  const withdraw = (): void => {
    const left = lab.vpc.fabric.unitsOf(ETH1).filter((other) => !other.equals(unit));
    lab.vpc.deliver(ETH1, left);
  };
  sabotage.act?.({ pod: lab.pod("p1"), withdraw });
}

test.each(SABOTAGES)("without $removes exactly its cells fail ($name)", async (sabotage) => {
  const spec = {
    id: `s-${sabotage.name}`,
    profile: { rpFilter: 1, forward: sabotage.name === "forward-accepts" ? "drop" : "accept" },
    kubeProxy: "iptables",
    ...(sabotage.alter === undefined ? {} : { alter: sabotage.alter }),
  } as const;
  const outcome = await runMatrix(spec, async (lab) => {
    // a daemon that keeps its host network in order keeps the sabotage
    expect(await lab.reapply(lab.nodeA, lab.nodeA.plan)).toEqual([]);
    act(sabotage, lab);
  });
  const patterns = FAILING_CELLS[sabotage.name] ?? [];
  const expected = outcome.names.filter((name) => patterns.some((pattern) => pattern.test(name)));
  expect(expected.length, formatOutcome(outcome)).toBeGreaterThan(0);
  expect([...outcome.failed.keys()].sort(), formatOutcome(outcome)).toEqual(expected.sort());
  const { counter } = sabotage;
  if (counter !== undefined) {
    expect(
      [...outcome.rose.keys()].some((name) => counter.test(name)),
      formatOutcome(outcome),
    ).toBe(true);
  }
});

test("findSabotage() names those that exist", () => {
  expect(findSabotage("snat").name).toBe("snat");
  expect(() => findSabotage("nothing")).toThrow(/rule-pods, .*cloud-address/);
});
