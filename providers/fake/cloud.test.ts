import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cidr } from "../../common/ip.ts";
import { SteppedClock } from "../../common/stepped-clock.ts";
import { FakeCloud } from "./cloud.ts";
import { freeUnits } from "./free-units.ts";
import { FakeNetwork } from "./provider.ts";

const never = new AbortController().signal;
const ipv4 = (count: number) => ({ family: 4, prefixLength: 32, count }) as const;

function setUp(options: { lagMs?: number; delayMs?: number } = {}) {
  const clock = new SteppedClock();
  const cloud = new FakeCloud({ clock, ...options });
  const instance = cloud.launch();
  return { clock, cloud, network: new FakeNetwork(cloud, instance) };
}

async function unitsOf(network: FakeNetwork) {
  return (await network.describe(never)).interfaces[0]?.units.length;
}

describe("FakeCloud", () => {
  it("shows in lists what was true lagMs ago", async () => {
    const { clock, cloud, network } = setUp({ lagMs: 1_000 });
    await clock.advance(5_000);
    const { interfaces } = await network.describe(never);
    const id = interfaces[0]?.id ?? ("none" as never);
    await network.assignUnits(id, [ipv4(1)], never);
    await clock.advance(400);
    await network.assignUnits(id, [ipv4(1)], never);
    expect(await unitsOf(network)).toBe(0);
    await clock.advance(600);
    expect(await unitsOf(network)).toBe(1);
    await clock.advance(400);
    expect(await unitsOf(network)).toBe(2);
    expect(cloud.find(id)?.units).toHaveLength(2);
  });

  it("takes delayMs for each call, and ends at once when given up", async () => {
    const { clock, network } = setUp({ delayMs: 250 });
    const done = network.describe(never).then(() => clock.now());
    await clock.advance(250);
    expect(await done).toBe(250);
    const gone = new AbortController();
    const given = network.describe(gone.signal).catch((error: unknown) => error);
    await clock.settle();
    gone.abort(new Error("stopping"));
    expect(await given).toMatchObject({ code: "unavailable" });
  });

  it("fails as often as it was told, in the order it was told, and counts", async () => {
    const { cloud, network } = setUp();
    cloud.failNext("describe", { code: "throttled", times: 2 });
    cloud.failNext("describe", { code: "unauthorized" });
    const codes = [];
    for (let call = 0; call < 4; call += 1) {
      codes.push(
        await network.describe(never).then(
          () => "ok",
          (error: { code: string }) => error.code,
        ),
      );
    }
    expect(codes).toEqual(["throttled", "throttled", "unauthorized", "ok"]);
    expect(cloud.calls.get("describe")).toBe(4);
  });

  it("never gives two instances one address", async () => {
    const cloud = new FakeCloud();
    const given: string[] = [];
    for (let count = 0; count < 3; count += 1) {
      const network = new FakeNetwork(cloud, cloud.launch());
      const primary = (await network.describe(never)).interfaces[0];
      given.push(...(primary?.own.map(String) ?? []));
      const units = await network.assignUnits(primary?.id ?? ("none" as never), [ipv4(4)], never);
      given.push(...units.map((unit) => unit.address.toString()));
    }
    expect(new Set(given).size).toBe(15);
  });
});

describe("freeUnits()", () => {
  const range = Cidr.parse("10.0.0.0/26");
  const inRange = fc.integer({ min: 0, max: 63 }).map((offset) => range.first.plus(offset));
  const used = fc.array(
    fc.tuple(inRange, fc.constantFrom(32, 28)).map(([address, length]) => Cidr.of(address, length)),
    { maxLength: 8 },
  );

  it("gives units of the size asked for, free, apart from each other and from the reserved ends", () => {
    fc.assert(
      fc.property(
        used,
        fc.constantFrom(32, 28),
        fc.integer({ min: 1, max: 70 }),
        (taken, prefixLength, count) => {
          const units = freeUnits(range, taken, { family: 4, prefixLength, count });
          const reserved = [0, 1, 2, 3, 63].map((offset) => range.first.plus(offset));
          for (const [index, unit] of units.entries()) {
            expect(unit.prefixLength).toBe(prefixLength);
            expect(range.contains(unit)).toBe(true);
            expect([...taken, ...units.slice(0, index)].some((other) => other.overlaps(unit))).toBe(false);
            expect(reserved.some((address) => unit.contains(address))).toBe(false);
          }
          // all that there are: counted the slow way
          const all = [...range.addresses()]
            .map((address) => Cidr.of(address, prefixLength))
            .filter((unit, index, list) => index === 0 || !unit.equals(list[index - 1] ?? range))
            .filter((unit) => !taken.some((other) => other.overlaps(unit)))
            .filter((unit) => !reserved.some((address) => unit.contains(address)));
          expect(units).toHaveLength(Math.min(count, all.length));
        },
      ),
    );
  });
});
