import {
  CreateNetworkInterfaceCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSubnetsCommand,
} from "@aws-sdk/client-ec2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ec2 } from "./ec2.ts";
import { ManualTimers } from "./model/timers.ts";
import { codeOf, newClient, present, SUBNET_A, startTestEc2 } from "./testing.ts";

let cloud: Ec2;
let timers: ManualTimers;

beforeEach(async () => {
  timers = new ManualTimers();
  cloud = await startTestEc2({ timers });
});

afterEach(() => cloud.close());

const read = (options = {}) =>
  codeOf(newClient(cloud, cloud.administrator, options).send(new DescribeSubnetsCommand({})));
const create = () => newClient(cloud).send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A }));

describe("Faults", () => {
  it("fail the next calls of one action with a code, then no more", async () => {
    cloud.faults.fail("DescribeSubnets", "InternalError", 2, 500);
    expect(await codeOf(create())).toBe("ok");
    expect([await read(), await read(), await read()]).toEqual(["InternalError", "InternalError", "ok"]);
  });

  it("throttle with RequestLimitExceeded, which the SDK tries again", async () => {
    cloud.faults.throttle("*");
    expect(await read()).toBe("RequestLimitExceeded");
    cloud.faults.throttle("DescribeSubnets");
    expect(await read({ maxAttempts: 2 })).toBe("ok");
  });

  it("delay a call", async () => {
    cloud.faults.delay("DescribeSubnets", 60);
    const begin = performance.now();
    expect(await read()).toBe("ok");
    expect(performance.now() - begin).toBeGreaterThanOrEqual(59);
  });

  it("lose the reply after acting", async () => {
    cloud.faults.loseReply("CreateNetworkInterface");
    expect(await codeOf(create())).not.toBe("ok");
    expect(cloud.account.interfaces.size).toBe(1);
    expect(cloud.calls.all("CreateNetworkInterface")[0]?.outcome).toBe("lost");
  });

  it("throttle everything for ten minutes, and nothing afterwards", async () => {
    cloud.faults.throttleFor("*", 600_000);
    for (const minute of [0, 5, 9]) {
      timers.advance(minute === 0 ? 0 : 240_000);
      expect(await codeOf(create()), `minute ${minute}`).toBe("RequestLimitExceeded");
      expect(await read(), `minute ${minute}`).toBe("RequestLimitExceeded");
    }
    timers.advance(120_000);
    expect([await codeOf(create()), await read()]).toEqual(["ok", "ok"]);
    expect(cloud.account.interfaces.size).toBe(1);
  });

  it("come to writes alone, or to reads alone", async () => {
    cloud.faults.throttleFor("writes", 1000);
    expect([await codeOf(create()), await read()]).toEqual(["RequestLimitExceeded", "ok"]);
    cloud.faults.clear();
    cloud.faults.throttleFor("reads", 1000);
    expect([await codeOf(create()), await read()]).toEqual(["ok", "RequestLimitExceeded"]);
  });

  it("leave half of the interfaces out of a describe, with no sign of it, and by the seed", async () => {
    const shown = async (seed: number) => {
      const other = await startTestEc2({ seed });
      const client = newClient(other);
      for (let index = 0; index < 7; index += 1) {
        await client.send(new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A }));
      }
      const list = async () =>
        (await client.send(new DescribeNetworkInterfacesCommand({}))).NetworkInterfaces ?? [];
      const all = (await list()).map((one) => present(one.NetworkInterfaceId));
      other.faults.omitHalf("DescribeNetworkInterfaces");
      const half = (await list()).map((one) => all.indexOf(present(one.NetworkInterfaceId)));
      expect(await list()).toHaveLength(7);
      await other.close();
      return half;
    };
    const first = await shown(3);
    expect(first).toHaveLength(3);
    expect(first).toEqual([...new Set(first)].sort());
    expect(await shown(3)).toEqual(first);
  });

  it("hang without acting or answering until the client gives up", async () => {
    cloud.faults.hang("CreateNetworkInterface");
    const command = new CreateNetworkInterfaceCommand({ SubnetId: SUBNET_A });
    const call = newClient(cloud).send(command, { abortSignal: AbortSignal.timeout(50) });
    expect(await codeOf(call)).toBe("AbortError");
    expect(cloud.account.interfaces.size).toBe(0);
  });

  it("answer with a page of HTML", async () => {
    cloud.faults.garbage("DescribeSubnets", 502);
    expect(await read()).not.toBe("ok");
    expect(await read()).toBe("ok");
  });

  it("hide interfaces that are younger than a time, from lists and by id", async () => {
    cloud.account.hideYoungMs = 1000;
    const reply = await create();
    const id = present(reply.NetworkInterface?.NetworkInterfaceId);
    const client = newClient(cloud);
    const byId = () =>
      codeOf(client.send(new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [id] })));
    const all = async () =>
      (await client.send(new DescribeNetworkInterfacesCommand({}))).NetworkInterfaces ?? [];
    timers.advance(999);
    expect(await byId()).toBe("InvalidNetworkInterfaceID.NotFound");
    expect(await all()).toHaveLength(0);
    timers.advance(1);
    expect(await byId()).toBe("ok");
    expect(await all()).toHaveLength(1);
  });
});

describe("Rate limits", () => {
  it("refuse calls of one API once its bucket is empty, until it fills again", async () => {
    const rateLimits = { reads: { size: 2, perSecond: 1 }, writes: { size: 1, perSecond: 1 } };
    const limited = await startTestEc2({ timers, rateLimits });
    const client = newClient(limited);
    const subnets = () => codeOf(client.send(new DescribeSubnetsCommand({})));
    expect([await subnets(), await subnets(), await subnets()]).toEqual(["ok", "ok", "RequestLimitExceeded"]);
    expect(await codeOf(client.send(new DescribeNetworkInterfacesCommand({})))).toBe("ok");
    timers.advance(1000);
    expect([await subnets(), await subnets()]).toEqual(["ok", "RequestLimitExceeded"]);
    await limited.close();
  });
});

describe("The call log", () => {
  it("has every call with its parameters and outcome, and tells writes from reads", async () => {
    await read();
    await create();
    await codeOf(newClient(cloud).send(new CreateNetworkInterfaceCommand({ SubnetId: "subnet-0123" })));
    expect(cloud.calls.all().map(({ action, outcome }) => `${action} ${outcome}`)).toEqual([
      "DescribeSubnets ok",
      "CreateNetworkInterface ok",
      "CreateNetworkInterface InvalidSubnetID.NotFound",
    ]);
    expect(cloud.calls.writes().map(({ params }) => params.SubnetId)).toEqual([SUBNET_A, "subnet-0123"]);
  });

  it("counts calls in all, by action, writes and throttled ones, since it was cleared", async () => {
    await read();
    cloud.calls.clear();
    cloud.faults.throttle("DescribeSubnets");
    await create();
    await read();
    await read();
    expect(cloud.calls.counts()).toEqual({
      total: 3,
      writes: 1,
      throttled: 1,
      byAction: { CreateNetworkInterface: 1, DescribeSubnets: 2 },
    });
  });
});
