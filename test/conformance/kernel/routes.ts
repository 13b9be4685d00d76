import { describe, expect, it } from "vitest";
import { ip, type KernelFixture, printRoutes, route } from "./fixture.ts";

/** What Routes promise. */
export function describeRoutes(on: KernelFixture): void {
  describe("routes", () => {
    const families = [
      { family: 4 as const, one: "10.0.0.5/32", block: "10.0.0.0/28", lowest: 0 },
      { family: 6 as const, one: "2001:db8::5/128", block: "2001:db8::/80", lowest: 1024 },
    ];
    for (const { family, one, block, lowest } of families) {
      const list = () => printRoutes(on.host.routes.list({ family, table: 4100 }));

      it(`of IPv${family} of every type lie over each other and may be added twice`, () => {
        const { hostIndex } = on.createPod();
        const routes = [
          route(block, { type: "blackhole", metric: 8192 }),
          route(one),
          route(one, { type: "prohibit", metric: 8192 }),
          route(one, { type: "unicast", metric: lowest, linkIndex: hostIndex }),
        ];
        for (const each of [...routes, ...routes]) on.host.routes.add(each);
        expect(list()).toEqual([
          `blackhole ${block} 8192 -`,
          `prohibit ${one} 8192 -`,
          `unicast ${one} ${lowest} ${hostIndex}`,
          `unreachable ${one} 4096 -`,
        ]);
        expect(on.host.routes.list({ family, table: 4100, protocol: 4 })).toEqual([]);
        expect(on.host.routes.list({ family, table: 9999 })).toEqual([]);
      });

      it(`of IPv${family} that differ do not share a place, unless replaced`, () => {
        on.host.routes.add(route(one));
        expect(() => on.host.routes.add(route(one, { type: "prohibit" }))).toThrow(
          expect.objectContaining({ code: "EEXIST" }),
        );
        on.host.routes.replace(route(one, { type: "prohibit" }));
        on.host.routes.replace(route(one, { type: "prohibit" }));
        expect(list()).toEqual([`prohibit ${one} 4096 -`]);
      });

      it(`of IPv${family} are removed by type, metric, link and protocol, and never another instead`, () => {
        const { hostIndex } = on.createPod();
        const unicast = route(one, { type: "unicast", metric: lowest, linkIndex: hostIndex });
        on.host.routes.add(route(one));
        on.host.routes.add(unicast);
        for (const other of [
          route(one, { type: "blackhole" }),
          route(one, { metric: 4097 }),
          route(one, { protocol: 4 }),
          route(one, { table: 4101 }),
          { ...unicast, linkIndex: 1 },
          { ...unicast, metric: 4096 },
        ]) {
          on.host.routes.remove(other);
        }
        expect(list()).toHaveLength(2);
        on.host.routes.remove(unicast);
        on.host.routes.remove(unicast);
        expect(list()).toEqual([`unreachable ${one} 4096 -`]);
      });

      it(`of IPv${family} whose type is the only one of their metric are removed, and no other`, () => {
        on.host.routes.add(route(one));
        on.host.routes.add(route(one, { type: "blackhole", metric: 8192 }));
        for (const other of [route(one, { metric: 4097 }), route(one, { protocol: 4 })])
          on.host.routes.remove(other, { soleType: true });
        expect(list()).toHaveLength(2);
        for (let times = 0; times < 2; times += 1) on.host.routes.remove(route(one), { soleType: true });
        expect(list()).toEqual([`blackhole ${one} 8192 -`]);
      });

      it(`of IPv${family} by a link go when it goes down, and the unreachable ones stay`, () => {
        const { hostIndex } = on.createPod();
        on.host.routes.add(route(one));
        on.host.routes.add(route(one, { type: "unicast", metric: lowest, linkIndex: hostIndex }));
        on.harness.setLinkDown("cw0");
        expect(list()).toEqual([`unreachable ${one} 4096 -`]);
        expect(on.host.links.find("cw0")?.up).toBe(false);
      });

      it(`of IPv${family} need a link that is there and up`, () => {
        on.createPair(on.harness.createNetns(), "cw1");
        const down = on.host.links.find("cw1")?.index ?? 0;
        const unicast = { type: "unicast", metric: lowest } as const;
        expect(() => on.host.routes.add(route(one, { ...unicast, linkIndex: 99 }))).toThrow(
          expect.objectContaining({ code: "ENODEV" }),
        );
        expect(() => on.host.routes.add(route(one, { ...unicast, linkIndex: down }))).toThrow(
          expect.objectContaining({ code: "ENETDOWN" }),
        );
      });
    }

    it("by a gateway need it to be covered, or on-link, and come back as they were given", () => {
      const { hostIndex } = on.createPod();
      const gateway = ip("169.254.1.1");
      const common = { type: "unicast", metric: 0, linkIndex: hostIndex, gateway } as const;
      expect(() => on.host.routes.add(route("0.0.0.0/0", common))).toThrow(
        expect.objectContaining({ code: "ENETUNREACH" }),
      );
      on.host.routes.add(route("0.0.0.0/0", { ...common, onLink: true }));
      expect(on.host.routes.list({ family: 4, table: 4100 })).toEqual([
        route("0.0.0.0/0", { ...common, onLink: true, scope: 0 }),
      ]);
    });

    it("prefer only an own address as source, and go with it", () => {
      const { hostIndex } = on.createPod();
      const preferredSource = ip("10.0.0.10");
      const unicast = { type: "unicast", metric: 0, linkIndex: hostIndex, preferredSource } as const;
      expect(() => on.host.routes.add(route("10.0.0.5/32", unicast))).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
      const address = { linkIndex: hostIndex, address: preferredSource, prefixLength: 32 };
      on.host.addresses.add(address);
      on.host.routes.add(route("10.0.0.5/32", unicast));
      expect(on.host.routes.list({ family: 4, table: 4100 })[0]?.preferredSource).toEqual(preferredSource);
      on.host.addresses.remove(address);
      expect(on.host.routes.list({ family: 4, table: 4100 })).toEqual([]);
    });
  });
}
