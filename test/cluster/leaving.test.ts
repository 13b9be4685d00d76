/** `causewayctl host-network`: what it shows, what it refuses, and that it leaves a host as it was. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runProgram } from "../../common/kernel/processes.ts";
import { HOSTILE, runIn } from "../cloudsim/vpc/index.ts";
import { Cluster, type ClusterNode, twoZones } from "./cluster.ts";

/** As the daemon, for which a second of cooling is enough here; single addresses, so that seven pods need every interface. */
const SETTINGS = { "ip-cooldown-period": "1", "address-unit": "single" };

let cluster: Cluster;
let node: ClusterNode;
/** Of a host that no daemon has seen. */
let first: string;
let firstLinks: readonly string[];

beforeAll(async () => {
  cluster = await Cluster.build(twoZones(`lv${process.pid}`));
  node = await cluster.addNode({
    name: "node-a",
    subnetId: "subnet-a",
    instanceType: "t3.small",
    profile: { ...HOSTILE, forward: "drop" },
  });
  [first, firstLinks] = [listing(), linkNames()];
});

afterAll(() => cluster?.[Symbol.asyncDispose]());

function ctl(...argv: string[]) {
  const environment = [`CAUSEWAY_SOCKET=${node.socketPath}`, "CAUSEWAY_CONFLIST_DIR=none"];
  const program = [process.execPath, "dist/ipamd/causewayctl.mjs", "host-network", ...argv];
  return runProgram(["env", ...environment, "nsenter", `--net=${node.place.netnsPath}`, ...program]);
}

/** Everything that the tools print of a host's network. */
function listing(): string {
  const commands = [
    "ip -d link show",
    "ip address show",
    ...["-4", "-6"].flatMap((family) => [`ip ${family} rule show`, `ip ${family} route show table all`]),
    "nft -s list ruleset",
    "iptables-legacy-save",
    "sysctl -a -r '^net\\.ipv[46]\\.(conf|ip_forward|neigh)'",
  ];
  return commands
    .map((line) => runIn(node.place.netnsPath, ["sh", "-c", `${line} 2>/dev/null || true`]))
    .join("");
}

function linkNames(): string[] {
  const names = runIn(node.place.netnsPath, ["ip", "-o", "link", "show"]).matchAll(/^\d+: ([^:@]+)/gm);
  return [...names].map(([, name = ""]) => name);
}

/** A listing without what these links have: their blocks, routes and parameters. */
function without(links: readonly string[], text: string): string {
  const any = `(?:${links.join("|")})`;
  const blocks = new RegExp(`^\\d+: ${any}[@:].*\\n(?: .*\\n)*`, "gm");
  const routes = new RegExp(`^.* dev ${any}( .*)?\\n`, "gm");
  const parameters = new RegExp(`^net\\.ipv[46]\\.\\w+\\.${any}\\..*\\n`, "gm");
  return text.replace(blocks, "").replace(routes, "").replace(parameters, "");
}

/** As many as bring every interface that the instance can have, so that no later run brings another. */
async function addPods(prefix: string): Promise<void> {
  for (let number = 0; number < 7; number += 1) await node.addPod(`${prefix}${number}`);
}

/** As an operator does it. */
async function leave(): Promise<void> {
  for (const pod of [...node.pods]) await node.runtime.del(pod);
  await node.daemon?.stop("SIGTERM");
  const removed = await ctl("remove");
  expect(removed, removed.stderr).toMatchObject({ exitCode: 0 });
}

describe("causewayctl host-network", () => {
  it("show says what is ours and why, and remove refuses while the daemon runs or pods have leases", async () => {
    await node.startDaemon("ready for pods", {}, SETTINGS);
    await addPods("a");
    const { exitCode, stdout } = await ctl("show");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^ {2}eth0 {2}slot 1 {2}eni-/m);
    expect(stdout).toMatch(/^ {2}cw\w{12} {2}\S*\/a0 {2}10\.0\.0\.\d+ {2}2001:/m);
    expect(stdout).toMatch(/^ {2}IPv4 402 lookup 4100 {2}addresses of pods first/m);
    expect(stdout).toMatch(/^ {2}unreachable 10\.0\.0\.\d+\/32 {2}an address that a pod has/m);
    expect(stdout).toMatch(/^ {2}net\/ipv4\/ip_forward {2}0 -> 1/m);
    expect(JSON.parse((await ctl("show", "--json")).stdout)).toHaveProperty("sections.0.title", "uplinks");
    expect(await ctl("remove")).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining("the daemon runs"),
    });
    await node.daemon?.stop("SIGTERM");
    const refused = await ctl("remove");
    expect(refused).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("7 pods have leases") });
    expect(refused.stderr).toMatch(/\/a0 /);
  });

  it("remove --force takes pods' links too, and what is left of the host is as at first", async () => {
    const removed = await ctl("remove", "--force");
    expect(removed, removed.stderr).toMatchObject({ exitCode: 0 });
    const shown = await ctl("show");
    expect(shown.stdout).toBe("nothing of causeway is on this host\n");
    expect((await ctl("remove")).stdout).toBe("nothing of causeway was on this host\n");
    // interfaces that came meanwhile stay until the cloud takes them
    const later = linkNames().filter((name) => !firstLinks.includes(name));
    expect(later).toEqual(["eth1", "eth2"]);
    expect(without(later, listing())).toBe(first);
  });

  it("remove leaves the host byte for byte as it was before the daemon came", async () => {
    await node.startDaemon("ready for pods", {}, SETTINGS);
    await leave();
    const before = listing();
    await node.startDaemon("ready for pods", {}, SETTINGS);
    await addPods("b");
    expect(listing()).not.toBe(before);
    await leave();
    expect(listing()).toBe(before);
  });

  it.each([
    [["show", "--jsno"], "Unknown option '--jsno'"],
    [["delete"], "unknown command: host-network delete"],
  ])("%j is wrong use, said with what there is", async (argv, text) => {
    const { exitCode, stderr } = await ctl(...argv);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(text);
    expect(stderr).toContain("causewayctl host-network show");
  });
});
