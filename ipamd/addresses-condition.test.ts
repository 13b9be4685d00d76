import { describe, expect, it } from "vitest";
import { AddressesCondition, type PoolState } from "./addresses-condition.ts";
import type { PoolLimit } from "./pool-limit.ts";

const FULL: PoolLimit = { reason: "SubnetFull", message: "subnet-a has no free address" };
const INSTANCE: PoolLimit = { reason: "InstanceFull", message: "3 of 3 interfaces" };
const GOOD: PoolState = { isShort: false, limit: undefined, fullSubnet: undefined };

function changes(states: readonly (readonly [second: number, state: Partial<PoolState>])[]): string[] {
  const condition = new AddressesCondition();
  return states.flatMap(([second, state]) => {
    const told = condition.look({ ...GOOD, ...state }, second * 1_000);
    return told === undefined ? [] : [`${second}: ${told.type} ${told.status} ${told.reason}`];
  });
}

describe("AddressesCondition", () => {
  it("is True at once, and told once", () => {
    expect(
      changes([
        [0, {}],
        [1, {}],
        [60, {}],
      ]),
    ).toEqual(["0: PodAddressesAvailable True AddressesAvailable"]);
  });

  it("is False with the reason while pods wait for what cannot be had", () => {
    expect(
      changes([
        [0, {}],
        [1, { isShort: true, limit: INSTANCE }],
        [2, { isShort: true, limit: INSTANCE }],
      ]),
    ).toEqual([
      "0: PodAddressesAvailable True AddressesAvailable",
      "1: PodAddressesAvailable False InstanceFull",
    ]);
  });

  it("stays True when only the spare cannot be had, and while pods wait for what is coming", () => {
    expect(
      changes([
        [0, { limit: INSTANCE }],
        [1, { isShort: true }],
      ]),
    ).toEqual(["0: PodAddressesAvailable True AddressesAvailable"]);
  });

  it("is False while a subnet is full, though no pod waits", () => {
    expect(changes([[0, { fullSubnet: FULL }]])).toEqual(["0: PodAddressesAvailable False SubnetFull"]);
  });

  it("is True again once nothing has been wrong for 10 s, and does not flicker while something is tried again", () => {
    const bad = { isShort: true, limit: FULL };
    const states = [
      [0, bad],
      [8, {}],
      [9, bad],
      [18, {}],
      [20, {}],
      [21, bad],
      [32, {}],
    ] as const;
    expect(changes(states)).toEqual([
      "0: PodAddressesAvailable False SubnetFull",
      "20: PodAddressesAvailable True AddressesAvailable",
      "21: PodAddressesAvailable False SubnetFull",
      "32: PodAddressesAvailable True AddressesAvailable",
    ]);
  });
});
