/** The rules of portmap's nftables backend, which Debian's portmap does not have yet: what a newer one made, loaded into a node of its own. */
import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { IpAddress } from "../../common/ip.ts";
import { listNftRules } from "../../common/kernel/firewall-listing.ts";
import { hostPortOwners } from "../../ipamd/host-ports.ts";
import { createNetns } from "./namespaces.ts";

const RECORDED = "test/fixtures/portmap/nftables-1.9.1.nft";
/** Of the first of its two containers. */
const OURS = ["10.0.0.5", "2001:db8:a::5"];

it("a container of ours is found by portmap's nft rules, and a stranger's is not", async () => {
  using node = createNetns();
  expect(await listNftRules("cni_hostport", { netnsPath: node.path })).toEqual([]);
  execFileSync("ip", ["netns", "exec", node.name, "nft", "-f", RECORDED]);
  const nft = await listNftRules("cni_hostport", { netnsPath: node.path });
  expect(nft).toContainEqual({
    family: 6,
    chain: "hostports",
    comment: "4c1a0f00aa01",
    dnatTo: IpAddress.parse("2001:db8:a::5"),
  });
  const owners = hostPortOwners({ xtables: [], nft }, (address) => OURS.includes(address.toString()));
  expect(owners).toEqual([{ containerId: "4c1a0f00aa01", backend: "nftables" }]);
});
