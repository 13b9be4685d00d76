import { describe, expect, it } from "vitest";
import { parseMac } from "../../../common/ids.ts";
import { hostMac, type KernelFixture, podMac } from "./fixture.ts";

/** What Links promise. */
export function describeLinks(on: KernelFixture): void {
  describe("links", () => {
    it("are made as a pair, its ends down in two namespaces with the MACs and MTU given", () => {
      const path = on.harness.createNetns();
      const { hostIndex, podIndex } = on.createPair(path);
      const common = { mtuBytes: 1400, up: false, carries: false, group: 0, kind: "veth" };
      const hostEnd = { ...common, index: hostIndex, name: "cw0", mac: hostMac, peerIndex: podIndex };
      expect(on.host.links.find("cw0")).toEqual(hostEnd);
      expect(on.host.links.find(hostIndex)).toEqual(hostEnd);
      using netns = on.kernel.netns.open(path);
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

    it("change together, in order, and what was refused is thrown", () => {
      const { hostIndex } = on.createPair(on.harness.createNetns());
      on.host.together(() => {
        on.host.links.change(hostIndex, { alias: "first" });
        on.host.links.change(hostIndex, { alias: "second", up: true });
      });
      expect(on.host.links.find(hostIndex)).toMatchObject({ alias: "second", up: true });
      const refused = () =>
        on.host.together(() => {
          on.host.links.change(hostIndex, { alias: "third" });
          on.host.links.change(99_999, { up: true });
        });
      expect(refused).toThrow(expect.objectContaining({ code: "ENODEV" }));
      expect(on.host.links.find(hostIndex)).toMatchObject({ alias: "third" });
    });

    it("carry packets once both ends are up, and say so when asked", () => {
      const path = on.harness.createNetns();
      const { hostIndex, podIndex } = on.createPair(path);
      on.host.links.change(hostIndex, { up: true });
      expect(on.host.links.find(hostIndex)).toMatchObject({ up: true, carries: false });
      using netns = on.kernel.netns.open(path);
      netns.run(({ links }) => links.change(podIndex, { up: true }));
      expect(on.host.links.find(hostIndex)).toMatchObject({ up: true, carries: true });
    });

    it("are found at the far end of a pair, without its namespace, until they are gone", () => {
      const path = on.harness.createNetns();
      const { hostIndex, podIndex } = on.createPair(path);
      expect(on.host.links.findPeer(hostIndex)).toMatchObject({ index: podIndex, name: "eth0", mac: podMac });
      const mac = parseMac("0a:00:00:00:00:09");
      on.harness.setMac(path, "eth0", mac);
      expect(on.host.links.findPeer(hostIndex)?.mac).toBe(mac);
      expect(on.host.links.findPeer(1)).toBeUndefined();
      on.host.links.remove("cw0");
      expect(on.host.links.findPeer(hostIndex)).toBeUndefined();
    });

    it("leave nothing of a pair when either name is taken", () => {
      const path = on.harness.createNetns();
      on.createPair(path);
      expect(() => on.createPair(path, "cw1")).toThrow(expect.objectContaining({ code: "EEXIST" }));
      expect(on.host.links.find("cw1")).toBeUndefined();
      expect(() => on.createPair(path, "cw0", "eth1")).toThrow(expect.objectContaining({ code: "EEXIST" }));
      using netns = on.kernel.netns.open(path);
      netns.run(({ links }) => expect(links.find("eth1")).toBeUndefined());
    });

    it("refuse a name of 16 bytes, and a descriptor that is no namespace", () => {
      expect(() => on.createPair(on.harness.createNetns(), "cw34567890123456")).toThrow(
        expect.objectContaining({ code: "ERANGE" }),
      );
      const pair = { hostName: "cw0", hostMac, podName: "eth0", podMac, mtuBytes: 1400, podNetnsFd: 0 };
      expect(() => on.host.links.createPair(pair)).toThrow(expect.objectContaining({ code: "EINVAL" }));
      expect(on.host.links.find("cw34567890123456")).toBeUndefined();
    });

    it("keep an alias of 254 bytes, clear it, and refuse more", () => {
      on.createPair(on.harness.createNetns());
      const alias = "é".repeat(127);
      on.host.links.change("cw0", { alias });
      expect(on.host.links.find("cw0")?.alias).toBe(alias);
      expect(() => on.host.links.change("cw0", { alias: `${alias}x` })).toThrow(RangeError);
      on.host.links.change("cw0", { alias: "" });
      expect(on.host.links.find("cw0")).not.toHaveProperty("alias");
    });

    it("change in everything that is given and in nothing else", () => {
      const { hostIndex } = on.createPair(on.harness.createNetns());
      const mac = parseMac("0a:00:00:00:00:09");
      on.host.links.change("cw0", { name: "cw1", mac, mtuBytes: 1300, group: 4101, alias: "v1|x", up: true });
      expect(on.host.links.find(hostIndex)).toMatchObject({
        name: "cw1",
        mac,
        mtuBytes: 1300,
        group: 4101,
        alias: "v1|x",
        up: true,
      });
      on.host.links.change(hostIndex, { group: 0 });
      expect(on.host.links.find("cw1")).toMatchObject({ group: 0, alias: "v1|x", up: true });
    });

    it("are listed by kind, go in pairs, and are ENODEV afterwards", () => {
      const path = on.harness.createNetns();
      on.createPair(path);
      expect(on.host.links.list().map((link) => link.name)).toEqual(["lo", "cw0"]);
      expect(on.host.links.list("veth").map((link) => link.name)).toEqual(["cw0"]);
      on.host.links.remove("cw0");
      using netns = on.kernel.netns.open(path);
      netns.run(({ links }) => expect(links.find("eth0")).toBeUndefined());
      for (const act of [
        () => on.host.links.remove("cw0"),
        () => on.host.links.change("cw0", { up: true }),
        () => on.host.links.change("cw0", { name: "cw1" }),
      ]) {
        expect(act).toThrow(expect.objectContaining({ code: "ENODEV" }));
      }
    });
  });
}
