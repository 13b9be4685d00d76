import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecordingDataPlane, SMALL_SUBNET, SUBNET_A, SUBNET_B, TEST_NETWORK } from "../testing.ts";
import { Account } from "./account.ts";
import { assignIpv4, assignIpv6, unassignIpv4, unassignIpv6 } from "./assign.ts";
import { attachInterface, detachInterface } from "./attach.ts";
import { deleteInterface } from "./change-interface.ts";
import { createInterface } from "./create-interface.ts";
import { Ec2Error } from "./ec2-error.ts";
import { launchInstance, terminateInstance } from "./launch.ts";
import { countUnits } from "./limits.ts";
import { unitsOf } from "./resources.ts";
import { freeIpv4Count } from "./subnet-addresses.ts";
import { ManualTimers } from "./timers.ts";

/** One step of a random history: which action, on which of the things there are, with what numbers. */
type Step = { readonly action: number; readonly a: number; readonly b: number; readonly count: number };

const steps = fc.array(
  fc.record({ action: fc.nat(), a: fc.nat(), b: fc.nat(), count: fc.integer({ min: 0, max: 6 }) }),
  { maxLength: 60, size: "max" },
);

function newAccount(seed: number) {
  const dataPlane = new RecordingDataPlane();
  const timers = new ManualTimers();
  const account = new Account({ network: TEST_NETWORK, dataPlane, timers, seed, attachMs: 10, detachMs: 10 });
  return { account, dataPlane, timers };
}

type World = ReturnType<typeof newAccount>;

const pick = <T>(from: readonly T[], index: number): T | undefined => from[index % Math.max(from.length, 1)];

const ACTIONS: readonly ((world: World, step: Step) => void)[] = [
  ({ account }, { a }) => {
    const type = pick(["t3.nano", "m5.large", "c6in.32xlarge"], a) ?? "";
    if (account.instances.size < 3)
      launchInstance(account, { subnetId: pick([SUBNET_A, SUBNET_B], a) ?? "", type });
  },
  ({ account }, { a, b, count }) => {
    const subnetId = pick([SUBNET_A, SUBNET_B, SMALL_SUBNET], a) ?? "";
    const ipv4 = b % 2 === 0 ? { addressCount: count } : { prefixCount: count };
    createInterface(account, { subnetId, ipv4, ipv6: { addressCount: count } });
  },
  ({ account }, { a, b, count }) => {
    attachInterface(account, {
      interfaceId: pick([...account.interfaces.keys()], a) ?? "eni-0",
      instanceId: pick([...account.instances.keys()], b) ?? "i-0",
      deviceIndex: count,
      cardIndex: b % 2,
    });
  },
  ({ account }, { a }) =>
    detachInterface(account, pick([...account.interfaces.values()], a)?.attachment?.id ?? "eni-attach-0"),
  ({ account }, { a }) => deleteInterface(account, pick([...account.interfaces.keys()], a) ?? "eni-0"),
  ({ account }, { a, b, count }) => {
    const id = pick([...account.interfaces.keys()], a) ?? "eni-0";
    assignIpv4(account, id, b % 2 === 0 ? { addressCount: count } : { prefixCount: count }, false);
  },
  ({ account }, { a, b }) => {
    const [to, from] = [pick([...account.interfaces.values()], a), pick([...account.interfaces.values()], b)];
    const addresses = (from?.secondaryIpv4 ?? []).slice(0, 2).map(String);
    assignIpv4(account, to?.id ?? "eni-0", { addresses }, true);
  },
  ({ account }, { a, b, count }) => {
    const id = pick([...account.interfaces.keys()], a) ?? "eni-0";
    assignIpv6(account, id, b % 2 === 0 ? { addressCount: count } : { prefixCount: count });
  },
  ({ account }, { a, count }) => {
    const target = pick([...account.interfaces.values()], a);
    const addresses = (target?.secondaryIpv4 ?? []).slice(0, count).map(String);
    const prefixes = (target?.ipv4Prefixes ?? []).slice(0, 1).map(String);
    unassignIpv4(account, target?.id ?? "eni-0", { addresses, prefixes });
  },
  ({ account }, { a, count }) => {
    const target = pick([...account.interfaces.values()], a);
    const addresses = (target?.ipv6 ?? []).slice(0, count).map(String);
    unassignIpv6(account, target?.id ?? "eni-0", { addresses, prefixes: [] });
  },
  ({ timers }, { count }) => timers.advance(count * 3),
  ({ account }, { a, count }) => {
    if (count === 0) terminateInstance(account, pick([...account.instances.keys()], a) ?? "i-0");
  },
];

function apply(world: World, step: Step): void {
  try {
    pick(ACTIONS, step.action)?.(world, step);
  } catch (error) {
    if (!(error instanceof Ec2Error)) throw error;
  }
}

function checkAddresses({ account }: World): void {
  const units = [...account.interfaces.values()].flatMap(unitsOf);
  const sorted = units.sort((x, y) => x.compare(y));
  for (const [index, unit] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next?.overlaps(unit)) throw new Error(`${unit} and ${next} are both assigned`);
  }
  for (const subnet of account.subnets) {
    const used = account
      .interfacesIn(subnet)
      .flatMap(unitsOf)
      .filter(({ family }) => family === 4)
      .reduce((sum, { size }) => sum + Number(size), 0);
    expect(freeIpv4Count(account, subnet)).toBe(Number(subnet.ipv4.size) - 5 - used);
    for (const unit of account.interfacesIn(subnet).flatMap(unitsOf)) {
      const range = unit.family === 4 ? subnet.ipv4 : subnet.ipv6;
      expect(range.contains(unit)).toBe(true);
      for (const offset of [0, 1, 2, 3]) expect(unit.contains(range.first.plus(offset))).toBe(false);
      expect(unit.contains(range.last)).toBe(false);
    }
  }
}

function checkLimits({ account }: World): void {
  for (const instance of account.instances.values()) {
    const attached = account.interfacesOf(instance.id);
    expect(attached.length).toBeLessThanOrEqual(instance.type.interfacesMax);
    const places = attached.map(({ attachment }) => `${attachment?.cardIndex}/${attachment?.deviceIndex}`);
    expect(new Set(places).size).toBe(places.length);
    for (const networkInterface of attached) {
      const { ipv4, ipv6 } = countUnits(networkInterface);
      expect(ipv4).toBeLessThanOrEqual(instance.type.ipv4PerInterface);
      expect(ipv6).toBeLessThanOrEqual(instance.type.ipv6PerInterface);
      expect(networkInterface.subnet.zone).toBe(instance.subnet.zone);
    }
  }
}

/** The data plane delivers exactly what is plugged, with exactly its units. */
function checkDataPlane({ account, dataPlane }: World): void {
  const plugged = [...account.interfaces.values()].filter(({ attachment }) => attachment?.plugged === true);
  const wanted = plugged.map((item) => [item.id as string, unitsOf(item).map(String)] as const);
  expect(new Map(dataPlane.delivered)).toEqual(new Map(wanted));
}

describe("The EC2 model", () => {
  it("keeps addresses unique, counts exact, limits and the data plane true, whatever is asked", () => {
    fc.assert(
      fc.property(fc.nat(), steps, (seed, history) => {
        const world = newAccount(seed);
        for (const step of [
          { action: 0, a: 0, b: 0, count: 0 },
          { action: 0, a: 1, b: 0, count: 0 },
          ...history,
        ]) {
          apply(world, step);
          checkLimits(world);
          checkDataPlane(world);
        }
        checkAddresses(world);
      }),
      { numRuns: 60 },
    );
  });

  it("changes nothing when it refuses", () => {
    fc.assert(
      fc.property(fc.nat(), steps, (seed, history) => {
        const world = newAccount(seed);
        for (const step of history) {
          const before = snapshot(world);
          try {
            pick(ACTIONS, step.action)?.(world, step);
          } catch (error) {
            if (!(error instanceof Ec2Error)) throw error;
            expect(snapshot(world)).toEqual(before);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

function snapshot({ account }: World): string[] {
  return [...account.interfaces.values()].map(
    (item) =>
      `${item.id} ${item.attachment?.instanceId} ${item.attachment?.status} ${unitsOf(item).join(" ")}`,
  );
}
