import { describe, expect, it } from "vitest";
import type { NftElement } from "../../../common/kernel/nft.ts";
import { testTable } from "../nft-table.ts";
import { cidr, ip, type KernelFixture } from "./fixture.ts";

const genuine = (link: string, address: string): NftElement => ({
  set: "genuine",
  link,
  address: ip(address),
});
const uplink = (unit: string, slot: number): NftElement => ({ set: "uplink", unit: cidr(unit), slot });
const printUnits = (elements: readonly NftElement[]) =>
  elements
    .map((element) =>
      element.set === "uplink" ? `${element.unit} ${element.slot}` : `${element.link} ${element.address}`,
    )
    .sort();

/** What Nft promises. */
export function describeNft(on: KernelFixture): void {
  describe("nft", () => {
    it("holds elements of both families, which may be added and removed twice", async () => {
      await on.kernel.nft.load(testTable);
      const elements = [genuine("cw0", "10.0.0.5"), genuine("cw0", "2001:db8::5"), uplink("10.0.0.0/28", 1)];
      const more = [uplink("10.0.0.16/28", 2), uplink("10.0.0.32/32", 2), uplink("2001:db8::/80", 1)];
      const add = [...elements, ...more].map((element) => ({ op: "add", element }) as const);
      on.kernel.nft.change(add);
      on.kernel.nft.change(add);
      expect(printUnits(on.kernel.nft.list("genuine"))).toEqual(["cw0 10.0.0.5", "cw0 2001:db8::5"]);
      expect(printUnits(on.kernel.nft.list("uplink"))).toEqual([
        "10.0.0.0/28 1",
        "10.0.0.16/28 2",
        "10.0.0.32/32 2",
        "2001:db8::/80 1",
      ]);
      const remove = [...elements, ...more].map((element) => ({ op: "remove", element }) as const);
      on.kernel.nft.change(remove.slice(0, 2));
      on.kernel.nft.change(remove);
      expect([...on.kernel.nft.list("genuine"), ...on.kernel.nft.list("uplink")]).toEqual([]);
    });

    it("moves a unit to another slot, up to the last address there is", async () => {
      await on.kernel.nft.load(testTable);
      for (const slot of [1, 2]) {
        on.kernel.nft.change([
          { op: "add", element: uplink("255.255.255.240/28", slot) },
          { op: "add", element: uplink("0.0.0.0/28", slot) },
        ]);
      }
      expect(printUnits(on.kernel.nft.list("uplink"))).toEqual(["0.0.0.0/28 2", "255.255.255.240/28 2"]);
    });

    it("changes all or nothing", async () => {
      await on.kernel.nft.load(testTable);
      on.kernel.nft.change([{ op: "add", element: uplink("10.0.0.0/24", 1) }]);
      const changes = [genuine("cw0", "10.0.0.5"), uplink("10.0.0.16/28", 2)].map(
        (element) => ({ op: "add", element }) as const,
      );
      expect(() => on.kernel.nft.change(changes)).toThrow(expect.objectContaining({ code: "EEXIST" }));
      expect(on.kernel.nft.list("genuine")).toEqual([]);
      expect(printUnits(on.kernel.nft.list("uplink"))).toEqual(["10.0.0.0/24 1"]);
    });

    it("is empty, and ENOENT to changes of either kind, without its table", async () => {
      expect(await on.kernel.nft.read()).toBeUndefined();
      expect(on.kernel.nft.list("genuine")).toEqual([]);
      expect(on.kernel.nft.list("uplink")).toEqual([]);
      expect(on.kernel.nft.counters()).toEqual(new Map());
      for (const op of ["add", "remove"] as const) {
        expect(() => on.kernel.nft.change([{ op, element: genuine("cw0", "10.0.0.5") }])).toThrow(
          expect.objectContaining({ code: "ENOENT" }),
        );
      }
    });

    it("refuses a script that is none in nft's words, and keeps the table as it was", async () => {
      await on.kernel.nft.load(testTable);
      const before = await on.kernel.nft.read();
      await expect(on.kernel.nft.load("table inet other-and-broken {")).rejects.toMatchObject({
        code: "nft-rejected",
      });
      expect(await on.kernel.nft.read()).toEqual(before);
      expect(on.kernel.nft.counters()).toEqual(
        new Map([
          ["router_advert", 0],
          ["spoofed", 0],
        ]),
      );
    });
  });
}
