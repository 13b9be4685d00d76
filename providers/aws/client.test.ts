import { DescribeVpcsCommand } from "@aws-sdk/client-ec2";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../common/clock.ts";
import { Metrics } from "../../common/metrics.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import { Ec2Client, type Ec2ClientOptions } from "./client.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(changes: Partial<Ec2ClientOptions> = {}) {
  const lab = await AwsLab.start();
  const { endpoint, region, administrator: credentials } = lab.ec2;
  const metrics = new Metrics();
  const ec2 = new Ec2Client({ endpoint, region, credentials, metrics, clock: systemClock, ...changes });
  closing.push(
    () => lab.close(),
    () => ec2.close(),
  );
  const call = (repeat: "safe" | "once" = "safe", signal = AbortSignal.timeout(20_000)) =>
    ec2.call("DescribeVpcs", repeat, signal, (client, options) =>
      client.send(new DescribeVpcsCommand({}), options),
    );
  return { lab, metrics, call, calls: lab.ec2.calls };
}

const reads = (burst: number, perSecond: number) => {
  const rate = { burst, perSecond };
  return { share: { reads: rate, writes: rate } };
};

describe("Ec2Client.call()", () => {
  it("sends what may be repeated three times at most, and counts repetitions and refusals", async () => {
    const { lab, metrics, call, calls } = await start();
    lab.ec2.faults.throttle("DescribeVpcs", 10);
    await expect(call()).rejects.toMatchObject({ code: "throttled", step: "retry-soon" });
    expect(calls.count("DescribeVpcs")).toBe(3);
    const operation = "DescribeVpcs";
    expect(metrics.counter("causeway_aws_api_throttled_total", "").value({ operation })).toBe(1);
    expect(metrics.counter("causeway_aws_api_repeats_total", "").value({ operation })).toBe(2);
    const labels = { operation, code: "RequestLimitExceeded" };
    expect(metrics.counter("causeway_aws_api_calls_total", "").value(labels)).toBe(1);
    const outcome = "error";
    expect(metrics.histogram("causeway_aws_api_duration_seconds", "").count({ operation, outcome })).toBe(1);
  });

  it("sends once what may not be repeated", async () => {
    const { lab, call, calls } = await start();
    lab.ec2.faults.throttle("DescribeVpcs", 10);
    await expect(call("once")).rejects.toMatchObject({ code: "throttled" });
    expect(calls.count("DescribeVpcs")).toBe(1);
  });

  it("makes calls wait for their turn, each action its own, and tells how long", async () => {
    const { metrics, call, calls } = await start(reads(2, 4));
    const begun = performance.now();
    await Promise.all([call(), call(), call(), call()]);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(450);
    expect(calls.count("DescribeVpcs")).toBe(4);
    expect(metrics.histogram("causeway_aws_api_wait_seconds", "").count({ operation: "DescribeVpcs" })).toBe(
      4,
    );
  });

  it("waits after a refusal, though it had turns left", async () => {
    const { lab, call } = await start(reads(20, 2));
    lab.ec2.faults.throttle("DescribeVpcs", 1);
    await expect(call("once")).rejects.toMatchObject({ code: "throttled" });
    const begun = performance.now();
    await call("once");
    expect(performance.now() - begun).toBeGreaterThanOrEqual(400);
  });

  it("says that a call was not sent when its turn did not come in time", async () => {
    const timeouts = { connectMs: 200, replyMs: 200, callMs: 300 };
    const { call, calls } = await start({ ...reads(1, 0.1), timeouts });
    await call();
    await expect(call()).rejects.toMatchObject({
      code: "throttled",
      message: expect.stringContaining("not sent"),
    });
    expect(calls.count("DescribeVpcs")).toBe(1);
  });
});
