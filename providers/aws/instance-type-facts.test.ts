import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../common/clock.ts";
import { memoryLogger } from "../../common/log.ts";
import { Metrics } from "../../common/metrics.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import type { CloudOptions } from "../options.ts";
import { describeInstanceType, podsAdvised } from "./instance-type-facts.ts";

let lab: AwsLab;
let options: CloudOptions;

beforeAll(async () => {
  lab = await AwsLab.start();
  options = {
    cluster: "test",
    endpoint: lab.ec2.endpoint,
    metadataEndpoint: lab.ec2.imdsEndpoint(lab.instance),
    clock: systemClock,
    log: memoryLogger().log,
    metrics: new Metrics(),
  };
});
afterAll(() => lab.close());

const asked = () => lab.ec2.calls.count("DescribeInstanceTypes");

describe("describeInstanceType()", () => {
  it.each([
    ["m5.large", 110],
    ["m5.4xlarge", 110],
    ["m5.8xlarge", 250],
    ["t4g.medium", 110],
  ])("knows %s without asking EC2, and how many pods are advised", async (name, pods) => {
    const before = asked();
    expect(await describeInstanceType(name, options)).toMatchObject({
      instanceType: name,
      podsAdvised: pods,
    });
    expect(asked()).toBe(before);
  });

  it("asks EC2 of a type that it does not know", async () => {
    const { capabilities } = await describeInstanceType("c6in.32xlarge", options);
    expect(capabilities.cards).toHaveLength(2);
  });

  it("names a type that there is not, and types that are like it", async () => {
    await expect(describeInstanceType("m5.lage", options)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/^EC2 has no instance type m5\.lage; like it are m5\.large, /),
    });
  });

  it("says that EC2 could not be asked, with types that are like it", async () => {
    const away = { ...options, region: "eu-west-1", endpoint: "http://127.0.0.1:9" };
    const failed = describeInstanceType("m5.lage", { ...away, credentials: KEYS });
    await expect(failed).rejects.toThrow(
      /m5\.lage is not in the built-in table, and EC2 could not be asked \(.*; like it are m5\.large/,
    );
  });
});

const KEYS = { from: "keys", accessKeyId: "AKIA", secretAccessKey: "secret" } as const;

it.each([
  [2, 110],
  [29, 110],
  [30, 250],
  [96, 250],
])("podsAdvised() of %d vCPUs is %d", (vcpus, pods) => {
  expect(podsAdvised(vcpus)).toBe(pods);
});
