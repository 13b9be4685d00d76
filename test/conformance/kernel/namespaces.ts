import { describe, expect, it } from "vitest";
import { ip, type KernelFixture, printRoutes, route } from "./fixture.ts";

/** What Netns and SlowKernel promise. */
export function describeNamespaces(on: KernelFixture): void {
  describe("namespaces", () => {
    it("that are gone, or are none, are told apart", () => {
      const path = on.harness.createNetns();
      on.harness.destroyNetns(path);
      expect(() => on.kernel.netns.open(path)).toThrow(expect.objectContaining({ code: "netns-gone" }));
      const file = on.harness.createPlainFile();
      expect(() => on.kernel.netns.open(file)).toThrow(expect.objectContaining({ code: "not-a-netns" }));
    });

    it("have an id of their own, and keep their sysctls apart from the host's", () => {
      const path = on.harness.createNetns();
      using first = on.kernel.netns.open(path);
      using again = on.kernel.netns.open(path);
      using other = on.kernel.netns.open(on.harness.createNetns());
      expect(again.id).toBe(first.id);
      expect(new Set([first.id, other.id, on.kernel.netns.hostId]).size).toBe(3);
      first.run(({ sysctl }) => sysctl.set("net/ipv4/ip_forward", "1"));
      expect(on.host.sysctl.get("net/ipv4/ip_forward")).toBe("0");
      first.run(({ sysctl }) => expect(sysctl.get("net/ipv4/ip_forward")).toBe("1"));
    });

    it("give a stack that cannot be used afterwards", () => {
      using netns = on.kernel.netns.open(on.harness.createNetns());
      const stack = netns.run((inside) => inside);
      expect(() => stack.links.find("lo")).toThrow(expect.objectContaining({ code: "EBADF" }));
    });

    it("take the host's link along when they end, tell it, and leave unreachable routes", async () => {
      const { path, hostIndex } = on.createPod();
      on.host.routes.add(route("10.0.0.5/32"));
      on.host.routes.add(route("10.0.0.5/32", { type: "unicast", metric: 0, linkIndex: hostIndex }));
      const seen = await on.eventsUntil(
        (event) => event.kind === "link" && event.change === "gone",
        () => on.harness.destroyNetns(path),
      );
      expect(seen.at(-1)).toMatchObject({ link: { name: "cw0", index: hostIndex } });
      expect(on.host.links.find("cw0")).toBeUndefined();
      expect(printRoutes(on.host.routes.list({ family: 4, table: 4100 }))).toEqual([
        "unreachable 10.0.0.5/32 4096 -",
      ]);
    });
  });

  describe("slow work", () => {
    it("removes the links of a group that are ours, once, and takes others out of it", async () => {
      for (const name of ["cw0", "cw1", "br0"]) {
        on.createPair(on.harness.createNetns(), name);
        on.host.links.change(name, { group: 4101 });
      }
      expect(await on.kernel.slow.removeLinkGroup(4101, "cw")).toEqual({ removed: 2 });
      expect(await on.kernel.slow.removeLinkGroup(4101, "cw")).toEqual({ removed: 0 });
      expect(on.host.links.list("veth").map(({ name, group }) => [name, group])).toEqual([["br0", 0]]);
      await expect(on.kernel.slow.removeLinkGroup(0, "cw")).rejects.toThrow();
    });

    it("forgets no connection where there is none", async () => {
      expect(await on.kernel.slow.forgetConnections(["10.0.0.5", "2001:db8::5"].map(ip))).toEqual({
        removed: 0,
      });
    });
  });
}
