import { describe, expect, it } from "vitest";
import { parseMac } from "../../../common/ids.ts";
import type { KernelEvent } from "../../../common/kernel/events.ts";
import type { NftElement } from "../../../common/kernel/nft.ts";
import type { Rule } from "../../../common/kernel/rules.ts";
import { testTable } from "../nft-table.ts";
import { ip, type KernelFixture, route } from "./fixture.ts";

const genuine = (link: string, address: string): NftElement => ({
  set: "genuine",
  link,
  address: ip(address),
});

/** What KernelEvents promise. */
export function describeEvents(on: KernelFixture): void {
  describe("events", () => {
    it("tell what others do and not what we do", async () => {
      const rule: Rule = { family: 6, priority: 402, table: 4100, protocol: 197 };
      await on.kernel.nft.load(testTable);
      const seen = await on.eventsUntil(
        (event) => event.kind === "nft",
        () => {
          const { hostIndex } = on.createPod();
          on.host.routes.add(route("10.0.0.5/32", { type: "unicast", metric: 0, linkIndex: hostIndex }));
          on.host.routes.add(route("10.0.0.5/32"));
          on.host.rules.add({ ...rule, family: 4 });
          on.host.rules.add(rule);
          on.kernel.nft.change([{ op: "add", element: genuine("cw0", "10.0.0.5") }]);
          on.harness.deleteRule(6, 402);
          on.harness.deleteTable();
        },
      );
      // the kernel itself tells of the link's carrier and parameters, and of far ends whoever sets them
      const theKernels: readonly KernelEvent["kind"][] = ["link", "address", "parameter", "peer"];
      const others = seen.filter((event) => !theKernels.includes(event.kind));
      expect(others).toEqual([
        { kind: "rule", change: "gone", family: 6, rule },
        expect.objectContaining({ kind: "nft", processName: expect.any(String) }),
      ]);
    });

    it("tell of a pair's far end that is set in its own namespace", async () => {
      const { path, hostIndex } = on.createPod();
      const mac = parseMac("02:42:0a:3c:00:99");
      const seen = await on.eventsUntil(
        (event) => event.kind === "peer" && event.link?.mac === mac,
        () => on.harness.setMac(path, "eth0", mac),
      );
      const { link } = seen.findLast((event) => event.kind === "peer") ?? {};
      expect(link).toMatchObject({ name: "eth0", mac, peerIndex: hostIndex });
    });
  });
}
