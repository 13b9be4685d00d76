/** What the adapter does when EC2, or the way to it, goes wrong. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  CreateNetworkInterfaceCommand,
  CreateTagsCommand,
  DeleteNetworkInterfaceCommand,
  DetachNetworkInterfaceCommand,
  EC2Client,
} from "@aws-sdk/client-ec2";
import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL } from "../../common/ids.ts";
import type { PolicyDocument } from "../../test/cloudsim/aws/iam.ts";
import { createInterface } from "../../test/cloudsim/aws/model/create-interface.ts";
import { codeOf, SMALL_SUBNET, SUBNET_A } from "../../test/cloudsim/aws/testing.ts";
import { AwsLab, CLUSTER } from "../../test/conformance/aws.ts";
import { CloudError } from "../errors.ts";
import type { CloudNetwork } from "../provider.ts";
import { LEAK_AFTER_MS } from "./leaks.ts";
import { TAG } from "./ownership.ts";

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
const unit = (family: 4 | 6) => ({ family, prefixLength: family === 4 ? 32 : 128, count: 1 }) as const;
const request = {
  poolKey: DEFAULT_POOL,
  subnets: { by: "ids", ids: [SUBNET_A] } as const,
  avoid: [],
  securityGroupIds: [],
  cardIndex: 0,
  units: [],
  token: "one",
};
const POLICY = JSON.parse(
  readFileSync(new URL("../../deploy/aws/iam-policy.json", import.meta.url), "utf8"),
) as PolicyDocument;
const ACTIONS = [...new Set(POLICY.Statement.flatMap((statement) => statement.Action))];

/** Of a type that is in no table of ours, beside a node that left something and is gone. */
async function startWithPast(changes: Parameters<typeof AwsLab.start>[0] = {}) {
  const { lab, faults, network } = await start({ ...changes, launch: { type: "c6in.32xlarge" } });
  const other = await lab.ec2.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
  const tags = { [TAG.cluster]: CLUSTER, [TAG.instance]: other.id };
  createInterface(lab.ec2.account, { subnetId: SMALL_SUBNET, tags: new Map(Object.entries(tags)) });
  lab.ec2.terminateInstance(other);
  return { lab, faults, network };
}

/** Everything the daemon ever does. */
async function wholeLife(lab: AwsLab, network: CloudNetwork): Promise<void> {
  await network.capabilities(soon());
  const { interfaces } = await network.describe(soon());
  const primary = interfaces.find((one) => one.isPrimary)?.id ?? ("none" as never);
  const made = await network.createInterface(request, soon());
  for (const family of [4, 6] as const) {
    const units = await network.assignUnits(primary, [unit(family)], soon());
    await network.releaseUnits(primary, units, soon());
  }
  await network.deleteInterface(made.id, soon());
  await network.removeLeaks(soon());
  lab.clock.shift(LEAK_AFTER_MS);
  expect(await network.removeLeaks(soon()), JSON.stringify(lab.lines)).toHaveLength(1);
  await network.describe(soon());
  const elsewhere = { ...request, subnets: { by: "node" }, avoid: [SUBNET_A], token: "two" } as const;
  await network.createInterface(elsewhere, soon());
}

describe("deploy/aws/iam-policy.json", () => {
  it("is enough for everything that the daemon does", async () => {
    const { lab, network } = await startWithPast();
    await expect(wholeLife(lab, network)).resolves.toBeUndefined();
  });

  it.each(ACTIONS)(
    "holds nothing that is not needed: without %s a call fails and names it",
    async (action) => {
      const Statement = POLICY.Statement.map((statement) => ({
        ...statement,
        Action: [statement.Action].flat().filter((one) => one !== action),
      }));
      const { lab, network } = await startWithPast({ ec2: { policy: { ...POLICY, Statement } } });
      const failure = await wholeLife(lab, network).then(
        () => undefined,
        (error: unknown) => error,
      );
      // what is optional warns and goes on: the metadata tells the subnet, leaks and siblings stay unused
      const said = failure instanceof Error ? failure.message : JSON.stringify(lab.lines);
      expect(`${said} ${JSON.stringify(lab.lines)}`).toContain(`IAM action ${action}`);
      if (failure instanceof CloudError && failure.code === "unauthorized") {
        expect(failure).toMatchObject({ permission: action, retry: "later", step: "no-permission" });
      }
    },
  );

  it("forbids what is not ours: deleting, detaching, creating untagged, other tags", async () => {
    const { lab } = await start();
    const stranger = await lab.attachStranger();
    const { endpoint, region } = lab.ec2;
    const credentials = lab.ec2.credentialsOf(lab.instance);
    const client = new EC2Client({ endpoint, region, credentials, maxAttempts: 1 });
    const AttachmentId = lab.ec2.account.interfaces.get(stranger)?.attachment?.id;
    const Tags = [{ Key: "causeway.dev/cluster", Value: "test" }];
    expect([
      await codeOf(client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: stranger }))),
      await codeOf(client.send(new DetachNetworkInterfaceCommand({ AttachmentId }))),
      await codeOf(client.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A }))),
      await codeOf(client.send(new CreateTagsCommand({ Resources: [stranger], Tags }))),
    ]).toEqual(Array(4).fill("UnauthorizedOperation"));
    client.destroy();
  });
});

describe("AwsNetwork, when EC2 throttles", () => {
  it("repeats what may be repeated", async () => {
    const { lab, faults, calls, network } = await start();
    lab.clock.shift(6 * 60_000);
    faults.throttle("DescribeVpcs", 2);
    await expect(network.describe(soon())).resolves.toBeDefined();
    expect(calls.count("DescribeVpcs")).toBe(3);
  });

  it("never repeats an assignment by itself", async () => {
    const { faults, calls, network } = await start();
    const primary = (await network.describe(soon())).interfaces[0]?.id ?? ("none" as never);
    for (const [family, action] of [
      [4, "AssignPrivateIpAddresses"],
      [6, "AssignIpv6Addresses"],
    ] as const) {
      faults.throttle(action);
      await expect(network.assignUnits(primary, [unit(family)], soon())).rejects.toMatchObject({
        code: "throttled",
      });
      expect(calls.count(action)).toBe(1);
      faults.loseReply(action);
      await expect(network.assignUnits(primary, [unit(family)], soon())).rejects.toMatchObject({
        code: "unavailable",
      });
      expect(calls.count(action)).toBe(2);
    }
    expect((await network.describe(soon())).interfaces[0]?.units).toHaveLength(2);
  });
});

describe("AwsNetwork, when EC2 does not answer", () => {
  it("ends a call by its own deadline, retries included", async () => {
    const { lab, faults } = await start();
    const network = lab.open({ timeouts: { connectMs: 200, replyMs: 300, callMs: 900 } });
    await network.identify(soon());
    faults.hang("DescribeNetworkInterfaces", 100);
    const begun = performance.now();
    await expect(network.describe(soon())).rejects.toMatchObject({ code: "unavailable" });
    const tookMs = performance.now() - begun;
    expect(tookMs).toBeGreaterThan(250);
    expect(tookMs).toBeLessThan(5_000);
  });

  it("ends a call whose reply begins and then stalls", async () => {
    const { lab } = await start();
    const server = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/xml", "content-length": "1000" }).write("<Describe");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const timeouts = { connectMs: 200, replyMs: 300, callMs: 20_000 };
    const network = lab.open({ endpoint: `http://127.0.0.1:${port}`, timeouts });
    const begun = performance.now();
    await expect(network.describe(soon())).rejects.toMatchObject({ code: "unavailable" });
    expect(performance.now() - begun).toBeLessThan(12_000);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it("ends a call at once when its caller gives up", async () => {
    const { faults, calls, network } = await start();
    faults.hang("DescribeNetworkInterfaces", 100);
    const caller = new AbortController();
    const call = network.describe(caller.signal).catch((error: Error) => error);
    await expect.poll(() => calls.count(), { timeout: 5_000, interval: 5 }).toBeGreaterThan(0);
    caller.abort(new Error("stopping"));
    expect(await call).toMatchObject({ code: "unavailable" });
  });

  it.each([200, 502])("takes an HTML page with status %d as no answer", async (status) => {
    const { faults, network } = await start();
    await network.identify(soon());
    faults.garbage("DescribeNetworkInterfaces", status, 100);
    await expect(network.describe(soon())).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("AwsNetwork, when one optional call fails", () => {
  it.each([
    ["DescribeSubnets", "UnauthorizedOperation"],
    ["DescribeSubnets", "InvalidSubnetID.NotFound"],
    ["DescribeInstanceTypes", "UnauthorizedOperation"],
    ["DescribeVpcs", "InternalError"],
    ["CreateTags", "UnauthorizedOperation"],
    ["ModifyNetworkInterfaceAttribute", "UnauthorizedOperation"],
  ])("keeps own addresses out of the units: %s %s (aws-34)", async (action, code) => {
    const { lab, faults, network } = await start({ launch: { ipv4: { addressCount: 1 } } });
    const before = await network.describe(soon());
    lab.clock.shift(6 * 60_000);
    const own = before.interfaces.flatMap((one) => one.own.map(String));
    faults.fail(action, code, 1_000);
    await network.createInterface(request, soon()).catch(() => undefined);
    const primary = before.interfaces.find((one) => one.isPrimary)?.id ?? ("none" as never);
    await network.assignUnits(primary, [unit(4)], soon()).catch(() => undefined);
    const { interfaces, networkCidrs } = await network.describe(soon());
    expect(networkCidrs).toEqual(before.networkCidrs);
    for (const one of interfaces) {
      own.push(...one.own.map(String));
      expect(one.gateways[4]?.toString()).toBe("10.0.0.1");
    }
    const units = interfaces.flatMap((one) => one.units.map((cidr) => cidr.address.toString()));
    expect(units.filter((address) => own.includes(address))).toEqual([]);
    expect(interfaces.find((one) => one.isPrimary)?.ownership).toBe("shared");
  });

  it("takes the subnet's ranges from the metadata when EC2 never showed it", async () => {
    const { lab, faults, network } = await start();
    faults.fail("DescribeSubnets", "UnauthorizedOperation", 1_000);
    lab.clock.shift(6 * 60_000);
    const [primary] = (await network.describe(soon())).interfaces;
    expect(Object.values(primary?.gateways ?? {}).map(String)).toEqual(["10.0.0.1", "fe80:ec2::1"]);
  });

  it("does not guess the network's CIDRs when they were never told", async () => {
    const { lab, faults, network } = await start();
    faults.fail("DescribeVpcs", "UnauthorizedOperation", 1_000);
    lab.ec2.imds(lab.instance).faults.hide(/vpc-ipv4-cidr-blocks$/);
    await expect(network.describe(soon())).rejects.toMatchObject({ code: "unauthorized" });
  });
});

describe("AwsNetwork.deleteInterface(), when EC2 stops after the detachment", () => {
  it.each(["UnauthorizedOperation", "InvalidParameterValue"])(
    "says that it is detached on %s, and the next creation removes it",
    async (code) => {
      const { lab, faults, network } = await start();
      const before = lab.interfaceIds();
      const made = await network.createInterface(request, soon());
      faults.fail("DeleteNetworkInterface", code, 10);
      await expect(network.deleteInterface(made.id, soon())).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("detached already"),
      });
      faults.clear();
      const next = await network.createInterface({ ...request, token: "two" }, soon());
      expect(lab.interfaceIds()).toEqual([...before, next.id]);
    },
  );
});

describe("AwsNetwork, when the metadata is stale or wrong", () => {
  it("shows what EC2 has, whatever the metadata lists (aws-57, aws-58, aws-59)", async () => {
    const { lab, network } = await start();
    const primary = (await network.describe(soon())).interfaces[0]?.id ?? ("none" as never);
    const units = await network.assignUnits(primary, [{ ...unit(4), count: 3 }], soon());
    const made = await network.createInterface({ ...request, units: [unit(4)] }, soon());
    lab.ec2.imds(lab.instance).faults.lagMs = 600_000;
    await network.releaseUnits(primary, units.slice(0, 1), soon());
    await network.deleteInterface(made.id, soon());
    const restarted = await lab.open().describe(soon());
    expect(restarted.interfaces.map((one) => one.id)).toEqual([primary]);
    expect(restarted.interfaces[0]?.units.map(String)).toEqual(units.slice(1).map(String));
  });

  it("takes what went away behind its back as released and deleted", async () => {
    const { lab, network } = await start();
    const made = await network.createInterface({ ...request, units: [unit(4)] }, soon());
    lab.ec2.account.interfaces.delete(made.id);
    const restarted = lab.open();
    await restarted.releaseUnits(made.id, made.units, soon());
    await restarted.deleteInterface(made.id, soon());
    expect((await restarted.describe(soon())).interfaces).toHaveLength(1);
  });
});
