import { describe, expect, it } from "vitest";
import type { LinkAddress } from "../../../common/kernel/addresses.ts";
import { hostMac, ip, type KernelFixture, podMac } from "./fixture.ts";

/** What Addresses and Neighbours promise. */
export function describeAddresses(on: KernelFixture): void {
  describe("addresses and neighbours", () => {
    it("may be added and removed twice, and are listed by link with what they were given", () => {
      const { hostIndex } = on.createPod();
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
      for (const address of [...addresses, ...addresses]) on.host.addresses.add(address);
      expect(on.host.addresses.list(hostIndex)).toEqual(
        addresses.map((address) => ({ ...address, permanent: true })),
      );
      for (const address of [...addresses, ...addresses]) on.host.addresses.remove(address);
      expect(on.host.addresses.list(hostIndex)).toEqual([]);
    });

    it("are ENODEV on a link that is not there, gone from it, and not found on it", () => {
      const address = { linkIndex: 99, address: ip("10.0.0.10"), prefixLength: 32 };
      expect(() => on.host.addresses.add(address)).toThrow(expect.objectContaining({ code: "ENODEV" }));
      on.host.addresses.remove(address);
      expect(on.host.addresses.list(99)).toEqual([]);
      const neighbour = { linkIndex: 99, address: ip("10.0.0.10"), mac: podMac };
      expect(() => on.host.neighbours.set(neighbour)).toThrow(expect.objectContaining({ code: "ENODEV" }));
      on.host.neighbours.remove(neighbour);
      expect(on.host.neighbours.list(99)).toEqual([]);
    });

    it("are refused with EACCES where IPv6 is disabled", () => {
      const { hostIndex } = on.createPod();
      on.host.sysctl.set("net/ipv6/conf/cw0/disable_ipv6", "1");
      const address = { linkIndex: hostIndex, address: ip("2001:db8::1"), prefixLength: 128 };
      expect(() => on.host.addresses.add(address)).toThrow(expect.objectContaining({ code: "EACCES" }));
    });

    it("take a neighbour's new MAC in place of the old, and forget it twice", () => {
      const { hostIndex } = on.createPod();
      for (const address of ["10.0.0.5", "2001:db8::5"].map(ip)) {
        on.host.neighbours.set({ linkIndex: hostIndex, address, mac: hostMac });
        on.host.neighbours.set({ linkIndex: hostIndex, address, mac: podMac });
      }
      expect(on.host.neighbours.list(hostIndex).map(({ address, mac }) => `${address} ${mac}`)).toEqual([
        `10.0.0.5 ${podMac}`,
        `2001:db8::5 ${podMac}`,
      ]);
      const first = { linkIndex: hostIndex, address: ip("10.0.0.5") };
      on.host.neighbours.remove(first);
      on.host.neighbours.remove(first);
      expect(on.host.neighbours.list(hostIndex).map(({ address }) => `${address}`)).toEqual(["2001:db8::5"]);
    });
  });
}
