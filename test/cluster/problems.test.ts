/** What is at odds with us on a host is found at start and while we run, named once in the log, and shown until it is gone. */
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { CONFLIST_NAME } from "../../ipamd/conflist.ts";
import { FakePlugin } from "../fake-plugin.ts";
import type { LogLine } from "./daemon-process.ts";
import { FieldNode } from "./field-node.ts";
import { readPage, readPoolPage } from "./pool-page.ts";

/** A change of rules is looked at within a second or two. */
const SOON = { timeout: 8_000, interval: 100 };
/** What fails must have failed for 10 s, and is looked at every 10 s. */
const LATER = { timeout: 40_000, interval: 250 };

const XTABLES = ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"].flatMap((name) => [
  name,
  `${name}-restore`,
]);

let field: FieldNode;
let programs: string;

beforeAll(async () => {
  field = await FieldNode.start("pb");
  await field.addPods("p0");
  await field.node.daemon?.stop();
  programs = path.join(field.cluster.folder, "bin");
  mkdirSync(programs);
  for (const program of ["nsenter", "unshare", "sh", "cat", "nft", ...XTABLES]) {
    offer(program);
  }
});

afterEach(async () => {
  field.cluster.ec2.faults.clear();
  await field.node.daemon?.stop();
});
afterAll(() => field?.[Symbol.asyncDispose]());

/** Puts a program of the machine into the folder that is a daemon's whole PATH. */
function offer(program: string): void {
  rmSync(path.join(programs, program), { force: true });
  symlinkSync(field.sh(`command -v ${program}`).trim(), path.join(programs, program));
}

const page = (name: Parameters<typeof readPage>[1]) => readPage(field.node.place.netnsPath, name);
const health = () => page("/healthz");

function told(message = "a problem on this node"): LogLine[] {
  return (field.node.daemon?.lines ?? []).filter(({ msg }) => msg === message);
}

it("a proxy's rule after ours and rules in both xtables back-ends are named once each, and told when they are gone", async () => {
  field.sh("ip rule add pref 32765 fwmark 1/1 lookup 100; ip route add local default dev lo table 100");
  field.sh("iptables-nft -A FORWARD -m mark --mark 0x8000/0x8000 -j DROP");
  field.sh("iptables-legacy -A FORWARD -m mark --mark 0x8000/0x8000 -j DROP");
  await field.node.startDaemon();
  const rule = "IPv4 rule 32765 (from all fwmark 0x1/0x1 lookup 100)";
  const xtables = "IPv4 has rules of others in both xtables back-ends, nft and legacy";
  await expect.poll(async () => (await health()).body, SOON).toContain(xtables);
  // another look, which must not tell them again
  field.sh("ip rule add pref 9 fwmark 0x10000/0x10000 lookup 100");
  await field.expectTalk();
  field.sh("ip rule add pref 100 lookup 4242; ip route add default dev lo table 4242");
  field.sh("ip rule delete pref 9");
  await expect.poll(async () => (await health()).status, SOON).toBe(503);
  expect((await page("/livez")).status).toBe(200);
  expect(told().map(({ level, code }) => `${level} ${code}`)).toEqual([
    "warn rule-hidden",
    "info two-xtables",
    "error rule-hides-ours",
  ]);
  expect(told()[0]?.sentence).toContain(rule);
  expect(told()[1]?.sentence).toContain(xtables);
  expect(told()[2]?.sentence).toContain("IPv4 rule 100 (from all lookup 4242)");

  field.sh("ip rule delete pref 100");
  await expect.poll(async () => (await health()).status, SOON).toBe(200);
  const { body } = await health();
  expect(body.split("\n")[0]).toBe("ok");
  expect(body).toContain(`warning: rule-hidden: ${rule}`);
  expect(body).toContain(`handled: two-xtables: ${xtables}`);
  expect((await page("/metrics")).body).toContain('causeway_problems{code="rule-hidden"} 1');
  const { problems } = await readPoolPage(field.node.place.netnsPath);
  expect(problems.map(({ code }) => code)).toEqual(["rule-hidden", "two-xtables"]);

  field.sh("iptables-legacy -F FORWARD; iptables-nft -D FORWARD -m mark --mark 0x8000/0x8000 -j DROP");
  field.sh("ip rule delete pref 32765");
  await expect.poll(async () => (await health()).body, SOON).toBe("ok\n");
  expect(told("a problem is gone").map(({ code }) => code)).toEqual([
    "rule-hides-ours",
    "rule-hidden",
    "two-xtables",
  ]);
});

it("a cloud that is away is no problem of the node, and a permission that the node's role lacks is named", {
  timeout: 90_000,
}, async () => {
  const { faults } = field.cluster.ec2;
  faults.garbage("*", 500, 1_000);
  const daemon = await field.node.startDaemon("serving");
  await daemon.logged("pool not reconciled");
  expect(await health()).toEqual({ status: 200, body: "ok\n" });
  faults.clear();
  faults.fail("DescribeNetworkInterfaces", "UnauthorizedOperation", 1_000, 403);
  await expect
    .poll(async () => (await health()).body, LATER)
    .toMatch(/^warning: cloud-permission: .* DescribeNetworkInterfaces/m);
  expect((await health()).status).toBe(200);
  // the loop that tells has its own pace
  await daemon.logged("an event of this node");
  expect(told("an event of this node")).toMatchObject([
    {
      level: "warn",
      reason: "NoPermission",
      message: expect.stringContaining("ec2:DescribeNetworkInterfaces"),
    },
  ]);
  faults.clear();
  await expect.poll(async () => (await health()).body, LATER).toBe("ok\n");
  expect(told()).toHaveLength(1);
});

it("a chained plugin that is missing is named and left out of the conflist, and taken in when it appears", async () => {
  const plugins = path.join(field.cluster.folder, "plugins");
  mkdirSync(plugins);
  new FakePlugin(plugins, "bandwidth");
  const chain = { CAUSEWAY_PLUGIN_DIR: plugins, CAUSEWAY_CHAIN: "portmap,bandwidth" };
  const daemon = await field.node.startDaemon("ready for pods", chain);
  await daemon.logged("conflist written");
  const file = path.join(field.cluster.folder, field.node.name, "net.d", CONFLIST_NAME);
  const inList = () => {
    const list = JSON.parse(readFileSync(file, "utf8")) as { plugins: { type: string }[] };
    return list.plugins.map(({ type }) => type);
  };
  expect(inList()).toEqual(["causeway", "bandwidth"]);
  const { status, body } = await health();
  expect(status).toBe(200);
  expect(body).toContain(
    `warning: chained-plugin: host ports of pods do not work: ${plugins}/portmap is missing`,
  );
  new FakePlugin(plugins, "portmap");
  await expect.poll(inList, SOON).toEqual(["causeway", "portmap", "bandwidth"]);
  expect((await health()).body).toBe("ok\n");
});

it("a host's network or a conflist that cannot be written are problems while they last", {
  timeout: 90_000,
}, async () => {
  const folder = path.join(field.cluster.folder, "net.d");
  const daemon = await field.node.startDaemon("ready for pods", {
    PATH: programs,
    CAUSEWAY_CONFLIST_DIR: folder,
  });
  await daemon.logged("conflist written");
  rmSync(folder, { recursive: true });
  writeFileSync(folder, "");
  rmSync(path.join(programs, "nft"));
  writeFileSync(path.join(programs, "nft"), "#!/bin/sh\necho no memory >&2; exit 1\n", { mode: 0o755 });
  await expect
    .poll(
      async () =>
        told()
          .map(({ code }) => code)
          .sort(),
      LATER,
    )
    .toEqual(["conflist", "host-network"]);
  const { status, body } = await health();
  expect(status).toBe(503);
  expect(body).toMatch(/^refused: conflist: the runtime cannot start pods: .*net.d/m);
  expect(body).toMatch(/^refused: host-network: the host's network cannot be put in order: .*no memory/m);
  offer("nft");
  rmSync(folder);
  await expect.poll(async () => (await health()).body, LATER).toBe("ok\n");
  expect(told()).toHaveLength(2);
});

it("oth-58: a daemon on a host that lacks what it needs exits with one line that names it", async () => {
  rmSync(path.join(programs, "ip6tables-nft"));
  const daemon = field.node.launchDaemon({ PATH: programs });
  expect(await daemon.exited).toEqual({ code: 1, signal: null });
  const errors = daemon.lines.filter(({ level }) => level === "error").map(({ msg }) => msg);
  expect(errors).toEqual(["cannot start: the program ip6tables-nft is not there: install iptables"]);
  offer("ip6tables-nft");
  await field.node.startDaemon("ready for pods", { PATH: programs });
  await field.expectTalk();
});
