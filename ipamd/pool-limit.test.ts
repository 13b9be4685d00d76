import { describe, expect, it } from "vitest";
import { CloudError, type CloudErrorCode } from "../providers/errors.ts";
import type { ObstacleView } from "./obstacles.ts";
import type { Plan } from "./plan/facts.ts";
import { fullSubnet, limitOfFailure, limitOfPlan } from "./pool-limit.ts";

const COUNT = { leased: 1, cooling: 0, pending: 1, free: 0, coming: 0, target: 4, spare: 2 };
const PLAN: Plan = { actions: [], count: COUNT };
const obstacle = (what: string, code: CloudErrorCode): ObstacleView => ({
  what,
  code,
  why: "why",
  forMs: 1_000,
});

describe("limitOfPlan()", () => {
  it("is nothing while the target is reached or will be", () => {
    expect(limitOfPlan(PLAN, [obstacle("growth", "throttled")], { cloudWrites: "all" })).toBeUndefined();
  });

  it.each([
    ["growth", "throttled", "Throttled"],
    ["growth", "unauthorized", "NoPermission"],
    ["creation", "subnet-exhausted", "SubnetFull"],
    ["creation", "limit-reached", "InstanceFull"],
    ["creation", "unavailable", "CloudUnavailable"],
    ["creation", "invalid", "CloudRefuses"],
  ] as const)("an obstacle to %s of code %s is %s", (limitCause, code, reason) => {
    const plan = { ...PLAN, limit: "why", limitCause };
    const obstacles = [obstacle("release", "conflict"), obstacle(limitCause, code)];
    expect(limitOfPlan(plan, obstacles, { cloudWrites: "all" })).toEqual({ reason, message: "why" });
  });

  it("the operator's brake is CloudWritesOff, whatever else stands in the way", () => {
    const plan = { ...PLAN, limit: "the brake", limitCause: "growth" } as const;
    const limit = limitOfPlan(plan, [obstacle("growth", "throttled")], { cloudWrites: "none" });
    expect(limit).toEqual({ reason: "CloudWritesOff", message: "the brake" });
  });

  it.each([
    ["full-subnet", "SubnetFull"],
    ["instance-full", "InstanceFull"],
    ["interface-not-shown", "InterfaceNotShown"],
    ["primary-not-ours", "PrimaryNotOurs"],
  ] as const)("%s is %s", (limitCause, reason) => {
    const plan = { ...PLAN, limit: "words", limitCause };
    expect(limitOfPlan(plan, [], { cloudWrites: "all" })?.reason).toBe(reason);
  });
});

describe("limitOfFailure()", () => {
  it("names what a pass failed with by the cloud's code", () => {
    const error = new CloudError("unauthorized", "may not", { operation: "DescribeNetworkInterfaces" });
    expect(limitOfFailure(error)).toEqual({ reason: "NoPermission", message: "may not" });
    expect(limitOfFailure(new Error("odd")).reason).toBe("CloudUnavailable");
  });
});

describe("fullSubnet()", () => {
  it("finds the subnet that is full among other obstacles", () => {
    expect(fullSubnet([obstacle("growth", "throttled")])).toBeUndefined();
    expect(fullSubnet([obstacle("full-subnet subnet-a", "subnet-exhausted")])?.reason).toBe("SubnetFull");
  });
});
