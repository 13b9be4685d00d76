import { isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cidr, coveringCidrs, IpAddress, mergeCidrs } from "./ip.ts";

const anyAddress = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value) => IpAddress.fromValue(4, value)),
  fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value) => IpAddress.fromValue(6, value)),
);
const anyCidr = fc
  .tuple(anyAddress, fc.nat(128))
  .map(([address, length]) => Cidr.of(address, address.family === 4 ? length % 33 : length));

describe("IpAddress", () => {
  it.each([
    ["10.0.0.1", "10.0.0.1"],
    ["2001:DB8::1", "2001:db8::1"],
    ["2001:db8:0:0:0:0:0:1", "2001:db8::1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["::ffff:10.0.0.1", "::ffff:10.0.0.1"],
    ["fe80::", "fe80::"],
  ])("parse(%s) prints as %s", (text, canonical) => {
    expect(IpAddress.parse(text).toString()).toBe(canonical);
  });

  it.each([
    "",
    "10.0.0",
    "10.0.0.256",
    "010.0.0.1",
    "1::2::3",
    ":::",
    "12345::",
    "fe80::1%eth0",
    "10.0.0.1/32",
    "1:2:3:4:5:6:7:8:9",
    "1.2.3.4::",
  ])("parse(%j) is refused by name", (text) => {
    expect(() => IpAddress.parse(text)).toThrow(JSON.stringify(text));
  });

  it("round-trips through text and bytes", () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(IpAddress.parse(address.toString()).equals(address)).toBe(true);
        expect(IpAddress.fromBytes(address.toBytes()).equals(address)).toBe(true);
        if (address.family === 6) expect(isIPv6(address.toString())).toBe(true);
      }),
    );
  });

  it("plus() throws past either end", () => {
    expect(IpAddress.parse("10.0.0.255").plus(1).toString()).toBe("10.0.1.0");
    expect(() => IpAddress.parse("255.255.255.255").plus(1)).toThrow(RangeError);
    expect(() => IpAddress.parse("::").plus(-1)).toThrow(RangeError);
  });
});

describe("Cidr", () => {
  it("clears host bits and prints canonically", () => {
    expect(Cidr.parse("10.0.0.1/8").toString()).toBe("10.0.0.0/8");
    expect(Cidr.parse("2001:db8::1").toString()).toBe("2001:db8::1/128");
    expect(Cidr.parse("0.0.0.0/0").contains(IpAddress.parse("255.1.1.1"))).toBe(true);
  });

  it.each(["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "x/8"])("parse(%j) is refused", (text) => {
    expect(() => Cidr.parse(text)).toThrow(JSON.stringify(text));
  });

  it("holds its first and last address and not the ones beside them", () => {
    fc.assert(
      fc.property(anyCidr, (cidr) => {
        expect(cidr.contains(cidr.first) && cidr.contains(cidr.last)).toBe(true);
        if (cidr.first.value > 0n) expect(cidr.contains(cidr.first.plus(-1))).toBe(false);
        expect(Cidr.parse(cidr.toString()).equals(cidr)).toBe(true);
      }),
    );
  });

  it("addresses() lists a /28 in order", () => {
    const all = [...Cidr.parse("10.0.0.16/28").addresses()].map(String);
    expect(all).toHaveLength(16);
    expect(all[0]).toBe("10.0.0.16");
    expect(all[15]).toBe("10.0.0.31");
  });
});

describe("mergeCidrs()", () => {
  it.each([
    [["10.0.0.0/8", "10.1.0.0/16"], ["10.0.0.0/8"]],
    [["10.0.1.0/24", "10.0.0.0/24"], ["10.0.0.0/23"]],
    [["10.0.0.0/24", "10.0.0.0/24"], ["10.0.0.0/24"]],
    [
      ["10.0.1.0/24", "10.0.2.0/24"],
      ["10.0.1.0/24", "10.0.2.0/24"],
    ],
    [["0.0.0.0/1", "128.0.0.0/1"], ["0.0.0.0/0"]],
    [
      ["::/0", "10.0.0.0/8"],
      ["10.0.0.0/8", "::/0"],
    ],
  ])("%j becomes %j", (input, output) => {
    expect(mergeCidrs(input.map((text) => Cidr.parse(text))).map(String)).toEqual(output);
  });

  it("covers the same addresses, without overlap, whatever the order", () => {
    fc.assert(
      fc.property(fc.array(anyCidr, { maxLength: 12 }), anyAddress, (cidrs, probe) => {
        const merged = mergeCidrs(cidrs);
        const points = [probe, ...cidrs.flatMap((cidr) => [cidr.first, cidr.last])];
        for (const point of points) {
          expect(merged.filter((cidr) => cidr.contains(point)).length).toBe(
            cidrs.some((cidr) => cidr.contains(point)) ? 1 : 0,
          );
        }
        expect(mergeCidrs([...cidrs].reverse()).map(String)).toEqual(merged.map(String));
      }),
    );
  });
});

describe("coveringCidrs()", () => {
  it.each([
    ["10.0.0.0", "10.0.0.255", ["10.0.0.0/24"]],
    ["10.0.0.1", "10.0.0.4", ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]],
    ["0.0.0.0", "255.255.255.255", ["0.0.0.0/0"]],
    ["fd00::ffff", "fd00::ffff", ["fd00::ffff/128"]],
  ])("%s to %s is %j", (first, last, expected) => {
    expect(coveringCidrs(IpAddress.parse(first), IpAddress.parse(last)).map(String)).toEqual(expected);
  });
});
