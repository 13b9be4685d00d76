import { describe, expect, it } from "vitest";
import { Ec2, type SimInterface } from "./ec2.ts";
import { instanceType, maxPods } from "./instance-types.ts";
import { Random } from "./random.ts";
import { BLOCK_SIZE, SimSubnet } from "./subnet.ts";

const small = () =>
  new SimSubnet({ id: "subnet-a", first: 1 << 24, prefixLength: 25, random: new Random("subnet") });

describe("SimSubnet", () => {
  it("gives every address but the five that EC2 keeps, each once", () => {
    const subnet = small();
    const given = subnet.takeSingles(123);
    expect(new Set(given).size).toBe(123);
    expect(subnet.freeCount).toBe(0);
    expect(() => subnet.takeSingles(1)).toThrow("InsufficientFreeAddressesInSubnet");
  });

  it("gives aligned blocks, all or none, while whole ones are free", () => {
    const subnet = small();
    expect(() => subnet.takeBlocks(7)).toThrow("InsufficientCidrBlocks");
    const blocks = subnet.takeBlocks(6);
    expect(blocks.every((first) => first % BLOCK_SIZE === 0)).toBe(true);
    for (const first of blocks) subnet.giveBlock(first);
    expect(subnet.freeCount).toBe(123);
  });

  it("has no block where single addresses lie in every one", () => {
    const subnet = small();
    subnet.takeSingles(60);
    expect(() => subnet.takeBlocks(1)).toThrow("InsufficientCidrBlocks");
  });

  it("refuses what is not taken", () => {
    expect(() => small().giveSingle((1 << 24) + 40)).toThrow("not taken");
  });
});

describe("Ec2", () => {
  const type = instanceType("m5.large");

  it("keeps an instance type's limits, and tells what is held", () => {
    let held = 0;
    const ec2 = new Ec2((_, change) => {
      held += change;
    });
    const instance = ec2.launch(0, type, small());
    const [primary] = [...instance.interfaces] as [SimInterface];
    ec2.assign(primary, { singles: 8, blocks: 1 });
    expect(held).toBe(24);
    expect(() => ec2.assign(primary, { singles: 1, blocks: 0 })).toThrow("PrivateIpAddressLimitExceeded");
    for (let index = 0; index < 2; index += 1)
      ec2.attach(ec2.create(instance, { singles: 1, blocks: 0 }, ""));
    const third = ec2.create(instance, { singles: 1, blocks: 0 }, "");
    expect(() => ec2.attach(third)).toThrow("InvalidParameterValue");
    ec2.delete(third);
    expect(held).toBe(26);
  });

  it("does not delete an interface in use, and gives its addresses back with it", () => {
    const subnet = small();
    const ec2 = new Ec2(() => undefined);
    const instance = ec2.launch(0, type, subnet);
    const one = ec2.create(instance, { singles: 3, blocks: 0 }, "");
    ec2.attach(one);
    expect(() => ec2.delete(one)).toThrow("NetworkInterfaceInUse");
    ec2.detach(one);
    ec2.delete(one);
    expect(subnet.freeCount).toBe(122);
  });

  it("gives max pods as EKS has them", () => {
    expect(
      ["t3.small", "m5.large", "m5.4xlarge", "p3dn.24xlarge"].map((name) => maxPods(instanceType(name))),
    ).toEqual([11, 29, 234, 737]);
  });
});
