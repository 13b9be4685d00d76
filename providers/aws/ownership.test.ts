import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cidr, IpAddress } from "../../common/ip.ts";
import { foreignTags, readForeign } from "./ownership.ts";

const unit = fc.oneof(
  fc
    .bigInt({ min: 0n, max: (1n << 32n) - 1n })
    .chain((value) =>
      fc.constantFrom(32, 28).map((length) => Cidr.of(IpAddress.fromValue(4, value), length)),
    ),
  fc
    .bigInt({ min: 0n, max: (1n << 128n) - 1n })
    .chain((value) =>
      fc.constantFrom(128, 80).map((length) => Cidr.of(IpAddress.fromValue(6, value), length)),
    ),
);

describe("foreignTags()", () => {
  it("is read back whole by readForeign(), within EC2's limits, whatever the units", () => {
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 100 }), (units) => {
        const tags = foreignTags(units);
        expect(tags.size).toBeGreaterThan(0);
        for (const [key, value] of tags) {
          expect(key).toMatch(/^causeway\.dev\/foreign(\.\d+)?$/);
          expect(value.length).toBeLessThanOrEqual(256);
          // what EC2 allows in a tag's value
          expect(value).toMatch(/^[\p{L}\p{N} +\-=._:/@]*$/u);
        }
        expect(readForeign(tags)?.map(String)).toEqual(units.map(String));
      }),
    );
  });

  it("tells none from not recorded", () => {
    expect(readForeign(new Map())).toBeUndefined();
    expect(readForeign(foreignTags([]))).toEqual([]);
  });
});
