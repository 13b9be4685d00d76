import {
  CreateNetworkInterfaceCommand,
  CreateTagsCommand,
  DeleteNetworkInterfaceCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSubnetsCommand,
} from "@aws-sdk/client-ec2";
import { afterEach, describe, expect, it } from "vitest";
import type { Credentials } from "./credentials.ts";
import type { Ec2, Ec2Options } from "./ec2.ts";
import { checkPolicy, type PolicyDocument, type PolicyStatement } from "./iam.ts";
import { ManualTimers } from "./model/timers.ts";
import { codeOf, newClient, present, SUBNET_A, startTestEc2 } from "./testing.ts";

const clouds: Ec2[] = [];

afterEach(async () => {
  await Promise.all(clouds.splice(0).map((cloud) => cloud.close()));
});

async function start(options: Partial<Ec2Options> = {}): Promise<Ec2> {
  const cloud = await startTestEc2(options);
  clouds.push(cloud);
  return cloud;
}

const describeCode = (cloud: Ec2, credentials: Credentials, options = {}) =>
  codeOf(newClient(cloud, credentials, options).send(new DescribeSubnetsCommand({})));

describe("A signature", () => {
  it("of the administrator and of an instance's role passes", async () => {
    const cloud = await start();
    const node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    expect(await describeCode(cloud, cloud.administrator)).toBe("ok");
    expect(await describeCode(cloud, cloud.credentialsOf(node))).toBe("ok");
  });

  it.each([
    { what: "by an unknown key", change: { accessKeyId: "AKIAUNKNOWN" }, code: "AuthFailure" },
    { what: "by a wrong secret", change: { secretAccessKey: "wrong" }, code: "SignatureDoesNotMatch" },
    { what: "with a session token of another", change: { sessionToken: "wrong" }, code: "AuthFailure" },
  ])("$what is $code", async ({ change, code }) => {
    const cloud = await start();
    const node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    expect(await describeCode(cloud, { ...cloud.credentialsOf(node), ...change })).toBe(code);
  });

  it("by a clock ten minutes off is RequestExpired, which the SDK mends for its next call", async () => {
    const cloud = await start();
    const client = newClient(cloud, cloud.administrator, { systemClockOffset: -10 * 60_000 });
    const call = () => codeOf(client.send(new DescribeSubnetsCommand({})));
    expect([await call(), await call()]).toEqual(["RequestExpired", "ok"]);
  });

  it("by temporary keys past their end is RequestExpired", async () => {
    const timers = new ManualTimers();
    const cloud = await start({ timers });
    const node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    const credentials = cloud.credentialsOf(node);
    timers.advance(6 * 3_600_000);
    expect(await describeCode(cloud, credentials)).toBe("RequestExpired");
  });

  it("is needed, and covers the body", async () => {
    const cloud = await start();
    const body = "Action=DescribeSubnets&Version=2016-11-15";
    const response = await fetch(cloud.endpoint, { method: "POST", body });
    expect(response.status).toBe(403);
    expect(await response.text()).toContain("<Code>MissingAuthenticationToken</Code>");
    const client = newClient(cloud);
    client.middlewareStack.add(
      (next) => (args) => {
        const request = args.request as { body: string };
        request.body = request.body.replace("DescribeSubnets", "DescribeSubnetz");
        return next(args);
      },
      { step: "deserialize" },
    );
    expect(await codeOf(client.send(new DescribeSubnetsCommand({})))).toBe("SignatureDoesNotMatch");
  });
});

const policy = (...Statement: PolicyStatement[]): PolicyDocument => ({ Version: "2012-10-17", Statement });

const OWN_TAG = { Key: "causeway/node", Value: "yes" };
const LEAST = policy(
  { Effect: "Allow", Action: ["ec2:DescribeSubnets", "ec2:DescribeNetwork*"], Resource: "*" },
  {
    Effect: "Allow",
    Action: "ec2:CreateNetworkInterface",
    Resource: "arn:aws:ec2:*:*:network-interface/*",
    Condition: { StringEquals: { "aws:RequestTag/causeway/node": "yes" } },
  },
  {
    Effect: "Allow",
    Action: "ec2:CreateNetworkInterface",
    Resource: ["arn:aws:ec2:*:*:subnet/*", "arn:aws:ec2:*:*:security-group/*"],
  },
  {
    Effect: "Allow",
    Action: "ec2:CreateTags",
    Resource: "arn:aws:ec2:*:*:network-interface/*",
    Condition: { StringEquals: { "ec2:CreateAction": "CreateNetworkInterface" } },
  },
  {
    Effect: "Allow",
    Action: "ec2:DeleteNetworkInterface",
    Resource: "arn:aws:ec2:*:*:network-interface/*",
    Condition: { StringEquals: { "ec2:ResourceTag/causeway/node": "yes" } },
  },
);

describe("The role's policy", () => {
  async function startLeast() {
    const cloud = await start({ policy: LEAST });
    const node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    return { cloud, role: newClient(cloud, cloud.credentialsOf(node)), administrator: newClient(cloud) };
  }
  const tagged = { TagSpecifications: [{ ResourceType: "network-interface" as const, Tags: [OWN_TAG] }] };

  it("allows what it says, by wildcard, tag of the request and tag of the resource", async () => {
    const { role } = await startLeast();
    const reply = await role.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A, ...tagged }));
    const id = present(reply.NetworkInterface?.NetworkInterfaceId);
    await role.send(new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [id] }));
    await role.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id }));
  });

  it("refuses the rest with UnauthorizedOperation, which names the action, and nothing happens", async () => {
    const { cloud, role, administrator } = await startLeast();
    const foreign = await administrator.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A }));
    const id = present(foreign.NetworkInterface?.NetworkInterfaceId);
    const before = cloud.view();
    const refused = async (call: Promise<unknown>, action: string) => {
      await expect(call).rejects.toMatchObject({
        name: "UnauthorizedOperation",
        message: expect.stringContaining(action),
        $metadata: { httpStatusCode: 403 },
      });
    };
    await refused(
      role.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A })),
      "ec2:CreateNetworkInterface",
    );
    await refused(
      role.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id })),
      "ec2:DeleteNetworkInterface",
    );
    await refused(role.send(new CreateTagsCommand({ Resources: [id], Tags: [OWN_TAG] })), "ec2:CreateTags");
    expect(cloud.view()).toBe(before);
  });

  it("is refused at start when it uses what is not known here", () => {
    const statement: PolicyStatement = { Effect: "Allow", Action: "*", Resource: "*" };
    const withCondition = (Condition: PolicyStatement["Condition"]) =>
      policy({ ...statement, Condition: Condition ?? {} });
    expect(() => checkPolicy(withCondition({ DateLessThan: { "aws:CurrentTime": "x" } }))).toThrow(
      "DateLessThan",
    );
    expect(() => checkPolicy(withCondition({ StringEquals: { "aws:Foo": "x" } }))).toThrow("aws:Foo");
    expect(() => checkPolicy(policy({ ...statement, Resource: `arn:$${"{aws:x}"}` }))).toThrow("variables");
    expect(() => checkPolicy(policy({ ...statement, NotAction: "*" } as PolicyStatement))).toThrow(
      "NotAction",
    );
  });

  it("denies when a statement denies, whatever another allows", async () => {
    const cloud = await start({
      policy: policy(
        { Effect: "Allow", Action: "*", Resource: "*" },
        { Effect: "Deny", Action: "ec2:DescribeSubnets", Resource: "*" },
      ),
    });
    const node = await cloud.addInstance({ subnetId: SUBNET_A, type: "m5.large" });
    expect(await describeCode(cloud, cloud.credentialsOf(node))).toBe("UnauthorizedOperation");
  });
});
