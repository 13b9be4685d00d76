import { describe, expect, it } from "vitest";
import { type InstanceId, type InterfaceId, parseMac, type SubnetId } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import { SteppedClock } from "../../common/stepped-clock.ts";
import { RecentWrites, YOUNG_MS } from "./recent.ts";
import type { Ec2Interface } from "./schema.ts";

const unit = Cidr.parse("10.0.0.7/32");
const id = "eni-1" as InterfaceId;
const one: Ec2Interface = {
  id,
  mac: parseMac("02:00:00:00:00:01"),
  subnetId: "subnet-1" as SubnetId,
  vpcId: "vpc-1",
  zone: "eu-west-1a",
  securityGroupIds: [],
  tags: new Map(),
  own: [],
  units: [],
};
const attachment = {
  id: "eni-attach-1",
  instanceId: "i-1" as InstanceId,
  state: "attaching",
  deviceIndex: 1,
  cardIndex: 0,
  deleteOnTermination: true,
} as const;

function setUp() {
  const clock = new SteppedClock();
  return { clock, recent: new RecentWrites(clock) };
}

describe("RecentWrites.complete()", () => {
  it("adds a created interface that the list omits, while it is young", async () => {
    const { clock, recent } = setUp();
    recent.created(one);
    expect(recent.complete([])).toEqual([one]);
    await clock.advance(YOUNG_MS + 1);
    expect(recent.complete([])).toEqual([]);
  });

  it("knows of an attachment that the list does not show yet, until it is detached", () => {
    const { recent } = setUp();
    recent.created({ ...one, attachment });
    expect(recent.complete([one])[0]?.attachment).toEqual(attachment);
    recent.detached(id);
    expect(recent.complete([one])[0]?.attachment).toBeUndefined();
  });

  it("adds assigned units that the list omits, while they are young and not released", async () => {
    const { clock, recent } = setUp();
    recent.assigned(id, [unit]);
    expect(recent.complete([one])[0]?.units.map(String)).toEqual(["10.0.0.7/32"]);
    expect(recent.complete([{ ...one, units: [unit] }])[0]?.units).toHaveLength(1);
    recent.released(id, [unit]);
    expect(recent.complete([one])[0]?.units).toEqual([]);
    recent.assigned(id, [unit]);
    await clock.advance(YOUNG_MS + 1);
    expect(recent.complete([one])[0]?.units).toEqual([]);
  });

  it("omits released units that the list shows, while they are young and not assigned again", async () => {
    const { clock, recent } = setUp();
    const shown = { ...one, units: [unit] };
    recent.released(id, [unit]);
    expect(recent.complete([shown])[0]?.units).toEqual([]);
    recent.named(id, [unit]);
    expect(recent.complete([shown])[0]?.units).toHaveLength(1);
    recent.released(id, [unit]);
    await clock.advance(YOUNG_MS + 1);
    expect(recent.complete([shown])[0]?.units).toHaveLength(1);
  });

  it("never shows a deleted interface again, and keeps what it tagged", async () => {
    const { clock, recent } = setUp();
    recent.tagged(id, new Map([["a", "1"]]));
    await clock.advance(10 * YOUNG_MS);
    expect(recent.complete([one])[0]?.tags.get("a")).toBe("1");
    recent.gone(id);
    await clock.advance(10 * YOUNG_MS);
    expect(recent.complete([one])).toEqual([]);
  });
});
