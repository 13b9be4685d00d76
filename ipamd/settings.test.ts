import { describe, expect, it } from "vitest";
import { DEFAULT_POOL_SETTINGS, parseSettings, type RawSettings } from "./settings.ts";
import { describeSettings } from "./settings-schema.ts";

function settings(raw: RawSettings) {
  const result = parseSettings(raw);
  if ("problems" in result) throw new Error(result.problems.join("\n"));
  return result.settings;
}

function problems(raw: RawSettings): readonly string[] {
  const result = parseSettings(raw);
  return "problems" in result ? result.problems : [];
}

const pool = (raw: RawSettings) => settings(raw).pool;

describe("parseSettings()", () => {
  it("needs none of them: two spare addresses, units as they come cheapest, the node's own subnet", () => {
    expect(settings({})).toMatchObject({ families: [4], externalSnat: false, cooldownMs: 30_000 });
    expect(settings({}).podMtuBytes).toBeUndefined();
    expect(pool({})).toEqual({
      unit: "auto",
      spare: 2,
      warmIpTarget: undefined,
      minimumIpTarget: undefined,
      warmEniTarget: undefined,
      warmPrefixTarget: undefined,
      maxEni: undefined,
      releaseAfterMs: 60_000,
      cloudWrites: "all",
      subnets: { by: "node" },
      useExisting: false,
    });
    expect(DEFAULT_POOL_SETTINGS).toEqual(pool({}));
  });

  it("takes each setting that is in the list, at its default as it is written there", () => {
    for (const { name, fallback } of describeSettings()) {
      if (fallback !== undefined) expect(settings({ [name]: fallback })).toEqual(settings({}));
    }
  });

  it.each<[key: string, value: string, part: object]>([
    ["address-unit", "single", { unit: "single" }],
    ["enable-prefix-delegation", "true", { unit: "block" }],
    ["enable-prefix-delegation", "false", { unit: "auto" }],
    ["spare-addresses", "0", { spare: 0 }],
    ["warm-ip-target", "5", { warmIpTarget: 5 }],
    ["warm-ip-target", "0", { warmIpTarget: undefined }],
    ["minimum-ip-target", "12", { minimumIpTarget: 12 }],
    ["minimum-ip-target", "0", { minimumIpTarget: undefined }],
    ["warm-eni-target", "0", { warmEniTarget: 0 }],
    ["warm-prefix-target", "1", { warmPrefixTarget: 1 }],
    ["max-eni", " 4\n", { maxEni: 4 }],
    ["release-after", "90", { releaseAfterMs: 90_000 }],
    ["cloud-writes", "no-release", { cloudWrites: "no-release" }],
    ["use-existing-addresses", "true", { useExisting: true }],
    ["pod-subnets", "subnet-b, subnet-a,subnet-b", { subnets: { by: "ids", ids: ["subnet-b", "subnet-a"] } }],
    [
      "pod-subnets",
      "tag:role=pods,any",
      {
        subnets: {
          by: "tags",
          tags: new Map([
            ["role", "pods"],
            ["any", ""],
          ]),
        },
      },
    ],
    ["max-eni", "", { maxEni: undefined }],
    ["spare-addresses", " ", { spare: 2 }],
  ])("understands %s=%j", (key, value, part) => {
    expect(pool({ [key]: value })).toEqual({ ...DEFAULT_POOL_SETTINGS, ...part });
  });

  it.each<[key: string, value: string, words: string]>([
    ["ip-cooldown-period", "3601", "accepted: a whole number of seconds from 0 to 3600"],
    ["ip-cooldown-period", "-1", "accepted: a whole number of seconds from 0 to 3600"],
    ["release-after", "1m", "accepted: a whole number of seconds from 0 to 86400"],
    ["warm-ip-target", "1e2", "accepted: a whole number of addresses from 0 to 1000"],
    ["warm-ip-target", "99999999999999999999", "accepted: a whole number of addresses from 0 to 1000"],
    ["max-eni", "0", "accepted: a whole number of interfaces from 1 to 100"],
    ["pod-mtu", "1279", "accepted: a whole number of bytes from 1280 to 65535"],
    ["external-snat", "yes", "accepted: true | false"],
    ["ip-families", "toString", "accepted: ipv4 | ipv6 | ipv4,ipv6 | ipv6,ipv4"],
    [
      "exclude-snat-cidrs",
      "10.0.0.0/8,10.0/16",
      'not a CIDR: "10.0/16"; accepted: CIDRs separated by commas',
    ],
    ["cloud-writes", "All", "accepted: all | no-release | none"],
    [
      "pod-subnets",
      "subnet-a,10.0.0.0/24,vpc-1",
      "not the id of a subnet: 10.0.0.0/24, vpc-1; accepted: node | ids",
    ],
    ["pod-subnets", "tag:", "accepted: node | ids of subnets separated by commas | tag:Key=Value"],
    ["pod-subnets", "tag:=pods", "not a tag: =pods; accepted:"],
    ["pod-subnets", "tag:a=1,a=2", "tag a is there twice; accepted:"],
  ])("refuses %s=%j by key and value, and says what is accepted", (key, value, words) => {
    const [problem, ...others] = problems({ [key]: value });
    expect(problem).toContain(`${key}=${JSON.stringify(value)}: ${words}`);
    expect(others).toEqual([]);
  });

  it.each([
    ["warm-ip-targt", "warm-ip-target"],
    ["WARM_IP_TARGET", "warm-ip-target"],
    ["warmIpTarget", "warm-ip-target"],
    ["AWS_VPC_K8S_CNI_EXTERNALSNAT", "external-snat"],
    ["spare", "spare-addresses"],
  ])("refuses the unknown %s, and guesses that %s is meant", (key, meant) => {
    expect(problems({ [key]: "1" })).toEqual([`unknown setting ${key}; did you mean ${meant}?`]);
  });

  it.each(["node-port-support", "__proto__", "x", "constructor"])(
    "refuses the unknown %s, and lists what is known",
    (key) => {
      const [problem] = problems(JSON.parse(`{"${key}": "true"}`) as RawSettings);
      expect(problem).toMatch(new RegExp(`^unknown setting ${key}; known: ip-families, `));
    },
  );

  it("names every problem at once", () => {
    expect(problems({ "max-eni": "x", "pod-mtu": "1", odd: "", odder: "1" })).toHaveLength(3);
  });

  it("refuses prefix delegation with single addresses, and takes it with auto or blocks", () => {
    const delegated = { "enable-prefix-delegation": "true" };
    expect(problems({ ...delegated, "address-unit": "single" })).toEqual([
      expect.stringContaining('enable-prefix-delegation="true" contradicts address-unit="single"; accepted:'),
    ]);
    for (const unit of ["auto", "block"])
      expect(pool({ ...delegated, "address-unit": unit }).unit).toBe("block");
    expect(pool({ "enable-prefix-delegation": "false", "address-unit": "block" }).unit).toBe("block");
  });

  it("shows the beginning of a value that is too long to show", () => {
    const [problem = ""] = problems({ "max-eni": "9".repeat(100_000) });
    expect(problem.length).toBeLessThan(300);
  });
});
