import { describe, expect, it } from "vitest";
import { parseMac } from "../../common/ids.ts";
import { Cidr, IpAddress } from "../../common/ip.ts";
import { planHostNetwork } from "./plan.ts";
import type { LoadedUplink } from "./uplinks.ts";

function uplink(slot: number, units: readonly string[]): LoadedUplink {
  return {
    slot,
    linkName: `eth${slot - 1}`,
    linkIndex: slot + 1,
    mac: parseMac(`02:00:00:00:00:0${slot}`),
    addresses: [{ address: IpAddress.parse(`10.0.${slot}.10`), prefixLength: 24 }],
    gateways: [IpAddress.parse(`10.0.${slot}.1`), IpAddress.parse("fe80:ec2::1")],
    isPrimary: slot === 1,
    units: units.map((text) => Cidr.parse(text)),
  };
}

const plan = (units: readonly (readonly string[])[], inside: readonly string[] = ["10.0.0.0/16"]) =>
  planHostNetwork({
    uplinks: units.map((list, index) => uplink(index + 1, list)),
    inside: inside.map((text) => Cidr.parse(text)),
    settings: { externalSnat: false, families: [4, 6] },
  });

const hundred = Array.from({ length: 100 }, (_, index) => `10.0.2.${100 + index}/32`);

describe("planHostNetwork()", () => {
  it("aws-37, oth-67: no rule names a pod, and the number of rules is the same for 0 and 100 units", () => {
    const [few, many] = [plan([[], []]), plan([[], hundred])];
    expect(many.rules).toEqual(few.rules);
    const sources = many.rules.flatMap(({ from, to }) => [from, to]).filter((one) => one !== undefined);
    expect(sources.map(String)).toEqual(["10.0.2.10/32"]);
  });

  it("oth-90: uplinks take router advertisements in a way that forwarding does not end, and before it is on", () => {
    const paths = plan([[], []]).sysctls.map(({ path, value }) => `${path}=${value}`);
    const forwarding = paths.indexOf("net/ipv6/conf/all/forwarding=1");
    for (const name of ["eth0", "eth1"]) {
      const accepts = paths.indexOf(`net/ipv6/conf/${name}/accept_ra=2`);
      expect(accepts).toBeGreaterThanOrEqual(0);
      expect(accepts).toBeLessThan(forwarding);
    }
  });

  it("aws-39, oth-81: one set says what is inside, for marks and for SNAT", () => {
    const { nft } = plan([[], hundred], ["10.0.0.0/16", "10.80.0.0/16"]);
    const users = nft.chains
      .flatMap(({ rules }) => rules)
      .filter((rule) => rule.includes("ip daddr") && !rule.includes("127."));
    expect(users.map((rule) => /@\w+/.exec(rule)?.[0])).toEqual(["@inside4", "@inside4", "@units4"]);
    expect(users[2]).toContain("ip daddr != @inside4");
    expect(nft.sets.find(({ name }) => name === "inside4")?.elements).toEqual([
      "10.0.0.0/16",
      "10.80.0.0/16",
    ]);
  });
});
