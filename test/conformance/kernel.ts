/**
 * What every Kernel promises, run by the one in memory and by the real one. A harness gives a fresh host namespace per test, and does
 * what other programs do.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseMac } from "../../common/ids.ts";
import { Cidr, type Family, IpAddress } from "../../common/ip.ts";
import type { LinkAddress } from "../../common/kernel/addresses.ts";
import type { KernelEvent } from "../../common/kernel/events.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import type { NetworkStack } from "../../common/kernel/netns.ts";
import type { NftElement } from "../../common/kernel/nft.ts";
import type { Route } from "../../common/kernel/routes.ts";
import type { Rule } from "../../common/kernel/rules.ts";
import { testTable } from "./nft-table.ts";

export type KernelHarness = {
  readonly kernel: Kernel;
  /** A new pod namespace; gives its path. */
  createNetns(): string;
  /** A file that is no namespace; gives its path. */
  createPlainFile(): string;
  destroyNetns(path: string): void;
  /** As another process would. */
  setLinkDown(name: string): void;
  deleteRule(family: Family, priority: number): void;
  deleteTable(): void;
  close(): Promise<void>;
};

const ip = IpAddress.parse;
const cidr = Cidr.parse;
const hostMac = parseMac("0a:00:00:00:00:01");
const podMac = parseMac("0a:00:00:00:00:02");
const route = (destination: string, rest: Partial<Route> = {}): Route => ({
  destination: cidr(destination),
  table: 4100,
  type: "unreachable",
  protocol: 197,
  metric: 4096,
  ...rest,
});
const genuine = (link: string, address: string): NftElement => ({
  set: "genuine",
  link,
  address: ip(address),
});
const uplink = (unit: string, slot: number): NftElement => ({ set: "uplink", unit: cidr(unit), slot });
const printRoutes = (routes: readonly Route[]) =>
  routes
    .map(({ type, destination, metric, linkIndex }) =>
      [type, destination, metric, linkIndex ?? "-"].join(" "),
    )
    .sort();
const printUnits = (elements: readonly NftElement[]) =>
  elements
    .map((element) =>
      element.set === "uplink" ? `${element.unit} ${element.slot}` : `${element.link} ${element.address}`,
    )
    .sort();

/** Declares the suite. */
export function describeKernel(name: string, createHarness: () => Promise<KernelHarness>): void {
  describe(name, () => {
    let harness: KernelHarness;
    let kernel: Kernel;
    let host: NetworkStack;

    beforeEach(async () => {
      harness = await createHarness();
      kernel = harness.kernel;
      host = kernel.host;
    });
    afterEach(() => harness.close());

    const createPair = (path: string, hostName = "cw0", podName = "eth0") => {
      using netns = kernel.netns.open(path);
      return host.links.createPair({
        hostName,
        hostMac,
        podName,
        podMac,
        mtuBytes: 1400,
        podNetnsFd: netns.fd,
      });
    };
    /** A pod's pair with the host's end up. */
    const createPod = (hostName = "cw0") => {
      const path = harness.createNetns();
      const { hostIndex } = createPair(path, hostName);
      host.links.change(hostIndex, { addrGenModeNone: true, up: true });
      return { path, hostIndex };
    };
    /** Collects events until one fits. */
    const eventsUntil = async (
      fits: (event: KernelEvent) => boolean,
      act: () => void,
    ): Promise<KernelEvent[]> => {
      const seen: KernelEvent[] = [];
      const { promise, resolve } = Promise.withResolvers<void>();
      using _ = kernel.events.subscribe((event) => {
        seen.push(event);
        if (fits(event)) resolve();
      });
      act();
      await promise;
      return seen;
    };

    describe("links", () => {
      it("are made as a pair, its ends down in two namespaces with the MACs and MTU given", () => {
        const path = harness.createNetns();
        const { hostIndex, podIndex } = createPair(path);
        const common = { mtuBytes: 1400, up: false, group: 0, kind: "veth" };
        const hostEnd = { ...common, index: hostIndex, name: "cw0", mac: hostMac, peerIndex: podIndex };
        expect(host.links.find("cw0")).toEqual(hostEnd);
        expect(host.links.find(hostIndex)).toEqual(hostEnd);
        using netns = kernel.netns.open(path);
        netns.run(({ links }) =>
          expect(links.find("eth0")).toEqual({
            ...common,
            index: podIndex,
            name: "eth0",
            mac: podMac,
            peerIndex: hostIndex,
          }),
        );
      });

      it("leave nothing of a pair when either name is taken", () => {
        const path = harness.createNetns();
        createPair(path);
        expect(() => createPair(path, "cw1")).toThrow(expect.objectContaining({ code: "EEXIST" }));
        expect(host.links.find("cw1")).toBeUndefined();
        expect(() => createPair(path, "cw0", "eth1")).toThrow(expect.objectContaining({ code: "EEXIST" }));
        using netns = kernel.netns.open(path);
        netns.run(({ links }) => expect(links.find("eth1")).toBeUndefined());
      });

      it("refuse a name of 16 bytes, and a descriptor that is no namespace", () => {
        expect(() => createPair(harness.createNetns(), "cw34567890123456")).toThrow(
          expect.objectContaining({ code: "ERANGE" }),
        );
        const pair = { hostName: "cw0", hostMac, podName: "eth0", podMac, mtuBytes: 1400, podNetnsFd: 0 };
        expect(() => host.links.createPair(pair)).toThrow(expect.objectContaining({ code: "EINVAL" }));
      });

      it("keep an alias of 254 bytes, clear it, and refuse more", () => {
        createPair(harness.createNetns());
        const alias = "é".repeat(127);
        host.links.change("cw0", { alias });
        expect(host.links.find("cw0")?.alias).toBe(alias);
        expect(() => host.links.change("cw0", { alias: `${alias}x` })).toThrow(RangeError);
        host.links.change("cw0", { alias: "" });
        expect(host.links.find("cw0")).not.toHaveProperty("alias");
      });

      it("change in everything that is given and in nothing else", () => {
        const { hostIndex } = createPair(harness.createNetns());
        const mac = parseMac("0a:00:00:00:00:09");
        host.links.change("cw0", { name: "cw1", mac, mtuBytes: 1300, group: 4101, alias: "v1|x", up: true });
        expect(host.links.find(hostIndex)).toMatchObject({
          name: "cw1",
          mac,
          mtuBytes: 1300,
          group: 4101,
          alias: "v1|x",
          up: true,
        });
        host.links.change(hostIndex, { group: 0 });
        expect(host.links.find("cw1")).toMatchObject({ group: 0, alias: "v1|x", up: true });
      });

      it("are listed by kind, go in pairs, and are ENODEV afterwards", () => {
        const path = harness.createNetns();
        createPair(path);
        expect(host.links.list().map((link) => link.name)).toEqual(["lo", "cw0"]);
        expect(host.links.list("veth").map((link) => link.name)).toEqual(["cw0"]);
        host.links.remove("cw0");
        using netns = kernel.netns.open(path);
        netns.run(({ links }) => expect(links.find("eth0")).toBeUndefined());
        for (const act of [
          () => host.links.remove("cw0"),
          () => host.links.change("cw0", { up: true }),
          () => host.links.change("cw0", { name: "cw1" }),
        ]) {
          expect(act).toThrow(expect.objectContaining({ code: "ENODEV" }));
        }
      });
    });

    describe("addresses and neighbours", () => {
      it("may be added and removed twice, and are listed by link with what they were given", () => {
        const { hostIndex } = createPod();
        const addresses: LinkAddress[] = [
          { linkIndex: hostIndex, address: ip("10.0.0.10"), prefixLength: 24, scope: 0, noPrefixRoute: true },
          {
            linkIndex: hostIndex,
            address: ip("fe80::c:1"),
            prefixLength: 64,
            scope: 253,
            noDad: true,
            noPrefixRoute: true,
          },
        ];
        for (const address of [...addresses, ...addresses]) host.addresses.add(address);
        expect(host.addresses.list(hostIndex)).toEqual(
          addresses.map((address) => ({ ...address, permanent: true })),
        );
        for (const address of [...addresses, ...addresses]) host.addresses.remove(address);
        expect(host.addresses.list(hostIndex)).toEqual([]);
      });

      it("are ENODEV on a link that is not there, gone from it, and not found on it", () => {
        const address = { linkIndex: 99, address: ip("10.0.0.10"), prefixLength: 32 };
        expect(() => host.addresses.add(address)).toThrow(expect.objectContaining({ code: "ENODEV" }));
        host.addresses.remove(address);
        expect(host.addresses.list(99)).toEqual([]);
        const neighbour = { linkIndex: 99, address: ip("10.0.0.10"), mac: podMac };
        expect(() => host.neighbours.set(neighbour)).toThrow(expect.objectContaining({ code: "ENODEV" }));
        host.neighbours.remove(neighbour);
        expect(host.neighbours.list(99)).toEqual([]);
      });

      it("are refused with EACCES where IPv6 is disabled", () => {
        const { hostIndex } = createPod();
        host.sysctl.set("net/ipv6/conf/cw0/disable_ipv6", "1");
        const address = { linkIndex: hostIndex, address: ip("2001:db8::1"), prefixLength: 128 };
        expect(() => host.addresses.add(address)).toThrow(expect.objectContaining({ code: "EACCES" }));
      });

      it("take a neighbour's new MAC in place of the old, and forget it twice", () => {
        const { hostIndex } = createPod();
        for (const address of ["10.0.0.5", "2001:db8::5"].map(ip)) {
          host.neighbours.set({ linkIndex: hostIndex, address, mac: hostMac });
          host.neighbours.set({ linkIndex: hostIndex, address, mac: podMac });
        }
        expect(host.neighbours.list(hostIndex).map(({ address, mac }) => `${address} ${mac}`)).toEqual([
          `10.0.0.5 ${podMac}`,
          `2001:db8::5 ${podMac}`,
        ]);
        const first = { linkIndex: hostIndex, address: ip("10.0.0.5") };
        host.neighbours.remove(first);
        host.neighbours.remove(first);
        expect(host.neighbours.list(hostIndex).map(({ address }) => `${address}`)).toEqual(["2001:db8::5"]);
      });
    });

    describe("routes", () => {
      const families = [
        { family: 4 as const, one: "10.0.0.5/32", block: "10.0.0.0/28", lowest: 0 },
        { family: 6 as const, one: "2001:db8::5/128", block: "2001:db8::/80", lowest: 1024 },
      ];
      for (const { family, one, block, lowest } of families) {
        const list = () => printRoutes(host.routes.list({ family, table: 4100 }));

        it(`of IPv${family} of every type lie over each other and may be added twice`, () => {
          const { hostIndex } = createPod();
          const routes = [
            route(block, { type: "blackhole", metric: 8192 }),
            route(one),
            route(one, { type: "prohibit", metric: 8192 }),
            route(one, { type: "unicast", metric: lowest, linkIndex: hostIndex }),
          ];
          for (const each of [...routes, ...routes]) host.routes.add(each);
          expect(list()).toEqual([
            `blackhole ${block} 8192 -`,
            `prohibit ${one} 8192 -`,
            `unicast ${one} ${lowest} ${hostIndex}`,
            `unreachable ${one} 4096 -`,
          ]);
          expect(host.routes.list({ family, table: 4100, protocol: 4 })).toEqual([]);
          expect(host.routes.list({ family, table: 9999 })).toEqual([]);
        });

        it(`of IPv${family} that differ do not share a place, unless replaced`, () => {
          host.routes.add(route(one));
          expect(() => host.routes.add(route(one, { type: "prohibit" }))).toThrow(
            expect.objectContaining({ code: "EEXIST" }),
          );
          host.routes.replace(route(one, { type: "prohibit" }));
          host.routes.replace(route(one, { type: "prohibit" }));
          expect(list()).toEqual([`prohibit ${one} 4096 -`]);
        });

        it(`of IPv${family} are removed by type, metric, link and protocol, and never another instead`, () => {
          const { hostIndex } = createPod();
          const unicast = route(one, { type: "unicast", metric: lowest, linkIndex: hostIndex });
          host.routes.add(route(one));
          host.routes.add(unicast);
          for (const other of [
            route(one, { type: "blackhole" }),
            route(one, { metric: 4097 }),
            route(one, { protocol: 4 }),
            route(one, { table: 4101 }),
            { ...unicast, linkIndex: 1 },
            { ...unicast, metric: 4096 },
          ]) {
            host.routes.remove(other);
          }
          expect(list()).toHaveLength(2);
          host.routes.remove(unicast);
          host.routes.remove(unicast);
          expect(list()).toEqual([`unreachable ${one} 4096 -`]);
        });

        it(`of IPv${family} by a link go when it goes down, and the unreachable ones stay`, () => {
          const { hostIndex } = createPod();
          host.routes.add(route(one));
          host.routes.add(route(one, { type: "unicast", metric: lowest, linkIndex: hostIndex }));
          harness.setLinkDown("cw0");
          expect(list()).toEqual([`unreachable ${one} 4096 -`]);
          expect(host.links.find("cw0")?.up).toBe(false);
        });

        it(`of IPv${family} need a link that is there and up`, () => {
          createPair(harness.createNetns(), "cw1");
          const down = host.links.find("cw1")?.index ?? 0;
          const unicast = { type: "unicast", metric: lowest } as const;
          expect(() => host.routes.add(route(one, { ...unicast, linkIndex: 99 }))).toThrow(
            expect.objectContaining({ code: "ENODEV" }),
          );
          expect(() => host.routes.add(route(one, { ...unicast, linkIndex: down }))).toThrow(
            expect.objectContaining({ code: "ENETDOWN" }),
          );
        });
      }

      it("by a gateway need it to be covered, or on-link, and come back as they were given", () => {
        const { hostIndex } = createPod();
        const gateway = ip("169.254.1.1");
        const common = { type: "unicast", metric: 0, linkIndex: hostIndex, gateway } as const;
        expect(() => host.routes.add(route("0.0.0.0/0", common))).toThrow(
          expect.objectContaining({ code: "ENETUNREACH" }),
        );
        host.routes.add(route("0.0.0.0/0", { ...common, onLink: true }));
        expect(host.routes.list({ family: 4, table: 4100 })).toEqual([
          route("0.0.0.0/0", { ...common, onLink: true, scope: 0 }),
        ]);
      });

      it("prefer only an own address as source, and go with it", () => {
        const { hostIndex } = createPod();
        const preferredSource = ip("10.0.0.10");
        const unicast = { type: "unicast", metric: 0, linkIndex: hostIndex, preferredSource } as const;
        expect(() => host.routes.add(route("10.0.0.5/32", unicast))).toThrow(
          expect.objectContaining({ code: "EINVAL" }),
        );
        const address = { linkIndex: hostIndex, address: preferredSource, prefixLength: 32 };
        host.addresses.add(address);
        host.routes.add(route("10.0.0.5/32", unicast));
        expect(host.routes.list({ family: 4, table: 4100 })[0]?.preferredSource).toEqual(preferredSource);
        host.addresses.remove(address);
        expect(host.routes.list({ family: 4, table: 4100 })).toEqual([]);
      });
    });

    describe("rules", () => {
      const shapes: Omit<Rule, "family">[] = [
        { priority: 400, table: 4100, protocol: 197, inLink: "cw0" },
        { priority: 402, table: 4100, protocol: 197 },
        { priority: 403, table: 254, protocol: 197, suppressPrefixLength: 0, suppressLinkGroup: 4100 },
        { priority: 404, table: 4101, protocol: 197, mark: { value: 0x100, mask: 0x1f00 } },
        { priority: 404, table: 4102, protocol: 197, mark: { value: 0x200, mask: 0x1f00 } },
      ];
      for (const family of [4, 6] as const) {
        const own = () => host.rules.list(family).filter((rule) => rule.protocol === 197);
        const [from, to] =
          family === 4 ? ["10.0.0.20/32", "10.1.0.0/16"] : ["2001:db8::20/128", "2001:db8:1::/48"];
        const rules: Rule[] = [
          ...shapes.map((shape) => ({ ...shape, family })),
          { family, priority: 405, table: 4102, protocol: 197, from: cidr(from), to: cidr(to) },
        ];

        it(`of IPv${family} of every shape come back as given, and may be added and removed twice`, () => {
          for (const rule of [...rules, ...rules]) host.rules.add(rule);
          expect(own()).toEqual(rules);
          for (const rule of [...rules, ...rules]) host.rules.remove(rule);
          expect(own()).toEqual([]);
          expect(host.rules.list(family).length).toBeGreaterThanOrEqual(2);
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
          host.rules.add(marked);
          host.rules.remove(plain);
          expect(own()).toEqual([marked]);
        });
      }
    });

    describe("sysctls", () => {
      it("are read and written by path, of links too", () => {
        createPair(harness.createNetns());
        const path = "net/ipv4/conf/cw0/rp_filter";
        host.sysctl.set(path, "2");
        host.sysctl.set(path, "2");
        expect(host.sysctl.get(path)).toBe("2");
      });

      it("are undefined or ENOENT where there is none, and EINVAL for a wrong value", () => {
        const path = "net/ipv4/conf/none0/rp_filter";
        expect(host.sysctl.get(path)).toBeUndefined();
        expect(() => host.sysctl.set(path, "1")).toThrow(expect.objectContaining({ code: "ENOENT" }));
        expect(() => host.sysctl.set("net/ipv4/ip_forward", "yes")).toThrow(
          expect.objectContaining({ code: "EINVAL" }),
        );
      });
    });

    describe("namespaces", () => {
      it("that are gone, or are none, are told apart", () => {
        const path = harness.createNetns();
        harness.destroyNetns(path);
        expect(() => kernel.netns.open(path)).toThrow(expect.objectContaining({ code: "netns-gone" }));
        const file = harness.createPlainFile();
        expect(() => kernel.netns.open(file)).toThrow(expect.objectContaining({ code: "not-a-netns" }));
      });

      it("have an id of their own, and keep their sysctls apart from the host's", () => {
        const path = harness.createNetns();
        using first = kernel.netns.open(path);
        using again = kernel.netns.open(path);
        using other = kernel.netns.open(harness.createNetns());
        expect(again.id).toBe(first.id);
        expect(new Set([first.id, other.id, kernel.netns.hostId]).size).toBe(3);
        first.run(({ sysctl }) => sysctl.set("net/ipv4/ip_forward", "1"));
        expect(host.sysctl.get("net/ipv4/ip_forward")).toBe("0");
        first.run(({ sysctl }) => expect(sysctl.get("net/ipv4/ip_forward")).toBe("1"));
      });

      it("give a stack that cannot be used afterwards", () => {
        using netns = kernel.netns.open(harness.createNetns());
        const stack = netns.run((inside) => inside);
        expect(() => stack.links.find("lo")).toThrow(expect.objectContaining({ code: "EBADF" }));
      });

      it("take the host's link along when they end, tell it, and leave unreachable routes", async () => {
        const { path, hostIndex } = createPod();
        host.routes.add(route("10.0.0.5/32"));
        host.routes.add(route("10.0.0.5/32", { type: "unicast", metric: 0, linkIndex: hostIndex }));
        const seen = await eventsUntil(
          (event) => event.kind === "link" && event.change === "gone",
          () => harness.destroyNetns(path),
        );
        expect(seen.at(-1)).toMatchObject({ link: { name: "cw0", index: hostIndex } });
        expect(host.links.find("cw0")).toBeUndefined();
        expect(printRoutes(host.routes.list({ family: 4, table: 4100 }))).toEqual([
          "unreachable 10.0.0.5/32 4096 -",
        ]);
      });
    });

    describe("nft", () => {
      it("holds elements of both families, which may be added and removed twice", async () => {
        await kernel.nft.load(testTable);
        const elements = [
          genuine("cw0", "10.0.0.5"),
          genuine("cw0", "2001:db8::5"),
          uplink("10.0.0.0/28", 1),
        ];
        const more = [uplink("10.0.0.16/28", 2), uplink("10.0.0.32/32", 2), uplink("2001:db8::/80", 1)];
        const add = [...elements, ...more].map((element) => ({ op: "add", element }) as const);
        kernel.nft.change(add);
        kernel.nft.change(add);
        expect(printUnits(kernel.nft.list("genuine"))).toEqual(["cw0 10.0.0.5", "cw0 2001:db8::5"]);
        expect(printUnits(kernel.nft.list("uplink"))).toEqual([
          "10.0.0.0/28 1",
          "10.0.0.16/28 2",
          "10.0.0.32/32 2",
          "2001:db8::/80 1",
        ]);
        const remove = [...elements, ...more].map((element) => ({ op: "remove", element }) as const);
        kernel.nft.change(remove.slice(0, 2));
        kernel.nft.change(remove);
        expect([...kernel.nft.list("genuine"), ...kernel.nft.list("uplink")]).toEqual([]);
      });

      it("moves a unit to another slot, up to the last address there is", async () => {
        await kernel.nft.load(testTable);
        for (const slot of [1, 2]) {
          kernel.nft.change([
            { op: "add", element: uplink("255.255.255.240/28", slot) },
            { op: "add", element: uplink("0.0.0.0/28", slot) },
          ]);
        }
        expect(printUnits(kernel.nft.list("uplink"))).toEqual(["0.0.0.0/28 2", "255.255.255.240/28 2"]);
      });

      it("changes all or nothing", async () => {
        await kernel.nft.load(testTable);
        kernel.nft.change([{ op: "add", element: uplink("10.0.0.0/24", 1) }]);
        const changes = [genuine("cw0", "10.0.0.5"), uplink("10.0.0.16/28", 2)].map(
          (element) => ({ op: "add", element }) as const,
        );
        expect(() => kernel.nft.change(changes)).toThrow(expect.objectContaining({ code: "EEXIST" }));
        expect(kernel.nft.list("genuine")).toEqual([]);
        expect(printUnits(kernel.nft.list("uplink"))).toEqual(["10.0.0.0/24 1"]);
      });

      it("is empty, and ENOENT to changes of either kind, without its table", async () => {
        expect(await kernel.nft.read()).toBeUndefined();
        expect(kernel.nft.list("genuine")).toEqual([]);
        expect(kernel.nft.list("uplink")).toEqual([]);
        expect(kernel.nft.counters()).toEqual(new Map());
        for (const op of ["add", "remove"] as const) {
          expect(() => kernel.nft.change([{ op, element: genuine("cw0", "10.0.0.5") }])).toThrow(
            expect.objectContaining({ code: "ENOENT" }),
          );
        }
      });

      it("refuses a script that is none in nft's words, and keeps the table as it was", async () => {
        await kernel.nft.load(testTable);
        const before = await kernel.nft.read();
        await expect(kernel.nft.load("table inet other-and-broken {")).rejects.toMatchObject({
          code: "nft-rejected",
        });
        expect(await kernel.nft.read()).toEqual(before);
        expect(kernel.nft.counters()).toEqual(
          new Map([
            ["router_advert", 0],
            ["spoofed", 0],
          ]),
        );
      });
    });

    describe("slow work", () => {
      it("removes the links of a group that are ours, once, and takes others out of it", async () => {
        for (const name of ["cw0", "cw1", "br0"]) {
          createPair(harness.createNetns(), name);
          host.links.change(name, { group: 4101 });
        }
        expect(await kernel.slow.removeLinkGroup(4101, "cw")).toEqual({ removed: 2 });
        expect(await kernel.slow.removeLinkGroup(4101, "cw")).toEqual({ removed: 0 });
        expect(host.links.list("veth").map(({ name, group }) => [name, group])).toEqual([["br0", 0]]);
        await expect(kernel.slow.removeLinkGroup(0, "cw")).rejects.toThrow();
      });

      it("forgets no connection where there is none", async () => {
        expect(await kernel.slow.forgetConnections(["10.0.0.5", "2001:db8::5"].map(ip))).toEqual({
          removed: 0,
        });
      });
    });

    describe("events", () => {
      it("tell what others do and not what we do", async () => {
        const rule: Rule = { family: 6, priority: 402, table: 4100, protocol: 197 };
        await kernel.nft.load(testTable);
        const seen = await eventsUntil(
          (event) => event.kind === "nft",
          () => {
            const { hostIndex } = createPod();
            host.routes.add(route("10.0.0.5/32", { type: "unicast", metric: 0, linkIndex: hostIndex }));
            host.routes.add(route("10.0.0.5/32"));
            host.rules.add({ ...rule, family: 4 });
            host.rules.add(rule);
            kernel.nft.change([{ op: "add", element: genuine("cw0", "10.0.0.5") }]);
            harness.deleteRule(6, 402);
            harness.deleteTable();
          },
        );
        // the kernel itself tells of the link's carrier
        const others = seen.filter((event) => event.kind !== "link" && event.kind !== "address");
        expect(others).toEqual([
          { kind: "rule", change: "gone", family: 6, rule },
          expect.objectContaining({ kind: "nft", processName: expect.any(String) }),
        ]);
      });
    });
  });
}
