import { beforeEach, describe, expect, it } from "vitest";
import { type Attachment, attachmentKey, type ContainerId } from "../common/ids.ts";
import { IpAddress } from "../common/ip.ts";
import type { NftRule, XtablesLine } from "../common/kernel/firewall-listing.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import { FakePlugin } from "../test/fake-plugin.ts";
import { memoryLog, temporaryFolder } from "../test/shim/daemon.ts";
import { until } from "../test/shim/waiting.ts";
import { LostDels } from "./lost-dels.ts";

const PORTMAP = { type: "portmap", capabilities: { portMappings: true }, snat: true };
const BANDWIDTH = { type: "bandwidth", capabilities: { bandwidth: true } };
const attachment = (containerId: string): Attachment => ({
  containerId: containerId as ContainerId,
  ifname: "eth0",
});
const fails = (code: number, text: string) => `echo '${text}'; exit ${code}`;

let leases: Set<string>;
let links: Set<string>;
let stopping: AbortController;
let clock: SteppedClock;
let logged: ReturnType<typeof memoryLog>;

beforeEach(() => {
  leases = new Set();
  links = new Set();
  stopping = new AbortController();
  clock = new SteppedClock();
  logged = memoryLog();
});

/** With portmap and bandwidth in a folder of the test. */
function start(folder: string) {
  const lostDels = new LostDels({
    pluginDir: folder,
    plugins: async () => [PORTMAP, BANDWIDTH],
    hasLease: (containerId) => leases.has(containerId),
    hasLink: (one) => links.has(attachmentKey(one)),
    isOfPool: (address) => ["10.0.0.5", "2001:db8::5"].includes(address.toString()),
    clock,
    log: logged.log,
    stopping: stopping.signal,
  });
  return {
    lostDels,
    portmap: new FakePlugin(folder, "portmap"),
    bandwidth: new FakePlugin(folder, "bandwidth"),
  };
}

/** Resolves once all is done, whatever it waits for. */
async function finished(lostDels: LostDels): Promise<void> {
  let done = false;
  void lostDels.done().then(() => (done = true));
  await until("the DELs are done", async () => {
    await clock.run();
    return done;
  });
}

const idsOf = (plugin: FakePlugin) => plugin.calls().map(({ variables }) => variables.CNI_CONTAINERID);
const told = () => logged.lines.map(({ msg }) => msg);

describe("LostDels.add()", () => {
  it("calls each plugin's DEL as a runtime does, backwards", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap, bandwidth } = start(folder.path);
    portmap.does(`[ -s '${bandwidth.file}.calls' ]`);
    lostDels.add(attachment("aa01"));
    await finished(lostDels);
    const variables = {
      CNI_COMMAND: "DEL",
      CNI_CONTAINERID: "aa01",
      CNI_IFNAME: "eth0",
      CNI_NETNS: "",
      CNI_PATH: folder.path,
    };
    const list = { cniVersion: "1.0.0", name: "causeway" };
    expect(bandwidth.calls()).toEqual([{ variables, conf: { ...BANDWIDTH, ...list } }]);
    // without a mapping portmap does nothing; with any it takes away all of the container
    const runtimeConfig = { portMappings: [{ hostPort: 1, containerPort: 1, protocol: "tcp" }] };
    expect(portmap.calls()).toEqual([{ variables, conf: { ...PORTMAP, ...list, runtimeConfig } }]);
    expect(logged.lines).toMatchObject([
      { msg: "DELs done in the runtime's place", plugins: ["bandwidth", "portmap"] },
    ]);
  });

  it("does one after the other", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap } = start(folder.path);
    portmap.does('mkdir "$0.busy" && sleep 0.05 && rmdir "$0.busy"');
    for (const id of ["aa01", "aa02", "aa03"]) lostDels.add(attachment(id));
    await finished(lostDels);
    expect(idsOf(portmap)).toEqual(["aa01", "aa02", "aa03"]);
  });

  it("tries three times, tells the plugin's words once, and keeps no other from its DEL", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap, bandwidth } = start(folder.path);
    bandwidth.does(fails(1, '{"code":100,"msg":"no ifb","details":"at all"}'));
    for (const id of ["aa01", "aa02"]) lostDels.add(attachment(id));
    await finished(lostDels);
    expect(idsOf(bandwidth)).toEqual(["aa01", "aa01", "aa01", "aa02", "aa02", "aa02"]);
    expect(idsOf(portmap)).toEqual(["aa01", "aa02"]);
    const failures = logged.lines.filter(({ msg }) => msg === "a DEL in the runtime's place failed");
    expect(failures).toHaveLength(2);
    expect(failures[0]).toMatchObject({ plugin: "bandwidth", containerId: "aa01" });
    expect(JSON.stringify(failures[0]?.err)).toContain("no ifb: at all");
  });

  it("succeeds when a later try does", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap } = start(folder.path);
    portmap.does(`[ -e "$0.tried" ] || { touch "$0.tried"; ${fails(1, "")}; }`);
    lostDels.add(attachment("aa01"));
    await finished(lostDels);
    expect(idsOf(portmap)).toEqual(["aa01", "aa01"]);
    expect(told()).toEqual(["DELs done in the runtime's place"]);
  });

  it("does nothing for a container that has a lease again", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap } = start(folder.path);
    leases.add("aa01");
    for (const id of ["aa01", "aa02"]) lostDels.add(attachment(id));
    await finished(lostDels);
    expect(idsOf(portmap)).toEqual(["aa02"]);
  });

  it("ends when the daemon stops, whatever a plugin does, and says nothing", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap, bandwidth } = start(folder.path);
    // the program that holds its output open outlives it
    bandwidth.does("sleep 5");
    for (const id of ["aa01", "aa02"]) lostDels.add(attachment(id));
    await until("the first is running", () => bandwidth.calls().length === 1);
    const before = performance.now();
    stopping.abort(new Error("the daemon is stopping"));
    await lostDels.done();
    expect(performance.now() - before).toBeLessThan(2_000);
    expect([idsOf(bandwidth), idsOf(portmap), told()]).toEqual([["aa01"], [], []]);
  });
});

describe("LostDels.addForgotten()", () => {
  const rule = (id: string, more: Partial<XtablesLine> & { readonly network?: string } = {}): XtablesLine => {
    const { network = "causeway", ...others } = more;
    const comment = `--comment "dnat name: \\"${network}\\" id: \\"${id}\\""`;
    const line = `-A CNI-HOSTPORT-DNAT -p tcp -m comment ${comment} -m multiport --dports 80 -j CNI-DN-1`;
    return { backend: "nft", family: 4, table: "nat", line, ...others };
  };
  const nftRule = (id: string, more: Partial<NftRule> = {}): NftRule => {
    return { family: 4, chain: "hostports", comment: id, dnatTo: IpAddress.parse("10.0.0.5"), ...more };
  };
  const forget = async (lostDels: LostDels, ...rules: (XtablesLine | NftRule)[]) => {
    const xtables = rules.filter((one) => "line" in one);
    const nft = rules.filter((one) => "chain" in one);
    await lostDels.addForgotten(async () => ({ xtables, nft }));
    await finished(lostDels);
  };
  const backendsOf = (plugin: FakePlugin) =>
    plugin.calls().map(({ conf }) => (conf as { readonly backend?: string }).backend);

  it("does the DEL of each container that has rules and no lease, once", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap, bandwidth } = start(folder.path);
    leases.add("aa01");
    await forget(
      lostDels,
      rule("aa01"),
      rule("aa02"),
      rule("aa02", { family: 6 }),
      rule("aa03", { backend: "legacy" }),
    );
    expect(idsOf(portmap)).toEqual(["aa02", "aa03"]);
    expect(idsOf(bandwidth)).toEqual(["aa02", "aa03"]);
    expect(backendsOf(portmap)).toEqual(["iptables", "iptables"]);
  });

  it("finds them in portmap's nft tables too, and has the rules taken away where they are", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap, bandwidth } = start(folder.path);
    leases.add("aa01");
    await forget(
      lostDels,
      nftRule("aa01"),
      nftRule("aa02"),
      nftRule("aa02", { family: 6, dnatTo: IpAddress.parse("2001:db8::5") }),
      nftRule("aa03", { chain: "hostip_hostports" }),
      rule("aa03"),
    );
    expect(idsOf(portmap)).toEqual(["aa03", "aa02", "aa03"]);
    expect(backendsOf(portmap)).toEqual(["iptables", "nftables", "nftables"]);
    expect(backendsOf(bandwidth)).toEqual([undefined, undefined, undefined]);
  });

  it("leaves nft rules alone that lead elsewhere or are no container's, and what still has a link of ours", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap } = start(folder.path);
    links.add(attachmentKey(attachment("aa05")));
    const { comment: _, ...bare } = nftRule("none");
    const { dnatTo: __, ...jump } = nftRule("aa04");
    await forget(
      lostDels,
      nftRule("aa01", { dnatTo: IpAddress.parse("10.88.0.5") }),
      nftRule("aa02", { chain: "masquerading" }),
      nftRule("my own rule"),
      bare,
      jump,
      nftRule("aa05"),
    );
    expect(idsOf(portmap)).toEqual([]);
  });

  it("leaves others' alone: other networks, other chains, and what still has a link of ours", async () => {
    using folder = temporaryFolder();
    const { lostDels, portmap } = start(folder.path);
    links.add(attachmentKey(attachment("aa05")));
    const { line } = rule("aa03");
    await forget(
      lostDels,
      rule("aa01", { network: "other" }),
      rule("aa02", { table: "filter" }),
      rule("aa03", { line: line.replace("CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ") }),
      rule("-aa04;"),
      rule("aa05"),
    );
    expect(idsOf(portmap)).toEqual([]);
  });

  it("says so when the rules cannot be read", async () => {
    using folder = temporaryFolder();
    const { lostDels } = start(folder.path);
    await lostDels.addForgotten(() => Promise.reject(new Error("no iptables")));
    expect(told()).toEqual(["host ports of pods that went while no daemon ran were not looked for"]);
  });
});
