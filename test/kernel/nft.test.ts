import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cidr, IpAddress } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import type { NftChange } from "../../common/kernel/nft.ts";
import { isAbsent } from "../../common/kernel/nft-program.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { testTable } from "../conformance/nft-table.ts";
import { createNetns, type TestNetns } from "./namespaces.ts";

let host: TestNetns;
let kernel: Kernel;

beforeEach(async () => {
  host = createNetns();
  kernel = await openKernel({ netnsPath: host.path });
});
afterEach(async () => {
  await kernel.close();
  host.destroy();
});

const add = (unit: string, slot: number): NftChange => ({
  op: "add",
  element: { set: "uplink", unit: Cidr.parse(unit), slot },
});
const remove = (unit: string): NftChange => ({ ...add(unit, 1), op: "remove" });

/** The elements that nft prints of a set or map, in one line each. */
function elements(kind: "set" | "map", name: string): string[] {
  const text = host.exec(`nft list ${kind} inet causeway ${name}`);
  const [, list = ""] = /elements = \{([^}]*)\}/.exec(text) ?? [];
  return list
    .split(",")
    .map((element) => element.trim().replaceAll(/\s+/g, " "))
    .filter((element) => element !== "");
}

describe("NetlinkNft, read by nft", () => {
  it("keeps the unit map and the unit set in step, neighbours and the last block included", async () => {
    await kernel.nft.load(testTable);
    kernel.nft.change([
      add("10.0.0.0/28", 1),
      add("10.0.0.16/28", 2),
      add("10.0.0.32/32", 1),
      add("255.255.255.240/28", 2),
      add("2001:db8:1::/80", 1),
      add("2001:db8:1:0:1::/80", 2),
    ]);
    kernel.nft.change([add("10.0.0.16/28", 1), remove("10.0.0.0/28"), remove("10.0.0.64/28")]);
    expect(elements("map", "uplink4")).toEqual([
      "10.0.0.16/28 : goto use-1",
      "10.0.0.32 : goto use-1",
      "255.255.255.240/28 : goto use-2",
    ]);
    expect(elements("set", "units4")).toEqual(["10.0.0.16/28", "10.0.0.32", "255.255.255.240/28"]);
    expect(elements("map", "uplink6")).toEqual([
      "2001:db8:1::/80 : goto use-1",
      "2001:db8:1:0:1::/80 : goto use-2",
    ]);
    expect(elements("set", "units6")).toEqual(["2001:db8:1::/80", "2001:db8:1:0:1::/80"]);
  });

  it("reads what nft wrote, in one range or several", async () => {
    await kernel.nft.load(testTable);
    host.exec("nft add element inet causeway uplink4 {10.0.0.0/28:goto use-1,10.0.1.0-10.0.1.47:goto use-2}");
    host.exec('nft add element inet causeway genuine6 {"cw0" . 2001:db8::5}');
    const units = kernel.nft
      .list("uplink")
      .map((element) => element.set === "uplink" && `${element.unit} ${element.slot}`);
    expect(units).toEqual(["10.0.0.0/28 1", "10.0.1.0/27 2", "10.0.1.32/28 2"]);
    expect(kernel.nft.list("genuine")).toEqual([
      { set: "genuine", link: "cw0", address: IpAddress.parse("2001:db8::5") },
    ]);
  });

  it("takes a thousand elements in one change", async () => {
    await kernel.nft.load(testTable);
    const changes = [...Cidr.parse("10.4.0.0/22").addresses()].map(
      (address, index): NftChange => ({
        op: "add",
        element: { set: "genuine", link: `cw${index}`, address },
      }),
    );
    kernel.nft.change(changes);
    kernel.nft.change(changes);
    expect(elements("set", "genuine4")).toHaveLength(1024);
    expect(kernel.nft.list("genuine")).toHaveLength(1024);
    kernel.nft.change(changes.map((change) => ({ ...change, op: "remove" })));
    expect(elements("set", "genuine4")).toEqual([]);
    // nothing of it is there any more: a thousand refusals in one answer
    kernel.nft.change(changes.map((change) => ({ ...change, op: "remove" })));
  });

  it("counts what rules count, and reads the table in nft's JSON", async () => {
    await kernel.nft.load(testTable);
    host.exec("nft add chain inet causeway o {type filter hook output priority 0;}");
    host.exec("nft add rule inet causeway o icmp type echo-request counter name spoofed");
    host.exec("ping -c 2 -i 0.01 -W 1 127.0.0.1");
    expect(kernel.nft.counters()).toEqual(
      new Map([
        ["router_advert", 0],
        ["spoofed", 2],
      ]),
    );
    const table = await kernel.nft.read();
    expect(table).toMatchObject({
      nftables: expect.arrayContaining([
        expect.objectContaining({ map: expect.objectContaining({ name: "uplink4" }) }),
      ]),
    });
    // stateless: reading twice gives the same, whatever was counted between
    host.exec("ping -c 1 -W 1 127.0.0.1");
    expect(await kernel.nft.read()).toEqual(table);
  });

  it("reads the same from a table that was laid down again", async () => {
    await kernel.nft.load(testTable);
    const table = await kernel.nft.read();
    await kernel.nft.load(`delete table inet causeway\n${testTable}`);
    expect(await kernel.nft.read()).toEqual(table);
  });

  it("takes only nft's own word for an absent table, not the same words elsewhere", () => {
    expect(
      isAbsent("Error: No such file or directory\nlist table inet causeway\n                ^^^^^^^^\n"),
    ).toBe(true);
    expect(isAbsent("Error: Could not process rule: No such file or directory\n")).toBe(false);
    expect(isAbsent("nsenter: cannot open /run/netns/x: No such file or directory\n")).toBe(false);
  });
});
