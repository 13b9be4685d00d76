import { describe, expect, it } from "vitest";
import type { Rule } from "../../../common/kernel/rules.ts";
import { cidr, type KernelFixture } from "./fixture.ts";

/** What Rules and Sysctl promise. */
export function describeRules(on: KernelFixture): void {
  describe("rules", () => {
    const shapes: Omit<Rule, "family">[] = [
      { priority: 400, table: 4100, protocol: 197, inLink: "cw0" },
      { priority: 402, table: 4100, protocol: 197 },
      { priority: 403, table: 254, protocol: 197, suppressPrefixLength: 0, suppressLinkGroup: 4100 },
      { priority: 404, table: 4101, protocol: 197, mark: { value: 0x100, mask: 0x1f00 } },
      { priority: 404, table: 4102, protocol: 197, mark: { value: 0x200, mask: 0x1f00 } },
    ];
    for (const family of [4, 6] as const) {
      const own = () => on.host.rules.list(family).filter((rule) => rule.protocol === 197);
      const [from, to] =
        family === 4 ? ["10.0.0.20/32", "10.1.0.0/16"] : ["2001:db8::20/128", "2001:db8:1::/48"];
      const rules: Rule[] = [
        ...shapes.map((shape) => ({ ...shape, family })),
        { family, priority: 405, table: 4102, protocol: 197, from: cidr(from), to: cidr(to) },
      ];

      it(`of IPv${family} of every shape come back as given, and may be added and removed twice`, () => {
        for (const rule of [...rules, ...rules]) on.host.rules.add(rule);
        expect(own()).toEqual(rules);
        for (const rule of [...rules, ...rules]) on.host.rules.remove(rule);
        expect(own()).toEqual([]);
        expect(on.host.rules.list(family).length).toBeGreaterThanOrEqual(2);
      });

      it(`of IPv${family} with fewer conditions do not take ones with more along`, () => {
        const marked: Rule = {
          family,
          priority: 404,
          table: 4101,
          protocol: 197,
          mark: { value: 0x100, mask: 0x1f00 },
        };
        const { mark, ...plain } = marked;
        on.host.rules.add(marked);
        on.host.rules.remove(plain);
        expect(own()).toEqual([marked]);
      });
    }
  });

  describe("sysctls", () => {
    it("are read and written by path, of links too", () => {
      on.createPair(on.harness.createNetns());
      const path = "net/ipv4/conf/cw0/rp_filter";
      on.host.sysctl.set(path, "2");
      on.host.sysctl.set(path, "2");
      expect(on.host.sysctl.get(path)).toBe("2");
    });

    it("are undefined or ENOENT where there is none, and EINVAL for a wrong value", () => {
      const path = "net/ipv4/conf/none0/rp_filter";
      expect(on.host.sysctl.get(path)).toBeUndefined();
      expect(() => on.host.sysctl.set(path, "1")).toThrow(expect.objectContaining({ code: "ENOENT" }));
      expect(() => on.host.sysctl.set("net/ipv4/ip_forward", "yes")).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
    });
  });
}
