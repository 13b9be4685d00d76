import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../common/clock.ts";
import { Metrics } from "../../common/metrics.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import { listInterfaces } from "./api.ts";
import { Ec2Client } from "./client.ts";

let lab: AwsLab | undefined;
afterEach(async () => {
  await lab?.close();
});

describe("listInterfaces()", () => {
  it("reads every page, and counts its calls", async () => {
    lab = await AwsLab.start({ launch: { type: "m5.4xlarge" } });
    for (let index = 0; index < 6; index += 1) {
      await lab.ec2.addInstance({ subnetId: "subnet-0a", type: "t3.medium" });
    }
    const { endpoint, region, administrator: credentials } = lab.ec2;
    const metrics = new Metrics();
    const ec2 = new Ec2Client({ endpoint, region, credentials, clock: systemClock, metrics });
    const found = await listInterfaces(ec2, { "vpc-id": "vpc-01" }, AbortSignal.timeout(10_000), 5);
    expect(new Set(found.map((one) => one.id))).toEqual(new Set(lab.interfaceIds()));
    expect(found).toHaveLength(7);
    expect(metrics.text()).toContain(
      'causeway_aws_api_calls_total{code="ok",operation="DescribeNetworkInterfaces"} 2',
    );
    ec2.close();
  });
});
