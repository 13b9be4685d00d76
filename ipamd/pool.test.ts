import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_POOL, type PoolKey } from "../common/ids.ts";
import { Cidr, type IpAddress } from "../common/ip.ts";
import { Pool } from "./pool.ts";

function poolWith(units: Readonly<Record<number, readonly string[]>>): Pool {
  const pool = new Pool();
  for (const [slot, list] of Object.entries(units)) {
    pool.addUplink(Number(slot), DEFAULT_POOL);
    for (const unit of list) pool.hold(Number(slot), Cidr.parse(unit));
  }
  return pool;
}

describe("Pool.assign()", () => {
  it("gives one address per family, both on one uplink", () => {
    const pool = poolWith({ 1: ["10.0.0.5/32"], 2: ["10.0.1.5/32", "fd00::5/128"] });
    expect(pool.assign(DEFAULT_POOL, [4, 6])).toMatchObject({ slot: 2 });
    expect(pool.assign(DEFAULT_POOL, [4, 6])).toBeUndefined();
    expect(pool.assign(DEFAULT_POOL, [4])?.addresses.map(String)).toEqual(["10.0.0.5"]);
  });

  it("never takes from another key's uplink", () => {
    const pool = poolWith({ 1: ["10.0.0.5/32"] });
    expect(pool.assign("other" as PoolKey, [4])).toBeUndefined();
  });

  it("gives every address of a /28 once, and of a /80 not the anycast one", () => {
    const pool = poolWith({ 1: ["10.0.0.16/28", "fd00:1::/80"] });
    const given = Array.from({ length: 16 }, () => pool.assign(DEFAULT_POOL, [4, 6])?.addresses ?? []);
    expect(new Set(given.flat().map(String)).size).toBe(32);
    expect(given.flat().map(String)).not.toContain("fd00:1::");
    expect(pool.assign(DEFAULT_POOL, [4, 6])).toBeUndefined();
  });

  it("reuses the address that has been free longest, and only when no fresh one is left", () => {
    const pool = poolWith({ 1: ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"] });
    const take = () => pool.assign(DEFAULT_POOL, [4])?.addresses[0] as IpAddress;
    const [first, second] = [take(), take()];
    pool.free(second);
    pool.free(first);
    expect([take(), take(), take()].map(String)).toEqual(["10.0.0.3", second.toString(), first.toString()]);
  });

  it("remembers a thousand that were given back, of a /80 too, and reuses none sooner", () => {
    const pool = poolWith({ 1: ["fd00:1::/80"] });
    const given = Array.from({ length: 5_000 }, () => {
      const [address] = pool.assign(DEFAULT_POOL, [6])?.addresses ?? [];
      pool.free(address as IpAddress);
      return String(address);
    });
    expect(new Set(given).size).toBe(1_024);
    expect(given.slice(1_024)).toEqual(given.slice(0, -1_024));
  });

  it("skips what the kernel showed as leased, cooling or excluded", () => {
    const pool = poolWith({ 1: ["10.0.0.0/30"] });
    for (const [index, use] of (["leased", "cooling", "excluded"] as const).entries()) {
      expect(pool.mark(Cidr.parse("10.0.0.0/30").first.plus(index), use)).toBe(true);
    }
    expect(pool.assign(DEFAULT_POOL, [4])?.addresses.map(String)).toEqual(["10.0.0.3"]);
    expect(pool.summary()[0]).toMatchObject({ free: 0, leased: 2, cooling: 1 });
  });
});

describe("Pool.drop()", () => {
  it("refuses a unit with a leased or cooling address, by name", () => {
    const pool = poolWith({ 1: ["10.0.0.16/28"] });
    const address = pool.assign(DEFAULT_POOL, [4])?.addresses[0] as IpAddress;
    expect(() => pool.drop(1, Cidr.parse("10.0.0.16/28"))).toThrow("10.0.0.16 is leased");
    pool.cool(address);
    expect(() => pool.startRelease(1, Cidr.parse("10.0.0.16/28"))).toThrow("10.0.0.16 is cooling");
    pool.free(address);
    pool.startRelease(1, Cidr.parse("10.0.0.16/28"));
    expect(pool.assign(DEFAULT_POOL, [4])).toBeUndefined();
    expect(pool.releasing(1).map(String)).toEqual(["10.0.0.16/28"]);
  });
});

describe("Pool.hold()", () => {
  it("refuses a unit that overlaps another uplink's", () => {
    const pool = poolWith({ 1: ["10.0.0.16/28"], 2: [] });
    expect(() => pool.hold(2, Cidr.parse("10.0.0.17/32"))).toThrow("overlaps 10.0.0.16/28 of uplink 1");
  });
});

it("Pool never gives an address twice and never loses one, whatever the order of calls", () => {
  type Step = { readonly kind: "assign" | "cool" | "free"; readonly pick: number };
  const steps = fc.array(
    fc.record({ kind: fc.constantFrom("assign", "cool", "free"), pick: fc.nat(1000) }) as fc.Arbitrary<Step>,
    { maxLength: 120 },
  );
  fc.assert(
    fc.property(steps, (list) => {
      const pool = poolWith({ 1: ["10.0.0.16/30", "10.0.0.40/32"], 2: ["10.0.1.0/31"] });
      const leased: IpAddress[] = [];
      const cooling: IpAddress[] = [];
      for (const { kind, pick } of list) {
        if (kind === "assign") {
          const address = pool.assign(DEFAULT_POOL, [4])?.addresses[0];
          expect(address === undefined).toBe(leased.length + cooling.length === 7);
          if (address === undefined) continue;
          expect([...leased, ...cooling].some((other) => other.equals(address))).toBe(false);
          leased.push(address);
        } else {
          const from = kind === "cool" ? leased : cooling;
          const [address] = from.length === 0 ? [] : from.splice(pick % from.length, 1);
          if (address === undefined) continue;
          if (kind === "cool") {
            pool.cool(address);
            cooling.push(address);
          } else pool.free(address);
        }
        const rows = pool.summary().filter((row) => row.family === 4);
        const total = rows.reduce((sum, row) => sum + row.free + row.leased + row.cooling, 0);
        expect(total).toBe(7);
      }
    }),
  );
});
