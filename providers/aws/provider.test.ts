import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId } from "../../common/ids.ts";
import { assignIpv4 } from "../../test/cloudsim/aws/model/assign.ts";
import { SUBNET_A } from "../../test/cloudsim/aws/testing.ts";
import { AwsLab, CLUSTER } from "../../test/conformance/aws.ts";
import type { CreateInterface } from "../provider.ts";
import { OPT_OUT_TAGS, TAG } from "./ownership.ts";
import type { AwsNetwork } from "./provider.ts";

const labs: AwsLab[] = [];
afterEach(async () => {
  await Promise.all(labs.splice(0).map((lab) => lab.close()));
});

async function start(options: Parameters<typeof AwsLab.start>[0] = {}) {
  const lab = await AwsLab.start(options);
  labs.push(lab);
  return { lab, faults: lab.ec2.faults, calls: lab.ec2.calls, network: lab.open() };
}

const soon = () => AbortSignal.timeout(20_000);
const ipv4 = (count: number) => ({ family: 4, prefixLength: 32, count }) as const;
const request = (changes: Partial<CreateInterface> = {}): CreateInterface => ({
  poolKey: DEFAULT_POOL,
  subnets: { by: "ids", ids: [SUBNET_A] },
  avoid: [],
  securityGroupIds: [],
  cardIndex: 0,
  units: [],
  token: "one",
  ...changes,
});

async function primaryOf(network: AwsNetwork) {
  const found = (await network.describe(soon())).interfaces.find((one) => one.isPrimary);
  expect(found).toBeDefined();
  return found as NonNullable<typeof found>;
}

describe("AwsNetwork.createInterface()", () => {
  it("changes EC2 by three calls, addresses and blocks included, and always names the card", async () => {
    const { calls, network } = await start();
    const units = [
      { family: 4, prefixLength: 28, count: 2 } as const,
      { family: 6, prefixLength: 80, count: 1 } as const,
    ];
    await network.createInterface(request({ units }), soon());
    expect(calls.writes().map((call) => call.action)).toEqual([
      "CreateNetworkInterface",
      "AttachNetworkInterface",
      "ModifyNetworkInterfaceAttribute",
    ]);
    expect(calls.all("AttachNetworkInterface")[0]?.params).toMatchObject({ NetworkCardIndex: "0" });
  });

  it("takes the security groups of the primary, and leaves an interface that goes with its instance", async () => {
    const { lab, network } = await start();
    const made = await network.createInterface(request(), soon());
    const primary = await primaryOf(network);
    const inCloud = lab.ec2.account.interfaces;
    expect(inCloud.get(made.id)?.groups).toEqual(inCloud.get(primary.id)?.groups);
    lab.ec2.terminateInstance(lab.instance);
    expect(lab.interfaceIds()).toEqual([]);
  });

  it("is taken up after the process died between any two calls: one interface, nothing left over", async () => {
    const { lab, faults, calls, network } = await start();
    const before = lab.interfaceIds();
    const steps = ["CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute"];
    for (const next of steps) {
      calls.clear();
      const died = new AbortController();
      faults.hang(next, 10);
      const dying = network
        .createInterface(request({ token: next }), died.signal)
        .catch((error: Error) => error);
      await expect.poll(() => calls.count(next), { timeout: 5_000, interval: 5 }).toBe(1);
      died.abort(new Error("killed"));
      expect(await dying).toMatchObject({ code: "unavailable" });
      faults.clear();
      const made = await lab.open().createInterface(request({ token: next }), soon());
      expect(lab.interfaceIds(), next).toEqual([...before, made.id]);
      expect(lab.ec2.account.interfaces.get(made.id)?.attachment?.deleteOnTermination).toBe(true);
      await lab.open().deleteInterface(made.id, soon());
    }
  });

  it("finds an earlier try by its ClientToken while lists do not show it yet", async () => {
    const { lab, faults, calls, network } = await start();
    const before = lab.interfaceIds();
    lab.ec2.account.hideYoungMs = 1_000;
    await expect
      .poll(() => network.describe(soon()).catch(() => undefined), { timeout: 5_000 })
      .toBeDefined();
    faults.fail("AttachNetworkInterface", "InternalError", 1, 500);
    await expect(network.createInterface(request(), soon())).rejects.toMatchObject({ code: "unavailable" });
    const made = await lab.open().createInterface(request(), soon());
    expect(lab.interfaceIds()).toEqual([...before, made.id]);
    expect(calls.count("CreateNetworkInterface")).toBe(2);
    // the time of the first try is a part of what EC2 compares: it says that there was one, and the lists show it soon
    expect(calls.all("CreateNetworkInterface")[1]?.outcome).toBe("IdempotentParameterMismatch");
  });

  it("attaches once a young id, or its tags, are known to the calls that name it", async () => {
    const { lab, calls, network } = await start();
    await network.describe(soon());
    lab.ec2.account.hideYoungMs = 700;
    await expect
      .poll(() => network.describe(soon()).catch(() => undefined), { timeout: 5_000 })
      .toBeDefined();
    await network.createInterface(request(), soon());
    const outcomes = calls.all("AttachNetworkInterface").map((call) => call.outcome);
    expect(outcomes.length).toBeGreaterThan(1);
    expect(outcomes.at(-1)).toBe("ok");
  });

  it("adopts an earlier try by its tag when the request to EC2 would differ now", async () => {
    const { lab, faults, network } = await start();
    const before = lab.interfaceIds();
    faults.fail("AttachNetworkInterface", "InternalError", 1, 500);
    await expect(network.createInterface(request(), soon())).rejects.toMatchObject({ code: "unavailable" });
    const { account } = lab.ec2;
    const primary = account.interfacesOf(lab.instance.id)[0];
    expect(primary).toBeDefined();
    if (primary !== undefined)
      primary.groups = [account.addSecurityGroup("new", "a new default of the primary")];
    const made = await lab.open().createInterface(request(), soon());
    expect(lab.interfaceIds()).toEqual([...before, made.id]);
  });

  it("takes the next device index when somebody else took the first", async () => {
    const { faults, calls, network } = await start();
    const message = "Instance 'i-1' already has an interface attached at device index '1'.";
    faults.add("AttachNetworkInterface", {
      kind: "fail",
      code: "InvalidParameterValue",
      message,
      status: 400,
    });
    const made = await network.createInterface(request(), soon());
    expect(made.deviceIndex).toBe(2);
    expect(calls.count("AttachNetworkInterface")).toBe(2);
  });

  it("knows the primary after an assignment that failed", async () => {
    const { lab, faults, network } = await start();
    const { interfaces } = await network.describe(soon());
    faults.fail("AssignPrivateIpAddresses", "InsufficientFreeAddressesInSubnet");
    const primary = interfaces.find(({ isPrimary }) => isPrimary);
    const one = { family: 4, prefixLength: 32, count: 1 } as const;
    const assigning = network.assignUnits(primary?.id as InterfaceId, [one], soon());
    await expect(assigning).rejects.toMatchObject({ code: "subnet-exhausted" });
    expect(await network.createInterface(request(), soon())).toMatchObject({ ownership: "ours" });
    expect(lab.interfaceIds()).toHaveLength(2);
  });

  it("attaches several at the same time, each at an index of its own, by one call each", async () => {
    const { calls, network } = await start();
    await network.describe(soon());
    const made = await Promise.all(
      ["a", "b"].map((token) => network.createInterface({ ...request(), token }, soon())),
    );
    expect(made.map(({ deviceIndex }) => deviceIndex).sort()).toEqual([1, 2]);
    expect(calls.count("AttachNetworkInterface")).toBe(2);
  });

  it("removes what could not be attached, and the same token works once there is room", async () => {
    const { lab, faults, network } = await start();
    const before = lab.interfaceIds();
    faults.fail("AttachNetworkInterface", "AttachmentLimitExceeded");
    await expect(network.createInterface(request(), soon())).rejects.toMatchObject({ code: "limit-reached" });
    expect(lab.interfaceIds()).toEqual(before);
    const made = await network.createInterface(request(), soon());
    expect(lab.interfaceIds()).toEqual([...before, made.id]);
  });

  it("mends an interface that would outlive its instance with the next write to it", async () => {
    const { lab, faults, network } = await start();
    faults.fail("ModifyNetworkInterfaceAttribute", "InternalError", 10, 500);
    await expect(network.createInterface(request(), soon())).rejects.toMatchObject({ code: "unavailable" });
    faults.clear();
    const restarted = lab.open();
    const made = (await restarted.describe(soon())).interfaces.find((one) => one.ownership === "ours");
    await restarted.assignUnits(made?.id ?? ("eni-none" as never), [ipv4(1)], soon());
    lab.ec2.terminateInstance(lab.instance);
    expect(lab.interfaceIds()).toEqual([]);
  });
});

describe("AwsNetwork.describe()", () => {
  it("shows a young interface of ours that EC2's lists do not show yet", async () => {
    const { lab, network } = await start();
    const made = await network.createInterface(request({ units: [ipv4(2)] }), soon());
    const account = lab.ec2.account;
    account.interfaces.delete(made.id);
    const seen = (await network.describe(soon())).interfaces.find((one) => one.id === made.id);
    expect(seen?.units).toHaveLength(2);
  });

  it("does not believe a list without the primary", async () => {
    const { lab, network } = await start();
    const { id } = await primaryOf(network);
    lab.ec2.account.interfaces.delete(id);
    await expect(network.describe(soon())).rejects.toMatchObject({ code: "unavailable" });
  });

  it.each(OPT_OUT_TAGS)("excludes a primary that is tagged %s whole", async (tag) => {
    const { lab, network } = await start({ launch: { interfaceTags: { [tag]: "true" } } });
    const primary = await primaryOf(network);
    expect(primary).toMatchObject({ ownership: "foreign", units: [] });
    await expect(network.assignUnits(primary.id, [ipv4(1)], soon())).rejects.toMatchObject({
      code: "not-ours",
    });
    expect(lab.ec2.calls.writes()).toEqual([]);
  });

  it.each(OPT_OUT_TAGS)("manages a primary whose tag %s says false", async (tag) => {
    const { network } = await start({ launch: { interfaceTags: { [tag]: "false" } } });
    expect(await primaryOf(network)).toMatchObject({ ownership: "shared" });
  });

  it("takes another cluster's interface as foreign", async () => {
    const { lab, network } = await start();
    const id = await lab.attachStranger({ [TAG.cluster]: "another", [TAG.instance]: lab.instance.id });
    const seen = (await network.describe(soon())).interfaces.find((one) => one.id === id);
    expect(seen).toMatchObject({ ownership: "foreign", units: [] });
  });

  it("takes an interface of ours that somebody moved to another instance as foreign", async () => {
    const { lab, network } = await start();
    const other = await lab.ec2.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    const tags = { [TAG.cluster]: CLUSTER, [TAG.instance]: lab.instance.id };
    const id = await lab.attachStranger(tags, other);
    await expect(network.deleteInterface(id, soon())).rejects.toMatchObject({ code: "not-ours" });
    await expect(network.assignUnits(id, [ipv4(1)], soon())).rejects.toMatchObject({ code: "not-ours" });
    expect(lab.ec2.calls.writes().map((call) => call.action)).not.toContain("DetachNetworkInterface");
  });

  it("gives the CIDRs in state associated only", async () => {
    const { lab, network } = await start();
    const { account } = lab.ec2;
    for (const { cidr } of account.vpc.ipv4.slice(1)) account.setVpcCidr(cidr, "disassociating");
    lab.clock.shift(6 * 60_000);
    const { networkCidrs } = await network.describe(soon());
    expect(networkCidrs.map(String)).toEqual(["10.0.0.0/16", "2001:db8::/56"]);
  });
});

describe("AwsNetwork.deleteInterface()", () => {
  it.each([
    ["detaches at most", "a moment ago", 0, false],
    ["does not touch", "more than a minute ago", 61_000, true],
  ])("%s what somebody took from us since EC2 showed it %s", async (_, __, agoMs, staysAttached) => {
    const { lab, network } = await start();
    const { id } = await network.createInterface(request(), soon());
    await network.describe(soon());
    lab.ec2.account.interfaces.get(id)?.tags.set(OPT_OUT_TAGS[0], "true");
    lab.clock.shift(agoMs);
    // once it is detached, a code that says that nothing was done would be wrong
    const code = staysAttached ? "not-ours" : "unavailable";
    await expect(network.deleteInterface(id, soon())).rejects.toMatchObject({ code });
    const left = lab.ec2.account.interfaces.get(id);
    expect([left === undefined, left?.attachment !== undefined]).toEqual([false, staysAttached]);
  });

  it("looks before it deletes what an earlier try has detached", async () => {
    const { faults, network, calls } = await start();
    const { id } = await network.createInterface(request(), soon());
    await network.describe(soon());
    faults.fail("DeleteNetworkInterface", "InternalError", 10, 500);
    await expect(network.deleteInterface(id, soon())).rejects.toMatchObject({ code: "unavailable" });
    faults.clear();
    calls.clear();
    await network.deleteInterface(id, soon());
    expect(calls.all().map(({ action }) => action)).toEqual([
      "DescribeNetworkInterfaces",
      "DeleteNetworkInterface",
    ]);
  });
});

describe("AwsNetwork on a primary with addresses of others", () => {
  it("records them before it first adds one, and never again", async () => {
    const { lab, calls, network } = await start({
      launch: { ipv4: { addressCount: 2 }, ipv6: { addressCount: 1 } },
    });
    const { id, foreignUnits } = await primaryOf(network);
    expect(foreignUnits).toHaveLength(3);
    await network.assignUnits(id, [ipv4(2)], soon());
    await lab.open().assignUnits(id, [ipv4(1)], soon());
    expect(calls.writes().map((call) => call.action)).toEqual([
      "CreateTags",
      "AssignPrivateIpAddresses",
      "AssignPrivateIpAddresses",
    ]);
    const primary = await primaryOf(lab.open());
    expect(primary.foreignUnits).toEqual(foreignUnits);
    expect(primary.units).toHaveLength(3);
  });

  it("looks again before it records them when it last looked more than a minute ago", async () => {
    const { lab, calls, network } = await start();
    const { id } = await primaryOf(network);
    assignIpv4(lab.ec2.account, id, { addressCount: 1 }, false);
    lab.clock.shift(61_000);
    calls.clear();
    await network.assignUnits(id, [ipv4(2)], soon());
    expect(calls.count("DescribeNetworkInterfaces")).toBe(2);
    const { foreignUnits, units } = await primaryOf(lab.open());
    expect([foreignUnits.length, units.length]).toEqual([1, 2]);
  });

  it("does not take its own units for others' when a list shows the primary without the record", async () => {
    const { lab, calls, network } = await start();
    const { id } = await primaryOf(network);
    await network.assignUnits(id, [ipv4(2)], soon());
    lab.ec2.account.interfaces.get(id)?.tags.clear();
    expect((await primaryOf(network)).units).toHaveLength(2);
    await network.assignUnits(id, [ipv4(1)], soon());
    expect(calls.count("CreateTags")).toBe(1);
  });

  it("adds nothing when they cannot be recorded", async () => {
    const { lab, faults, calls, network } = await start({ launch: { ipv4: { addressCount: 1 } } });
    faults.fail("CreateTags", "InternalError", 10, 500);
    const { id } = await primaryOf(network);
    await expect(network.assignUnits(id, [ipv4(1)], soon())).rejects.toMatchObject({ code: "unavailable" });
    expect(calls.count("AssignPrivateIpAddresses")).toBe(0);
    faults.clear();
    await lab.open().assignUnits(id, [ipv4(1)], soon());
    expect((await primaryOf(network)).foreignUnits).toHaveLength(1);
  });
});

describe("AwsNetwork.capabilities()", () => {
  it("tells cards apart, and says which carry no pods", async () => {
    const { lab, network } = await start({ launch: { type: "p6-b300.48xlarge" } });
    const capabilities = await network.capabilities(soon());
    expect(capabilities.cards).toEqual([{ index: 0, interfacesMax: 15 }]);
    expect(capabilities.skippedCards).toHaveLength(16);
    expect(capabilities.skippedCards[0]).toMatchObject({
      index: 1,
      reason: expect.stringContaining("efa-only"),
    });
    expect(lab.lines.filter((line) => line.msg === "network card carries no pods")).toHaveLength(16);
  });

  it("puts an interface on the card that was asked for", async () => {
    const { lab, network } = await start({ launch: { type: "c6in.32xlarge" } });
    const made = await network.createInterface(request({ cardIndex: 1 }), soon());
    expect(lab.ec2.account.interfaces.get(made.id)?.attachment).toMatchObject({
      cardIndex: 1,
      deviceIndex: 1,
    });
  });
});
