import {
  AssignPrivateIpAddressesCommand,
  CreateNetworkInterfaceCommand,
  CreateTagsCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSubnetsCommand,
  type EC2Client,
} from "@aws-sdk/client-ec2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ec2 } from "./ec2.ts";
import { primaryOf } from "./model/launch.ts";
import { ManualTimers } from "./model/timers.ts";
import { bucketOf, EC2_RATE_LIMITS } from "./rate-limits.ts";
import { codeOf, newClient, SUBNET_A, SUBNET_B, startTestEc2 } from "./testing.ts";

let timers: ManualTimers;
let cloud: Ec2;
let client: EC2Client;

beforeEach(async () => {
  timers = new ManualTimers();
  cloud = await startTestEc2({ timers, rateLimits: EC2_RATE_LIMITS });
  client = newClient(cloud);
});

afterEach(async () => {
  client.destroy();
  await cloud.close();
});

/** How many of these calls, one after the other, are let through before the first that is throttled. */
async function untilThrottled(call: () => Promise<unknown>): Promise<number> {
  for (let count = 0; count < 300; count += 1) {
    const code = await codeOf(call());
    if (code === "RequestLimitExceeded") return count;
    expect(code).toBe("ok");
  }
  throw new Error("never throttled");
}

const subnets = () => client.send(new DescribeSubnetsCommand({}));

describe("The account's rate limits", () => {
  it("let the published number of describes through, and one a twentieth of a second afterwards", async () => {
    expect(await untilThrottled(subnets)).toBe(100);
    timers.advance(50);
    expect(await untilThrottled(subnets)).toBe(1);
    timers.advance(60_000);
    expect(await untilThrottled(subnets)).toBe(100);
  });

  it("are a smaller bucket for interfaces asked for without filter and page, beside the large one", async () => {
    const all = () => client.send(new DescribeNetworkInterfacesCommand({}));
    const paged = () => client.send(new DescribeNetworkInterfacesCommand({ MaxResults: 5 }));
    const Filters = [{ Name: "status", Values: ["available"] }];
    const filtered = () => client.send(new DescribeNetworkInterfacesCommand({ Filters }));
    expect(await untilThrottled(all)).toBe(50);
    expect([await codeOf(paged()), await codeOf(filtered())]).toEqual(["ok", "ok"]);
    expect(await untilThrottled(paged)).toBe(98);
  });

  it("hold for all instances and keys together, one API apart from the others", async () => {
    const node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.4xlarge" });
    const other = await cloud.addInstance({ subnetId: SUBNET_B, type: "m5.4xlarge" });
    const clients = [node, other].map((instance) => newClient(cloud, cloud.credentialsOf(instance)));
    let turn = 0;
    const create = () => {
      turn += 1;
      return clients[turn % 2]?.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A })) ?? subnets();
    };
    expect(await untilThrottled(create)).toBe(100);
    for (const one of clients) {
      expect(await codeOf(one.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A })))).toBe(
        "RequestLimitExceeded",
      );
      one.destroy();
    }
    const { id: NetworkInterfaceId } = primaryOf(cloud.account, node);
    const assign = { NetworkInterfaceId, SecondaryPrivateIpAddressCount: 1 };
    expect(await codeOf(client.send(new AssignPrivateIpAddressesCommand(assign)))).toBe("ok");
  });

  it("refuse before anything is done", async () => {
    const node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    const { id, tags } = primaryOf(cloud.account, node);
    let count = 0;
    const tag = () => {
      count += 1;
      return client.send(
        new CreateTagsCommand({ Resources: [id], Tags: [{ Key: "n", Value: String(count) }] }),
      );
    };
    expect(await untilThrottled(tag)).toBe(100);
    expect(tags.get("n")).toBe("100");
  });
});

describe("bucketOf()", () => {
  it.each([
    ["CreateNetworkInterface", 100, 5],
    ["AssignPrivateIpAddresses", 100, 5],
    ["UnassignPrivateIpAddresses", 100, 5],
    ["AssignIpv6Addresses", 100, 5],
    ["UnassignIpv6Addresses", 50, 5],
    ["AttachNetworkInterface", 50, 5],
    ["DetachNetworkInterface", 50, 5],
    ["DeleteNetworkInterface", 100, 5],
    ["ModifyNetworkInterfaceAttribute", 100, 5],
    ["CreateTags", 100, 10],
    ["DescribeInstances", 50, 10],
    ["DescribeRouteTables", 100, 20],
    ["GetSubnetCidrReservations", 100, 20],
  ])("gives %s a bucket of %i and %i a second", (action, size, perSecond) => {
    expect(bucketOf(EC2_RATE_LIMITS, action).bucket).toEqual({ size, perSecond });
  });

  it("gives describes with ids alone the small bucket, and filtered ones the large", () => {
    const byId = new Map([["NetworkInterfaceId.1", "eni-1"]]);
    const filtered = new Map([["Filter.1.Name", "vpc-id"]]);
    const name = (params: ReadonlyMap<string, string>) =>
      bucketOf(EC2_RATE_LIMITS, "DescribeNetworkInterfaces", params).name;
    expect(name(byId)).toBe("DescribeNetworkInterfaces unfiltered");
    expect(name(filtered)).toBe("DescribeNetworkInterfaces");
  });
});
