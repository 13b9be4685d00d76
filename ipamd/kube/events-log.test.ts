import { beforeEach, describe, expect, it } from "vitest";
import type { PodUid } from "../../common/ids.ts";
import { memoryLogger } from "../../common/log.ts";
import { SteppedClock } from "../../common/stepped-clock.ts";
import type { KubeEvent, NodeCondition } from "./events.ts";
import { LogEvents } from "./events-log.ts";

const WEB = { namespace: "demo", name: "web", uid: "u-1" as PodUid };
const NO_ADDRESS: KubeEvent = {
  type: "Warning",
  reason: "NoAddress",
  message: "subnet-a has no free address",
};

let clock: SteppedClock;
let logged: ReturnType<typeof memoryLogger>;
let events: LogEvents;

beforeEach(() => {
  clock = new SteppedClock();
  logged = memoryLogger();
  events = new LogEvents({ clock, log: logged.log });
});

const told = () =>
  logged.lines.map(({ level, msg, pod, reason, message }) => [level, msg, pod, reason, message]);

describe("LogEvents", () => {
  it("tells an event of a pod once a minute, whatever its message", async () => {
    for (let second = 0; second < 150; second += 1) {
      events.onPod(WEB, { ...NO_ADDRESS, message: `${second} s` });
      await clock.advance(1_000);
    }
    expect(told()).toEqual(
      ["0 s", "60 s", "120 s"].map((message) => [
        "warn",
        "an event of a pod",
        "demo/web",
        "NoAddress",
        message,
      ]),
    );
  });

  it("tells events of other pods, other reasons and the node at once", () => {
    events.onPod(WEB, NO_ADDRESS);
    events.onPod({ ...WEB, uid: "u-2" as PodUid }, NO_ADDRESS);
    events.onPod({ namespace: "demo", name: "no-uid" }, NO_ADDRESS);
    events.onPod(WEB, { ...NO_ADDRESS, reason: "Throttled" });
    events.onNode(NO_ADDRESS);
    events.onNode(NO_ADDRESS);
    events.onNode({ ...NO_ADDRESS, type: "Normal" });
    expect(told().map(([level, msg]) => `${String(level)} ${String(msg)}`)).toEqual([
      "warn an event of a pod",
      "warn an event of a pod",
      "warn an event of a pod",
      "warn an event of a pod",
      "warn an event of this node",
      "info an event of this node",
    ]);
  });

  it("tells events of one reason that are about different things", () => {
    for (const about of ["ec2:CreateTags", "ec2:DescribeVpcs", "ec2:CreateTags"])
      events.onNode({ ...NO_ADDRESS, about, message: about });
    expect(logged.lines.map(({ message }) => message)).toEqual(["ec2:CreateTags", "ec2:DescribeVpcs"]);
  });

  it("tells a condition when its status or reason changes", () => {
    const full: NodeCondition = {
      type: "PodAddressesAvailable",
      status: "False",
      reason: "SubnetFull",
      message: "1",
    };
    events.condition(full);
    events.condition({ ...full, message: "2" });
    events.condition({ ...full, reason: "InstanceFull" });
    events.condition({ ...full, status: "True", reason: "Free" });
    events.condition({ ...full, type: "Other" });
    expect(logged.lines.map(({ condition, status, reason }) => [condition, status, reason])).toEqual([
      ["PodAddressesAvailable", "False", "SubnetFull"],
      ["PodAddressesAvailable", "False", "InstanceFull"],
      ["PodAddressesAvailable", "True", "Free"],
      ["Other", "False", "SubnetFull"],
    ]);
  });
});
