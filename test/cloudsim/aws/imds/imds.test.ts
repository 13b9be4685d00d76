import { DescribeSubnetsCommand } from "@aws-sdk/client-ec2";
import { fromInstanceMetadata } from "@aws-sdk/credential-providers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ec2 } from "../ec2.ts";
import { assignIpv4 } from "../model/assign.ts";
import { attachInterface } from "../model/attach.ts";
import { createInterface } from "../model/create-interface.ts";
import { primaryOf } from "../model/launch.ts";
import type { Instance } from "../model/resources.ts";
import { ManualTimers } from "../model/timers.ts";
import { codeOf, newClient, SUBNET_A, startTestEc2 } from "../testing.ts";

let cloud: Ec2;
let timers: ManualTimers;
let node: Instance;
let endpoint: string;

beforeEach(async () => {
  timers = new ManualTimers();
  cloud = await startTestEc2({ timers, attachMs: 500 });
  node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large", primaryIpv4: "10.0.0.10" });
  endpoint = cloud.imdsEndpoint(node);
});

afterEach(() => cloud.close());

async function newToken(ttl = "60"): Promise<string> {
  const headers = { "x-aws-ec2-metadata-token-ttl-seconds": ttl };
  const response = await fetch(`${endpoint}/latest/api/token`, { method: "PUT", headers });
  return response.status === 200 ? response.text() : String(response.status);
}

async function get(path: string, token?: string): Promise<string> {
  const headers = { "x-aws-ec2-metadata-token": token ?? (await newToken()) };
  const response = await fetch(`${endpoint}/latest/${path}`, { headers });
  const body = await response.text();
  return response.status === 200 ? body : String(response.status);
}

const MACS = "meta-data/network/interfaces/macs/";

describe("IMDS tokens", () => {
  it("are needed for every read and die after their time", async () => {
    expect(await get("meta-data/mac", "nobody's")).toBe("401");
    expect((await fetch(`${endpoint}/latest/meta-data/mac`)).status).toBe(401);
    const token = await newToken("10");
    timers.advance(9_999);
    expect(await get("meta-data/instance-id", token)).toBe(node.id);
    timers.advance(1);
    expect(await get("meta-data/instance-id", token)).toBe("401");
  });

  it("want a time from 1 second to 6 hours, and no proxy in between", async () => {
    expect(await newToken("0")).toBe("400");
    expect(await newToken("21601")).toBe("400");
    const headers = { "x-aws-ec2-metadata-token-ttl-seconds": "60", "x-forwarded-for": "192.0.2.1" };
    expect((await fetch(`${endpoint}/latest/api/token`, { method: "PUT", headers })).status).toBe(403);
  });
});

describe("IMDS metadata", () => {
  it("tells who the instance is", async () => {
    const { mac } = primaryOf(cloud.account, node);
    expect(await get("meta-data/instance-id")).toBe(node.id);
    expect(await get("meta-data/instance-type")).toBe("m5.large");
    expect(await get("meta-data/placement/availability-zone")).toBe("eu-west-1a");
    expect(await get("meta-data/placement/region")).toBe("eu-west-1");
    expect(await get("meta-data/mac")).toBe(mac);
    expect(JSON.parse(await get("dynamic/instance-identity/document"))).toMatchObject({
      instanceId: node.id,
    });
    expect(await get("meta-data/nothing")).toBe("404");
  });

  it("has a folder for each interface whose link is there, empty lists left out", async () => {
    const { mac, id, ipv6 } = primaryOf(cloud.account, node);
    const second = createInterface(cloud.account, { subnetId: SUBNET_A, ipv4: { prefixCount: 1 } });
    attachInterface(cloud.account, {
      interfaceId: second.id,
      instanceId: node.id,
      deviceIndex: 1,
      cardIndex: 0,
    });
    expect(await get(MACS)).toBe(`${mac}/`);
    timers.advance(500);
    expect(await get(MACS)).toBe(`${mac}/\n${second.mac}/`);
    const of = (key: string) => get(`${MACS}${mac}/${key}`);
    expect(await of("interface-id")).toBe(id);
    expect(await of("device-number")).toBe("0");
    expect(await of("subnet-id")).toBe(SUBNET_A);
    expect(await of("subnet-ipv4-cidr-block")).toBe("10.0.0.0/24");
    expect(await of("subnet-ipv6-cidr-blocks")).toBe("2001:db8:0:a::/64");
    expect(await of("vpc-ipv4-cidr-blocks")).toBe("10.0.0.0/16\n100.64.0.0/16");
    expect(await of("local-ipv4s")).toBe("10.0.0.10");
    expect(await of("ipv6s")).toBe(String(ipv6[0]));
    expect(await of("ipv4-prefix")).toBe("404");
    expect(await get(`${MACS}${second.mac}/ipv4-prefix`)).toBe(String(second.ipv4Prefixes[0]));
    expect((await of("")).split("\n")).toContain("local-ipv4s");
  });

  it("hands the role's keys to the official provider, and EC2 takes them", async () => {
    const real = await startTestEc2();
    const instance = await real.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = real.imdsEndpoint(instance);
    try {
      const provider = fromInstanceMetadata({ ec2MetadataV1Disabled: true, maxRetries: 0 });
      const client = newClient(real, await provider());
      expect(await codeOf(client.send(new DescribeSubnetsCommand({})))).toBe("ok");
    } finally {
      delete process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT;
      await real.close();
    }
  });
});

describe("IMDS faults", () => {
  it("show changes later by the lag", async () => {
    const { id, mac } = primaryOf(cloud.account, node);
    cloud.imds(node).faults.lagMs = 2000;
    timers.advance(5000);
    assignIpv4(cloud.account, id, { addresses: ["10.0.0.11"] }, false);
    timers.advance(1999);
    expect(await get(`${MACS}${mac}/local-ipv4s`)).toBe("10.0.0.10");
    timers.advance(1);
    expect(await get(`${MACS}${mac}/local-ipv4s`)).toBe("10.0.0.10\n10.0.0.11");
  });

  it("hide one key, answer HTML with 200, throttle, add a newline, forget tokens", async () => {
    const { faults } = cloud.imds(node);
    faults.hide(/subnet-ipv4-cidr-block$/, 1);
    const { mac } = primaryOf(cloud.account, node);
    expect(await get(`${MACS}${mac}/subnet-ipv4-cidr-block`)).toBe("404");
    expect(await get(`${MACS}${mac}/subnet-ipv4-cidr-block`)).toBe("10.0.0.0/24");
    faults.html(/instance-type$/);
    expect(await get("meta-data/instance-type")).toMatch(/^<html>/);
    faults.throttle(/instance-type$/);
    expect(await get("meta-data/instance-type")).toBe("429");
    faults.append(/instance-type$/, "\n", 1);
    expect(await get("meta-data/instance-type")).toBe("m5.large\n");
    const token = await newToken();
    cloud.imds(node).expireTokens();
    expect(await get("meta-data/instance-type", token)).toBe("401");
  });

  it("hang on the token alone", async () => {
    cloud.imds(node).faults.hang(/^api\/token$/);
    const call = fetch(`${endpoint}/latest/api/token`, { method: "PUT", signal: AbortSignal.timeout(50) });
    expect(await codeOf(call)).toBe("TimeoutError");
    expect(await newToken()).not.toBe("");
  });
});
