/** What a survey of a host finds, on the real kernel. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cidr } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { previewNft } from "../../common/kernel/nft-preview.ts";
import { missingPrograms } from "../../common/kernel/processes.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { ProgramXtables } from "../../common/kernel/xtables.ts";
import { findProblems } from "../../ipamd/host-network/problems.ts";
import { HostSurvey } from "../../ipamd/host-network/survey.ts";
import { heldRoute } from "../../ipamd/journal.ts";
import { createNetns, run, type TestNetns } from "./namespaces.ts";

let host: TestNetns;
let kernel: Kernel;
let survey: HostSurvey;

beforeEach(async () => {
  host = createNetns();
  kernel = await openKernel({ netnsPath: host.path });
  const xtables = new ProgramXtables({ netnsPath: host.path });
  survey = new HostSurvey({ kernel, xtables, preview: previewNft, missingPrograms, families: [4, 6] });
});
afterEach(async () => {
  await kernel.close();
  host.destroy();
});

const found = async () => findProblems(await survey.gather([{ slot: 2, linkName: "eth1" }]));
const sentences = async () => (await found()).map(({ code, sentence }) => `${code}: ${sentence}`);

/** All that a look could leave behind. */
function everything(): string[] {
  const commands = ["ip rule", "ip -6 rule", "nft list ruleset", "cat /proc/thread-self/net/ip_tables_names"];
  return commands.map((command) => host.exec(command));
}

describe("HostSurvey", () => {
  it("finds that this kernel has all that is needed, and leaves nothing behind", async () => {
    const before = everything();
    await survey.requireFeatures();
    expect(everything()).toEqual(before);
  });

  it("finds no problem on an empty host, and makes no table by looking", async () => {
    const before = everything();
    expect(await found()).toEqual([]);
    expect(everything()).toEqual(before);
  });

  it("reads conditions of foreign rules: inversions, links and ports do not pass for taking everything", async () => {
    for (const rule of ["oif lo", "ipproto tcp dport 80", "uidrange 0-0", "iif lo", "tos 0x10"]) {
      host.exec(`ip rule add pref 100 ${rule} lookup 77`);
    }
    host.exec("ip route add local default dev lo table 77");
    expect(await found()).toEqual([]);
    host.exec("ip rule add pref 90 not fwmark 0xca6c lookup 77");
    expect(await sentences()).toEqual([
      expect.stringMatching(
        /^rule-hides-ours: IPv4 rule 90 \(not from all fwmark 0xca6c\/0xffffffff lookup 77\)/,
      ),
    ]);
  });

  it("finds a rule that reaches into a unit, from the journal's own routes", async () => {
    const unit = Cidr.parse("10.0.0.32/28");
    kernel.host.routes.add(heldRoute(unit));
    host.exec("ip rule add pref 100 lookup 77");
    host.exec("ip route add unreachable 10.0.0.0/24 table 77");
    expect(await sentences()).toEqual([expect.stringContaining("takes 10.0.0.0/24, where pods are")]);
  });

  it("finds a guest agent's local route over a unit, and not the kernel's", async () => {
    const unit = Cidr.parse("10.0.0.32/28");
    kernel.host.routes.add(heldRoute(unit));
    host.exec("ip address add 10.0.0.33/32 dev lo");
    expect(await found()).toEqual([]);
    host.exec("ip route add local 10.0.0.32/29 dev lo table local proto 66");
    expect(await sentences()).toEqual([
      expect.stringMatching(/^local-route: .* 10\.0\.0\.32\/29 \(protocol 66\)/),
    ]);
  });

  it("finds rules of others in both xtables back-ends, and does not take ours for them", async () => {
    const accept = "-A FORWARD -i cw+ -m comment --comment causeway -j ACCEPT";
    for (const program of ["iptables-nft", "iptables-legacy"]) host.exec(`${program} ${accept}`);
    host.exec("iptables-nft -t nat -A POSTROUTING -o eth9 -j MASQUERADE");
    expect(await found()).toEqual([]);
    host.exec("iptables-legacy -t nat -A PREROUTING -p tcp --dport 9 -j ACCEPT");
    expect(await sentences()).toEqual([expect.stringMatching(/^two-xtables: IPv4 /)]);
  });

  it("finds IPv6 disabled on an uplink", async () => {
    run(`ip -n ${host.name} link add eth1 type bridge`);
    host.exec("sysctl -q -w net.ipv6.conf.eth1.disable_ipv6=1");
    expect(await sentences()).toEqual([expect.stringMatching(/^ipv6-disabled: .* uplink eth1 /)]);
  });
});
