/** Settings that change under a running daemon: in force within 2 s, with pods and their connections going on. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { IpAddress } from "../../common/ip.ts";
import type { RawSettings } from "../../ipamd/settings.ts";
import type { SettingsStatus } from "../../ipamd/settings-source.ts";
import { TcpFlow, tcpAsk, tcpEcho } from "../cloudsim/probe/index.ts";
import { runIn } from "../cloudsim/vpc/commands.ts";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import { EXT } from "../cloudsim/vpc/vpc.ts";
import { Cluster, type ClusterNode, type PodOf, twoZones } from "../cluster/cluster.ts";
import { readPage, readPoolPage } from "../cluster/pool-page.ts";
import { Flow } from "./flow.ts";

const IN_FORCE = { timeout: 2_000, interval: 20 };
const PORT = 8080;
const OUTSIDE = IpAddress.parse(EXT.ipv4);

let cluster: Cluster;
let node: ClusterNode;
let labels: string;
/** On the primary uplink, and on the first secondary one. */
let near: PodOf;
let far: PodOf;
let echo: Disposable;

beforeAll(async () => {
  cluster = await Cluster.build(twoZones(`settings${process.pid}`));
  node = await cluster.addNode({
    name: "node",
    subnetId: "subnet-a",
    instanceType: "t3.small",
    profile: HOSTILE,
    publicIpv4: "203.0.113.10",
  });
  labels = path.join(cluster.folder, "labels.json");
  await node.startDaemon("ready for pods", { CAUSEWAY_NODE: labels });
  near = await node.addPod("near");
  for (const name of ["p1", "p2", "far"]) far = await node.addPod(name);
  echo = tcpEcho({ netnsPath: cluster.vpc.ext.netnsPath, address: OUTSIDE, port: PORT, name: "ext" });
});

afterAll(async () => {
  echo?.[Symbol.dispose]();
  await cluster?.[Symbol.asyncDispose]();
});

const table = () => runIn(node.place.netnsPath, ["nft", "-s", "list", "table", "inet", "causeway"]);
const page = async (name: "/healthz" | "/metrics") => (await readPage(node.place.netnsPath, name)).body;
const mtuOf = (pod: PodOf) =>
  Number(/ mtu (\d+) /.exec(runIn(pod.netnsPath, ["ip", "link", "show", "eth0"]))?.[1]);

/** Changes them, and waits as long as it may take. */
async function change(settings: RawSettings, check: () => void | Promise<void>): Promise<void> {
  node.writeSettings(settings);
  await vi.waitFor(check, IN_FORCE);
}

it("external-snat takes the translation away and brings it back, and open connections and pods notice nothing", async () => {
  expect(table()).toContain("snat ip to");
  await using flow = await Flow.start(near, far, far.ipv4 as IpAddress);
  using outside = await TcpFlow.open(far.netnsPath, { to: OUTSIDE, port: PORT });
  const first = await outside.ask();
  for (const on of [true, false, true, false]) {
    await change({ "external-snat": String(on) }, () => expect(table().includes("snat ip to")).toBe(!on));
    expect(await outside.ask()).toEqual(first);
  }
  expect(await flow.stop()).toEqual([]);
  expect(flow.asked).toBeGreaterThan(10);
  expect(await tcpAsk(near.netnsPath, { to: OUTSIDE, port: PORT })).toMatchObject({
    ok: true,
    server: "ext",
  });
  const told = node.daemon?.lines.filter(({ msg }) => msg.includes("changed behind us"));
  expect(told).toEqual([]);
});

it("exclude-snat-cidrs is in force in the table of inside destinations", async () => {
  await change({ "exclude-snat-cidrs": "198.51.100.0/24" }, () =>
    expect(table()).toContain("198.51.100.0/24"),
  );
  await change({}, () => expect(table()).not.toContain("198.51.100.0/24"));
});

it("pod-mtu is that of new pods, and those that run keep theirs", async () => {
  const before = mtuOf(near);
  await change({ "pod-mtu": "1400" }, () =>
    expect(node.daemon?.lines.filter(({ msg }) => msg === "settings changed").at(-1)).toMatchObject({
      changed: { "pod-mtu": { from: "", to: "1400" } },
    }),
  );
  const pod = await node.addPod("narrow");
  expect(mtuOf(pod)).toBe(1400);
  expect(mtuOf(near)).toBe(before);
});

it("ip-cooldown-period counts for the pods that end after its change", async () => {
  await change({ "ip-cooldown-period": "0" }, () =>
    expect(node.daemon?.lines.filter(({ msg }) => msg === "settings changed").at(-1)).toMatchObject({
      changed: { "ip-cooldown-period": { to: "0" } },
    }),
  );
  const pod = await node.addPod("short");
  await node.runtime.exec("DEL", pod);
  await vi.waitFor(async () => {
    const { cooling } = await readPoolPage(node.place.netnsPath);
    expect(cooling).not.toContain(String(pod.ipv4));
  }, IN_FORCE);
});

it("a document with a mistake is refused whole, named in /healthz, metrics and status until it is mended", async () => {
  const status = () =>
    JSON.parse(
      readFileSync(path.join(path.dirname(node.socketPath), "settings-status.json"), "utf8"),
    ) as SettingsStatus;
  await change({ "external-snat": "true", "warm-ip-target": "many" }, async () =>
    expect(await page("/healthz")).toMatch(
      /^warning: settings-invalid: .*warm-ip-target="many": accepted: a whole number of addresses from 0 to 1000/m,
    ),
  );
  expect(await page("/metrics")).toContain('causeway_problems{code="settings-invalid"} 1');
  expect(status()).toMatchObject({
    values: { "external-snat": "false" },
    problems: [{ code: "settings-invalid" }],
  });
  expect(table()).toContain("snat ip to");
  await change({}, async () => expect(await page("/healthz")).toBe("ok\n"));
  expect(status().problems).toEqual([]);
  const told = node.daemon?.lines.filter(({ code }) => code === "settings-invalid");
  expect(told?.map(({ level }) => level)).toEqual(["warn", "info"]);
});

it("a setting that waits for the next start is named, and the others of the document are in force", async () => {
  await change({ "ip-families": "ipv4", "external-snat": "true" }, () =>
    expect(table()).not.toContain("snat ip to"),
  );
  expect(await page("/healthz")).toContain(
    'settings-next-start: ip-families="ipv4" takes effect at the next start',
  );
  const pod = await node.addPod("both");
  expect(pod.ipv6).toBeDefined();
  await change({}, async () => expect(await page("/healthz")).toBe("ok\n"));
});

it("an override is in force on the nodes that its selector chooses, from the moment that their labels say so", async () => {
  const override = { "override.gateway": "selector: egress=gateway\nexternal-snat: true" };
  await change({ ...override, "exclude-snat-cidrs": "198.51.100.0/24" }, () =>
    expect(table()).toContain("198.51.100.0/24"),
  );
  expect(table()).toContain("snat ip to");
  writeFileSync(labels, JSON.stringify({ labels: { egress: "gateway" } }));
  await vi.waitFor(() => expect(table()).not.toContain("snat ip to"), IN_FORCE);
  writeFileSync(labels, JSON.stringify({ labels: {} }));
  await vi.waitFor(() => expect(table()).toContain("snat ip to"), IN_FORCE);
});

it("a daemon that starts while the file is bad goes on with the last good settings", async () => {
  await change({ "external-snat": "true" }, () => expect(table()).not.toContain("snat ip to"));
  await node.daemon?.stop("SIGKILL");
  await node.startDaemon("ready for pods", { CAUSEWAY_NODE: labels }, { "external-snat": "maybe" });
  expect(table()).not.toContain("snat ip to");
  expect(await page("/healthz")).toContain('external-snat="maybe": accepted: true | false');
  await change({}, () => expect(table()).toContain("snat ip to"));
});
