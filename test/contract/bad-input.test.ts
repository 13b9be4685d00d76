/** What runtimes get wrong: each a success, or an error that names the value; nothing is leaked, and the daemon goes on. */
import { truncateSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { runIn } from "../cloudsim/vpc/index.ts";
import type { PluginRun, Sandbox } from "../cluster/runtime.ts";
import { Auditor } from "../e2e/audit.ts";
import { CAUSEWAY, type ChainPod, ContractField, listOf } from "./field.ts";
import type { JsonObject, RuntimeConf } from "./libcni.ts";

const LIST = listOf("1.0.0", CAUSEWAY);

let contract: ContractField;
let auditor: Auditor;
/** Lives through everything. */
let living: ChainPod;
let inside: string;

beforeAll(async () => {
  contract = await ContractField.start("bad", { instanceType: "m5.large" });
  auditor = await Auditor.open(contract.field.cluster, contract.field.node);
  living = await contract.add(LIST, "living");
  inside = insideOf(living);
});

afterEach(async () => {
  await auditor.settled(({ page }) => page.leases.length === 1 && page.waiting === 0);
  expect(insideOf(living)).toBe(inside);
  await contract.libcni.check(LIST, living.rt);
});

afterAll(async () => {
  await auditor[Symbol.asyncDispose]();
  await contract[Symbol.asyncDispose]();
});

function insideOf({ rt }: ChainPod): string {
  return runIn(rt.netns, ["sh", "-c", "ip address; ip route; ip -6 route; ip neighbour show nud permanent"]);
}

function run(
  command: string,
  rt: RuntimeConf,
  config: JsonObject = {},
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<PluginRun> {
  const sandbox: Sandbox = {
    name: "bad",
    containerId: rt.containerId,
    netnsPath: rt.netns,
    ifname: rt.ifname,
  };
  const stdin = JSON.stringify({ cniVersion: "1.0.0", name: "causeway", type: "causeway", ...config });
  return contract.field.node.runtime.exec(command, sandbox, { stdin, env });
}

function expectError({ exitCode, stdout, stderr }: PluginRun, code: number, text: string): void {
  expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 1, stderr: "" });
  const error = JSON.parse(stdout) as { code: number; msg: string; details: string };
  expect(error.code, stdout).toBe(code);
  expect(`${error.msg} ${error.details}`).toContain(text);
}

const SUCCESS = { exitCode: 0, stderr: "" };

describe("a result file of the library that was cut short", () => {
  it("aws-06: at 0 bytes takes no DEL away; a CHECK says that prevResult is missing", async () => {
    const pod = await contract.add(LIST, "cut");
    truncateSync(contract.libcni.cacheFile(LIST, pod.rt), 0);
    await expect(contract.libcni.check(LIST, pod.rt)).rejects.toMatchObject({
      code: 7,
      message: expect.stringContaining("prevResult"),
    });
    for (let times = 0; times < 3; times += 1) await contract.libcni.del(LIST, pod.rt);
  });
});

describe("a prevResult", () => {
  const ODD: readonly (readonly [string, unknown, string])[] = [
    [
      "of another plugin",
      {
        interfaces: [{ name: "net1", sandbox: "/run/netns/x" }],
        ips: [{ address: "192.0.2.9/24", interface: 0 }],
      },
      "found 192.0.2.9",
    ],
    ["with no interfaces", { interfaces: [], ips: [] }, "found none"],
    ["with nothing in it", {}, "found none"],
    ["with null in it", { interfaces: null, ips: null, routes: null }, "found none"],
  ];

  it.each(ODD)(
    "%s is passed on by an ADD, is a named difference in a CHECK, and nothing to a DEL",
    async (_what, prevResult, text) => {
      const rt = contract.runtimeConf(`odd-${ODD.findIndex(([, one]) => one === prevResult)}`);
      const added = await run("ADD", rt, { prevResult });
      expect(added).toMatchObject(SUCCESS);
      expect(JSON.parse(added.stdout).interfaces.at(-1)).toMatchObject({ name: "eth0", sandbox: rt.netns });
      expectError(await run("CHECK", rt, { prevResult }), 100, text);
      expect(await run("DEL", rt, { prevResult })).toMatchObject({ ...SUCCESS, stdout: "" });
    },
  );

  it.each([
    ["a list", ["SECRET"], "prevResult is wrong: an array"],
    ["a text", "nothing", 'prevResult is wrong: "nothing"'],
    ["interfaces that are an object", { interfaces: {} }, "prevResult.interfaces is wrong: an object"],
    [
      "an interface without a name",
      { interfaces: [{ mac: "x" }] },
      "prevResult.interfaces[0].name is wrong: nothing",
    ],
    [
      "an address that is none",
      { ips: [{ address: "10.0.0.256/32" }] },
      'prevResult.ips[0].address is wrong: "10.0.0.256/32"',
    ],
    [
      "an index that is none",
      { ips: [{ address: "10.0.0.5/32", interface: -1 }] },
      "prevResult.ips[0].interface is wrong: -1",
    ],
  ])(
    "that is, or has, %s is code 7 for ADD and CHECK, and nothing to a DEL",
    async (_what, prevResult, text) => {
      const rt = contract.runtimeConf(`wrong-${text.length}`);
      expectError(await run("ADD", rt, { prevResult }), 7, text);
      expectError(await run("CHECK", rt, { prevResult }), 7, text);
      expect(await run("DEL", rt, { prevResult })).toMatchObject({ ...SUCCESS, stdout: "" });
    },
  );
});

describe("CNI_NETNS", () => {
  it("empty is code 4 for ADD and CHECK, and nothing to a DEL", async () => {
    const rt = contract.runtimeConf("no-netns");
    for (const command of ["ADD", "CHECK"])
      expectError(await run(command, rt, {}, { CNI_NETNS: "" }), 4, "CNI_NETNS");
    expect(await run("DEL", rt, {}, { CNI_NETNS: "" })).toMatchObject(SUCCESS);
  });

  it("of another live pod: ADD and CHECK name what is there, and nothing is done to it", async () => {
    const rt = { ...contract.runtimeConf("guest"), netns: living.rt.netns };
    expectError(await run("ADD", rt), 4, `${living.rt.netns} already has a link eth0`);
    const mine = await contract.add(LIST, "host");
    const elsewhere = { ...mine.rt, netns: living.rt.netns };
    expectError(await run("CHECK", elsewhere, { prevResult: mine.result }), 100, "link eth0 in CNI_NETNS");
    expect(await run("DEL", elsewhere)).toMatchObject(SUCCESS);
  });

  it("of the node itself is refused by name", async () => {
    const netns = contract.field.node.place.netnsPath;
    expectError(await run("ADD", { ...contract.runtimeConf("node"), netns }), 4, netns);
  });

  it.each([
    ["a plain file", "/etc/hostname", "/etc/hostname"],
    ["below a plain file", "/etc/hostname/net", "/etc/hostname/net"],
    ["a relative path", "relative/path", "relative/path"],
    ["a name longer than a file's can be", `/run/netns/${"n".repeat(300)}`, "nnnn"],
  ])("with %s is refused by name", async (_what, netns, text) => {
    expectError(
      await run("ADD", contract.runtimeConf(`netns-${netns.length}`), {}, { CNI_NETNS: netns }),
      4,
      text,
    );
  });
});

describe("names at their limits", () => {
  it("an interface name of 15 bytes is one; 16, and a pattern for one, are refused by name", async () => {
    const rt = { ...contract.runtimeConf("ifname"), ifname: "n23456789012345" };
    const added = await run("ADD", rt);
    expect(added).toMatchObject(SUCCESS);
    const prevResult = JSON.parse(added.stdout);
    expect(await run("CHECK", rt, { prevResult })).toMatchObject(SUCCESS);
    expect(await run("DEL", rt, { prevResult })).toMatchObject(SUCCESS);
    for (const ifname of [`${rt.ifname}6`, "eth%d", "\u4e16\u754c\u4e16\u754c\u4e16\u754c"])
      for (const command of ["ADD", "CHECK", "DEL"])
        expectError(await run(command, { ...rt, ifname }), 4, ifname);
  });

  it("a network name has no limit of its own; one with a slash is refused by name", async () => {
    // longer than any file name: the library could not keep its result, and we keep nothing by it
    const rt = contract.runtimeConf("network");
    const name = "n".repeat(4096);
    expect(await run("ADD", rt, { name })).toMatchObject(SUCCESS);
    expect(await run("DEL", rt, { name })).toMatchObject(SUCCESS);
    expectError(await run("ADD", rt, { name: "a/b" }), 7, '"a/b"');
  });

  it.each([
    [64, true],
    [150, true],
    [200, false],
    [201, false],
  ])("a container id of %i characters is kept whole, or refused by name", async (length, fits) => {
    const rt = { ...contract.runtimeConf(`id-${length}`), containerId: "c".repeat(length) };
    const added = await run("ADD", rt);
    if (fits) {
      expect(added).toMatchObject(SUCCESS);
      expect(await run("CHECK", rt, { prevResult: JSON.parse(added.stdout) })).toMatchObject(SUCCESS);
    } else expectError(added, 4, "c".repeat(99));
    for (let times = 0; times < 2; times += 1)
      expect(await run("DEL", rt)).toMatchObject({ ...SUCCESS, stdout: "" });
  });
});

describe("arguments", () => {
  it.each([
    ["none", undefined],
    ["an empty text", ""],
    ["no pod names", "IgnoreUnknown=1;FOO=bar"],
    ["a pod name of nothing", "K8S_POD_NAME=;K8S_POD_NAMESPACE="],
    [
      "a pod name longer than the kernel's record",
      `K8S_POD_NAME=${"p".repeat(253)};K8S_POD_NAMESPACE=${"n".repeat(63)}`,
    ],
    ["a pod name that is not ASCII", `K8S_POD_NAME=${"\u00e9".repeat(200)};K8S_POD_NAMESPACE=\u4e16\u754c`],
    ["bars in a pod's name", "K8S_POD_NAME=a|b|c;K8S_POD_UID=u"],
  ])("CNI_ARGS with %s is served", async (_what, args) => {
    const rt = contract.runtimeConf(`args-${args?.length ?? "none"}`);
    const added = await run("ADD", rt, {}, { CNI_ARGS: args });
    expect(added).toMatchObject(SUCCESS);
    const prevResult = JSON.parse(added.stdout);
    expect(await run("CHECK", rt, { prevResult }, { CNI_ARGS: args })).toMatchObject(SUCCESS);
    expect(await run("DEL", rt, { prevResult }, { CNI_ARGS: args })).toMatchObject(SUCCESS);
  });

  it("bars in a pod's UID and in an interface name are nothing to what the kernel records", async () => {
    const rt = { ...contract.runtimeConf("bars"), ifname: "a|10.9.9.9|b" };
    const env = { CNI_ARGS: "K8S_POD_UID=u|10.9.9.8|;K8S_POD_NAME=x|y" };
    const added = await run("ADD", rt, {}, env);
    expect(added).toMatchObject(SUCCESS);
    await contract.restart();
    expect(await run("CHECK", rt, { prevResult: JSON.parse(added.stdout) }, env)).toMatchObject(SUCCESS);
    expect(await run("DEL", rt, {}, env)).toMatchObject(SUCCESS);
  });

  it("a pod's UID that is longer than any is refused by name by an ADD, and nothing to a DEL", async () => {
    const rt = contract.runtimeConf("long-uid");
    const env = { CNI_ARGS: `K8S_POD_UID=${"u".repeat(65)}` };
    expectError(await run("ADD", rt, {}, env), 4, `K8S_POD_UID has 65 characters`);
    expect(await run("DEL", rt, {}, env)).toMatchObject(SUCCESS);
  });

  it("capabilities that we do not know, and keys of others, are let be", async () => {
    const capabilities = { portMappings: true, aliases: true, "io.kubernetes.cri.pod-annotations": true };
    const runtimeConfig = { aliases: ["a"], mac: "00:11:22:33:44:55", deviceID: 7, unheardOf: { deep: [1] } };
    const rt = contract.runtimeConf("capable");
    const config = {
      capabilities,
      runtimeConfig,
      args: { cni: { ips: ["10.0.0.9"] } },
      "cni.dev/other": 1,
      ipam: { type: "host-local" },
    };
    expect(await run("ADD", rt, config)).toMatchObject(SUCCESS);
    expect(await run("DEL", rt, config)).toMatchObject(SUCCESS);
  });

  it.each([
    ["runtimeConfig", "text"],
    ["args", 7],
  ])("%s that is no object is code 7 and named", async (key, value) => {
    expectError(
      await run("ADD", contract.runtimeConf(`no-object-${key}`), { [key]: value }),
      7,
      `${key} is wrong: ${JSON.stringify(value)}`,
    );
  });
});
