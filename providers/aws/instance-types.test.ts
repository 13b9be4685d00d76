import { describe, expect, it } from "vitest";
import { INSTANCE_TYPES } from "../../test/cloudsim/aws/model/instance-types.ts";
import { findInstanceType } from "./instance-types.ts";

describe("findInstanceType()", () => {
  it("says what EC2 would, of every type that it knows", () => {
    const known = INSTANCE_TYPES.filter(({ name }) => findInstanceType(name) !== undefined);
    expect(known.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["t3.small", "m5.large", "m5.4xlarge"]),
    );
    for (const type of known) {
      expect(findInstanceType(type.name)).toMatchObject({
        cards: [{ index: 0, interfacesMax: type.interfacesMax }],
        unitsPerInterface: { 4: type.ipv4PerInterface - 1, 6: type.ipv6PerInterface },
      });
    }
  });

  // interfaces x (addresses - 1) + 2, as amazon-vpc-cni's list has it
  it.each([
    ["m5.large", 29],
    ["c6g.medium", 8],
    ["r6i.2xlarge", 58],
    ["c5.9xlarge", 234],
    ["m7i.16xlarge", 737],
    ["t3.nano", 4],
    ["t3a.small", 8],
    ["t4g.small", 11],
    ["t3.large", 35],
  ])("carries the pods that %s is known for: %d", (name, podsMax) => {
    const { cards, unitsPerInterface } = findInstanceType(name) ?? {};
    expect((cards?.[0]?.interfacesMax ?? 0) * (unitsPerInterface?.[4] ?? 0) + 2).toBe(podsMax);
  });

  it.each(["p4d.24xlarge", "c6in.32xlarge", "m4.large", "m5.huge", "constructor.large", "m5.toString", ""])(
    "knows nothing of %s, which EC2 is asked about",
    (name) => {
      expect(findInstanceType(name)).toBeUndefined();
    },
  );
});
