import { describe, expect, it } from "vitest";
import { readInterface, readNetworkCidrs, readSubnet } from "./schema.ts";

const raw = {
  NetworkInterfaceId: "eni-1",
  MacAddress: "0A:00:00:00:00:01",
  SubnetId: "subnet-1",
  PrivateIpAddress: "10.0.0.5",
};

describe("readInterface()", () => {
  it("takes the own address by flag, not by position (aws-33)", () => {
    const one = readInterface({
      ...raw,
      PrivateIpAddresses: [
        { PrivateIpAddress: "10.0.0.111", Primary: false },
        { PrivateIpAddress: "10.0.0.5", Primary: true },
      ],
    });
    expect(one?.own.map(String)).toEqual(["10.0.0.5"]);
    expect(one?.units.map(String)).toEqual(["10.0.0.111/32"]);
  });

  it("keeps the own address out of the units when no flag says which it is", () => {
    const one = readInterface({
      ...raw,
      PrivateIpAddresses: [{ PrivateIpAddress: "10.0.0.5" }, { PrivateIpAddress: "10.0.0.6" }],
      Ipv6Addresses: [{ Ipv6Address: "2001:db8::1", IsPrimaryIpv6: true }, { Ipv6Address: "2001:db8::2" }],
    });
    expect(one?.own.map(String)).toEqual(["10.0.0.5", "2001:db8::1"]);
    expect(one?.units.map(String)).toEqual(["10.0.0.6/32", "2001:db8::2/128"]);
  });

  it("leaves out what it cannot read, and does without what is missing", () => {
    expect(readInterface({ ...raw, MacAddress: "<html>" })).toBeUndefined();
    expect(readInterface({ MacAddress: raw.MacAddress })).toBeUndefined();
    const one = readInterface({ ...raw, Ipv4Prefixes: [{ Ipv4Prefix: "10.0.0.16/99" }, {}] });
    expect(one?.units).toEqual([]);
    expect(one?.mac).toBe("0a:00:00:00:00:01");
  });

  it("says detaching as soon as the interface does", () => {
    const Attachment = { AttachmentId: "a-1", Status: "attached" as const };
    expect(readInterface({ ...raw, Status: "detaching", Attachment })?.attachment?.state).toBe("detaching");
    expect(
      readInterface({ ...raw, Attachment: { ...Attachment, Status: "detached" } })?.attachment,
    ).toBeUndefined();
  });
});

describe("readSubnet() and readNetworkCidrs()", () => {
  const associations = [
    { Ipv6CidrBlock: "2001:db8:1::/64", Ipv6CidrBlockState: { State: "disassociating" as const } },
    { Ipv6CidrBlock: "2001:db8:2::/64", Ipv6CidrBlockState: { State: "associated" as const } },
  ];

  it("take the associated ranges only", () => {
    const subnet = readSubnet({ SubnetId: "subnet-1", Ipv6CidrBlockAssociationSet: associations });
    expect(String(subnet?.ipv6)).toBe("2001:db8:2::/64");
    expect(subnet?.ipv4).toBeUndefined();
    expect(readNetworkCidrs({ Ipv6CidrBlockAssociationSet: associations }).map(String)).toEqual([
      "2001:db8:2::/64",
    ]);
  });
});
