import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId } from "../../common/ids.ts";
import { createInterface } from "../../test/cloudsim/aws/model/create-interface.ts";
import { SUBNET_A } from "../../test/cloudsim/aws/testing.ts";
import { AwsLab, CLUSTER } from "../../test/conformance/aws.ts";
import { LEAK_AFTER_MS } from "./leaks.ts";
import { OPT_OUT_TAGS, TAG } from "./ownership.ts";
import type { AwsNetwork } from "./provider.ts";

const labs: AwsLab[] = [];
afterEach(async () => {
  await Promise.all(labs.splice(0).map((lab) => lab.close()));
});

const soon = () => AbortSignal.timeout(20_000);

async function start() {
  const lab = await AwsLab.start();
  labs.push(lab);
  /** A loose interface, of this node unless the tags say otherwise. */
  const leave = (tags: Readonly<Record<string, string>> = {}) => {
    const all = { [TAG.cluster]: CLUSTER, [TAG.instance]: lab.instance.id, ...tags };
    return createInterface(lab.ec2.account, { subnetId: SUBNET_A, tags: new Map(Object.entries(all)) }).id;
  };
  return { lab, network: lab.open(), leave, calls: lab.ec2.calls };
}

/** Two sweeps, as far apart as it takes; gives what the second one removed. */
async function sweepTwice(lab: AwsLab, network: AwsNetwork): Promise<readonly InterfaceId[]> {
  expect(await network.removeLeaks(soon())).toEqual([]);
  lab.clock.shift(LEAK_AFTER_MS);
  return network.removeLeaks(soon());
}

describe("AwsNetwork.removeLeaks()", () => {
  it("begins anew with one that was attached in between", async () => {
    const { lab, network, leave } = await start();
    const id = leave();
    await network.removeLeaks(soon());
    const attached = lab.ec2.account.interfaces.get(id);
    expect(attached).toBeDefined();
    if (attached === undefined) return;
    lab.clock.shift(LEAK_AFTER_MS);
    lab.ec2.account.interfaces.delete(id);
    expect(await network.removeLeaks(soon())).toEqual([]);
    lab.ec2.account.interfaces.set(id, attached);
    expect(await sweepTwice(lab, network)).toEqual([id]);
  });

  it.each(OPT_OUT_TAGS)("leaves one that is tagged %s", async (tag) => {
    const { lab, network, leave } = await start();
    leave({ [tag]: "true" });
    expect(await sweepTwice(lab, network)).toEqual([]);
    expect(lab.ec2.calls.writes()).toEqual([]);
  });

  it("leaves another cluster's, and one without an instance's name", async () => {
    const { lab, network, leave } = await start();
    leave({ [TAG.cluster]: "another" });
    const tags = new Map([[TAG.cluster, CLUSTER]]);
    createInterface(lab.ec2.account, { subnetId: SUBNET_A, tags });
    expect(await sweepTwice(lab, network)).toEqual([]);
    expect(lab.ec2.calls.writes()).toEqual([]);
  });

  it("leaves one that says it is younger than ten minutes, whatever was seen", async () => {
    const { lab, network, leave } = await start();
    const ahead = new Date(lab.clock.wallTime().getTime() + 300_000).toISOString();
    const id = leave({ [TAG.createdAt]: ahead });
    expect(await sweepTwice(lab, network)).toEqual([]);
    lab.clock.shift(300_000);
    expect(await network.removeLeaks(soon())).toEqual([id]);
  });

  it("removes those of instances that EC2 does not know, not those of one that is stopping", async () => {
    const { lab, network, leave } = await start();
    const other = await lab.ec2.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    leave({ [TAG.instance]: other.id });
    const unknown = leave({ [TAG.instance]: "i-0123456789abcdef0" });
    expect(await sweepTwice(lab, network)).toEqual([unknown]);
  });

  it("leaves other nodes' while instances cannot be looked at, removes its own, and says why", async () => {
    const { lab, network, leave } = await start();
    leave({ [TAG.instance]: "i-0123456789abcdef0" });
    const own = leave();
    lab.ec2.faults.fail("DescribeInstances", "UnauthorizedOperation", 10, 403);
    expect(await sweepTwice(lab, network)).toEqual([own]);
    expect(JSON.stringify(lab.lines)).toContain("ec2:DescribeInstances");
  });

  it("asks about no instance while nothing of others is due", async () => {
    const { lab, network, leave, calls } = await start();
    leave();
    await sweepTwice(lab, network);
    expect(calls.count("DescribeInstances")).toBe(0);
  });

  it("tries again what could not be deleted", async () => {
    const { lab, network, leave } = await start();
    const id = leave();
    lab.ec2.faults.fail("DeleteNetworkInterface", "InternalError", 10, 500);
    expect(await sweepTwice(lab, network)).toEqual([]);
    lab.ec2.faults.clear();
    expect(await network.removeLeaks(soon())).toEqual([id]);
  });

  it("does not touch what is being attached", async () => {
    const { lab, network } = await start();
    await network.describe(soon());
    lab.ec2.faults.hang("AttachNetworkInterface", 10);
    const stop = new AbortController();
    const request = {
      poolKey: DEFAULT_POOL,
      subnets: { by: "node" },
      avoid: [],
      securityGroupIds: [],
    } as const;
    const making = network
      .createInterface({ ...request, cardIndex: 0, units: [], token: "slow" }, stop.signal)
      .catch(() => undefined);
    await expect.poll(() => lab.ec2.calls.count("AttachNetworkInterface"), { timeout: 5_000 }).toBe(1);
    expect(await sweepTwice(lab, network)).toEqual([]);
    stop.abort(new Error("enough"));
    await making;
    expect(lab.ec2.calls.count("DeleteNetworkInterface")).toBe(0);
  });

  it("removes what it left itself once nobody works on it any more", async () => {
    const { lab, network } = await start();
    const before = lab.interfaceIds();
    lab.ec2.faults.fail("AttachNetworkInterface", "InternalError", 10, 500);
    const request = {
      poolKey: DEFAULT_POOL,
      subnets: { by: "node" },
      avoid: [],
      securityGroupIds: [],
    } as const;
    const call = network.createInterface({ ...request, cardIndex: 0, units: [], token: "lost" }, soon());
    await expect(call).rejects.toMatchObject({ code: "unavailable" });
    expect(await sweepTwice(lab, network)).toHaveLength(1);
    expect(lab.interfaceIds()).toEqual(before);
  });
});
