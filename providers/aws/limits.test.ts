import { describe, expect, it } from "vitest";
import { readCapabilities } from "./limits.ts";

describe("readCapabilities()", () => {
  it("takes one slot of each family for the interface itself", () => {
    const capabilities = readCapabilities({
      NetworkInfo: {
        MaximumNetworkInterfaces: 3,
        Ipv4AddressesPerInterface: 10,
        Ipv6AddressesPerInterface: 10,
        Ipv6Supported: true,
      },
    });
    expect(capabilities.unitsPerInterface).toEqual({ 4: 9, 6: 10 });
    expect(capabilities.cards).toEqual([{ index: 0, interfacesMax: 3 }]);
  });

  it("offers blocks on Nitro only, and no IPv6 where there is none", () => {
    const old = readCapabilities({ Hypervisor: "xen", NetworkInfo: { Ipv6Supported: false } });
    expect(old.unitLengths).toEqual({ 4: [32], 6: [128] });
    expect(old.unitsPerInterface[6]).toBe(0);
    expect(readCapabilities({ Hypervisor: "nitro" }).unitLengths).toEqual({ 4: [32, 28], 6: [128, 80] });
  });

  it("skips cards without room or for other traffic, and says why", () => {
    const { cards, skippedCards } = readCapabilities({
      NetworkInfo: {
        NetworkCards: [
          { NetworkCardIndex: 0, MaximumNetworkInterfaces: 8, InterfaceTypes: ["interface", "efa"] },
          { NetworkCardIndex: 1, MaximumNetworkInterfaces: 0 },
          { NetworkCardIndex: 2, MaximumNetworkInterfaces: 1, InterfaceTypes: ["efa-only"] },
        ],
      },
    });
    expect(cards).toEqual([{ index: 0, interfacesMax: 8 }]);
    expect(skippedCards.map((card) => card.index)).toEqual([1, 2]);
    expect(skippedCards[1]?.reason).toContain("efa-only");
  });

  it.each([
    ["no list of cards", { NetworkInfo: { MaximumNetworkInterfaces: 4 } }, 4],
    ["an empty list", { NetworkInfo: { MaximumNetworkInterfaces: 4, NetworkCards: [] } }, 4],
    ["a card without its number", { NetworkInfo: { NetworkCards: [{ MaximumNetworkInterfaces: 4 }] } }, 4],
    ["nothing at all", {}, 1],
  ])("aws-72: takes an answer with %s for one card", (_, info, interfacesMax) => {
    expect(readCapabilities(info).cards).toEqual([{ index: 0, interfacesMax }]);
  });
});
