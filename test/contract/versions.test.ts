/** Every version of the specification, through the real plugin and the real daemon: results, errors, and the results of others. */
import { readFileSync, readlinkSync, rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PluginRun, type Sandbox, SHIM } from "../cluster/runtime.ts";
import { startShim } from "../shim/shim.ts";
import { until } from "../shim/waiting.ts";
import { CAUSEWAY, ContractField, listOf } from "./field.ts";
import type { JsonObject, RuntimeConf } from "./libcni.ts";

const VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

const CONFIG = { name: "causeway", type: "causeway" };

/** What a result has in some versions only. */
const SHAPES = {
  "0.3.0": { family: true, mtu: false, check: false, node: false },
  "0.3.1": { family: true, mtu: false, check: false, node: false },
  "0.4.0": { family: true, mtu: false, check: true, node: false },
  "1.0.0": { family: false, mtu: false, check: true, node: false },
  "1.1.0": { family: false, mtu: true, check: true, node: true },
} as const;

/** What a plugin before us may have given, in the words of 1.1.0 and with one that nobody knows. */
const BEFORE = {
  interfaces: [
    {
      name: "vhost0",
      mac: "02:00:00:00:00:01",
      mtu: 1400,
      socketPath: "/run/vhost.sock",
      pciID: "0000:03:00.1",
    },
    { name: "net7", sandbox: "/run/netns/x", vendor: { lanes: 4 } },
  ],
  ips: [
    { version: "4", address: "192.0.2.7/24", interface: 1, label: "storage" },
    { address: "2001:db8:7::7/64", gateway: "2001:db8:7::1", interface: 1 },
  ],
  routes: [
    { dst: "198.51.100.0/24", gw: "192.0.2.1", mtu: 1400, advmss: 1360, priority: 5, table: 7, scope: 253 },
  ],
  dns: { nameservers: ["192.0.2.53"], search: ["example.org"] },
  vendor: "kept",
};

let contract: ContractField;

beforeAll(async () => {
  contract = await ContractField.start("vers", { instanceType: "m5.large" });
});

afterAll(() => contract[Symbol.asyncDispose]());

function run(
  command: string,
  rt: RuntimeConf,
  config: JsonObject,
  env: Record<string, string | undefined> = {},
): Promise<PluginRun> {
  const sandbox: Sandbox = {
    name: "versions",
    containerId: rt.containerId,
    netnsPath: rt.netns,
    ifname: rt.ifname,
  };
  const stdin = JSON.stringify({ ...CONFIG, ...config });
  return contract.field.node.runtime.exec(command, sandbox, { stdin, env });
}

function variablesOf(command: string, rt: RuntimeConf): Record<string, string> {
  return {
    CAUSEWAY_SOCKET: contract.field.node.socketPath,
    CNI_COMMAND: command,
    CNI_CONTAINERID: rt.containerId,
    CNI_NETNS: rt.netns,
    CNI_IFNAME: rt.ifname,
    CNI_PATH: "/opt/cni/bin",
  };
}

/** It runs our program, and waits for something. */
function isAsleep(pid = 0): boolean {
  const runs = readlinkSync(`/proc/${pid}/exe`).endsWith(SHIM);
  return runs && /\) S /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

function resultOf({ exitCode, stdout, stderr }: PluginRun): Record<string, unknown> {
  expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 0, stderr: "" });
  return JSON.parse(stdout);
}

function errorOf({ exitCode, stdout, stderr }: PluginRun): { cniVersion: string; code: number; msg: string } {
  expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 1, stderr: "" });
  const error = JSON.parse(stdout);
  expect(Object.keys(error)).toEqual(["cniVersion", "code", "msg", "details"]);
  return error;
}

describe.each(VERSIONS)("in %s", (cniVersion) => {
  const shape = SHAPES[cniVersion];
  const mtu = shape.mtu ? { mtu: 1500 } : {};
  const family = (version: string) => (shape.family ? { version } : {});
  const own = (rt: RuntimeConf, first: number) => ({
    interfaces: [
      { name: expect.stringMatching(/^cw[0-9a-f]{12}$/), mac: expect.any(String), ...mtu },
      { name: "eth0", mac: expect.any(String), sandbox: rt.netns, ...mtu },
    ],
    ips: [
      {
        ...family("4"),
        address: expect.stringMatching(/^10\.0\..*\/32$/),
        gateway: "169.254.1.1",
        interface: first + 1,
      },
      {
        ...family("6"),
        address: expect.stringMatching(/^2001:db8:a:.*\/128$/),
        gateway: "fe80::c:1",
        interface: first + 1,
      },
    ],
    routes: [
      { dst: "0.0.0.0/0", gw: "169.254.1.1" },
      { dst: "::/0", gw: "fe80::c:1" },
    ],
  });

  it("an ADD's result has the version's shape and no more; CHECK and DEL take it back as prevResult", async () => {
    const rt = contract.runtimeConf(`plain-${cniVersion}`);
    const result = resultOf(await run("ADD", rt, { cniVersion }));
    expect(result).toEqual({ cniVersion, ...own(rt, 0) });
    const check = await run("CHECK", rt, { cniVersion, prevResult: result });
    if (shape.check) expect(check).toMatchObject({ exitCode: 0, stdout: "" });
    else
      expect(errorOf(check)).toMatchObject({ cniVersion, code: 1, msg: expect.stringContaining(cniVersion) });
    for (const prevResult of [result, result, undefined])
      expect(await run("DEL", rt, { cniVersion, ...(prevResult && { prevResult }) })).toMatchObject({
        exitCode: 0,
        stdout: "",
      });
  });

  it("an ADD behind others passes on what they gave, in the version's shape", async () => {
    const rt = contract.runtimeConf(`behind-${cniVersion}`);
    const result = resultOf(await run("ADD", rt, { cniVersion, prevResult: { cniVersion, ...BEFORE } }));
    const ours = own(rt, 2);
    const [vhost, net7] = BEFORE.interfaces;
    const [, v6] = BEFORE.ips;
    const [route] = BEFORE.routes;
    expect(result).toEqual({
      cniVersion,
      interfaces: [
        shape.mtu ? vhost : { name: "vhost0", mac: "02:00:00:00:00:01" },
        net7,
        ...ours.interfaces,
      ],
      ips: [
        { ...family("4"), address: "192.0.2.7/24", interface: 1, label: "storage" },
        { ...family("6"), ...v6 },
        ...ours.ips,
      ],
      routes: [shape.mtu ? route : { dst: "198.51.100.0/24", gw: "192.0.2.1" }, ...ours.routes],
      dns: BEFORE.dns,
      vendor: "kept",
    });
    if (shape.check)
      expect(await run("CHECK", rt, { cniVersion, prevResult: result })).toMatchObject({ exitCode: 0 });
    expect(await run("DEL", rt, { cniVersion, prevResult: result })).toMatchObject({
      exitCode: 0,
      stdout: "",
    });
  });

  it("GC and STATUS are silent, or code 1 before 1.1.0", async () => {
    const rt = { containerId: "", netns: "", ifname: "" };
    for (const command of ["GC", "STATUS"]) {
      const answer = await run(command, rt, { cniVersion });
      if (shape.node) expect(answer).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
      else
        expect(errorOf(answer)).toMatchObject({ cniVersion, code: 1, msg: expect.stringContaining(command) });
    }
  });

  const errors: readonly (readonly [
    string,
    number,
    JsonObject,
    Record<string, string | undefined>,
    string,
  ])[] = [
    ["variables that are missing", 4, {}, { CNI_NETNS: "", CNI_IFNAME: undefined }, "CNI_NETNS, CNI_IFNAME"],
    ["a namespace that is gone", 4, {}, { CNI_NETNS: "/run/netns/none" }, "/run/netns/none"],
    ["a name that is wrong", 7, { name: "a b" }, {}, '"a b"'],
    [
      "a prevResult whose address is none",
      7,
      { prevResult: { ips: [{ address: "10.0.0/8" }] } },
      {},
      'prevResult.ips[0].address is wrong: "10.0.0/8"',
    ],
    ["stdin past its limit", 5, { padding: "x".repeat(2 << 20) }, {}, "larger than the limit"],
  ];
  it.each(errors)(
    "an ADD with %s is code %i in that version, names it, and leaves nothing",
    async (_what, code, config, env, text) => {
      const rt = contract.runtimeConf(`bad-${cniVersion}-${code}-${text.length}`);
      const error = errorOf(await run("ADD", rt, { cniVersion, ...config }, env));
      expect(error).toMatchObject({ cniVersion, code, msg: expect.stringContaining(text) });
      expect(contract.field.sh("ip -o link show type veth")).not.toContain(rt.netns.split("/").at(-1));
    },
  );

  it("an ADD that a DEL has overtaken is code 11", async () => {
    const rt = contract.runtimeConf(`late-${cniVersion}`);
    const { child, result } = startShim(SHIM, { variables: variablesOf("ADD", rt), stdin: "open" });
    await until("the plugin waits for stdin", () => isAsleep(child.pid));
    await run("DEL", rt, { cniVersion });
    child.stdin?.end(JSON.stringify({ ...CONFIG, cniVersion }));
    const { exitCode = null, ...rest } = await result;
    const error = errorOf({ exitCode, ...rest });
    expect(error).toMatchObject({ cniVersion, code: 11, msg: expect.stringContaining(rt.containerId) });
  });
});

it.each(["0.4.0", "1.0.0", "1.1.0"])(
  "a CHECK in %s of a pod without a lease is code 100 and names it",
  async (cniVersion) => {
    const rt = contract.runtimeConf(`never-${cniVersion}`);
    const error = errorOf(await run("CHECK", rt, { cniVersion, prevResult: {} }));
    expect(error).toMatchObject({ cniVersion, code: 100, msg: expect.stringContaining(rt.containerId) });
  },
);

it("every error's version is the configuration's, also when it is none of ours", async () => {
  const rt = contract.runtimeConf("future");
  for (const cniVersion of ["0.1.0", "0.2.0", "2.0.0"]) {
    const error = errorOf(await run("ADD", rt, { cniVersion }));
    expect(error).toMatchObject({
      cniVersion,
      code: 1,
      msg: expect.stringContaining("0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"),
    });
  }
});

describe("the library's GC in 1.1.0", () => {
  const list = { ...listOf("1.0.0", CAUSEWAY), cniVersions: ["0.4.0", "1.0.0", "1.1.0"] };

  it("DELs what it remembers and nobody wants, and leaves alone what only we know and what lives", async () => {
    const [kept, unwanted, forgotten] = [
      await contract.add(list, "kept"),
      await contract.add(list, "unwanted"),
      await contract.add(list, "forgotten"),
    ];
    rmSync(contract.libcni.cacheFile(list, forgotten.rt));
    await contract.libcni.status(list);
    await contract.libcni.gc(list, [kept.rt]);
    const routes = contract.field.sh("ip route show table 4100");
    const has = (address: unknown) =>
      routes.includes(`\n${address} dev cw`) || routes.startsWith(`${address} dev cw`);
    expect([kept, unwanted, forgotten].map(({ ipv4 }) => has(ipv4))).toEqual([true, false, true]);
    await contract.field.node.daemon?.logged("the runtime does not know a pod that runs here");
    for (const pod of [kept, forgotten]) await contract.libcni.del(list, pod.rt);
  });

  it("is not asked by a list that disables it, nor is CHECK", async () => {
    const quiet = { ...list, disableGC: true, disableCheck: true };
    const pod = await contract.add(quiet, "quiet");
    await contract.libcni.gc(quiet, []);
    contract.field.sh(`ip netns exec ${pod.rt.netns.split("/").at(-1)} ip route del default`);
    await contract.libcni.check(quiet, pod.rt);
    await expect(contract.libcni.check(list, pod.rt)).rejects.toMatchObject({ code: 100 });
    await contract.libcni.del(quiet, pod.rt);
  });
});
