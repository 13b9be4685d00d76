import { describe, expect, it } from "vitest";
import { simpleVerbs } from "../test/shim/daemon.ts";
import { config, VALID_VARIABLES } from "../test/shim/shim.ts";
import { type CniRequest, type Outcome, runCommand, type Verbs } from "./command.ts";

async function run(
  variables: Readonly<Record<string, string>>,
  stdin: string = config(),
  verbs: Verbs = simpleVerbs,
): Promise<Outcome & { readonly document: Record<string, unknown> | undefined }> {
  const all = new Map(Object.entries({ CNI_COMMAND: "ADD", ...VALID_VARIABLES, ...variables }));
  const frame = { variables: all, stdin: Buffer.from(stdin) };
  const outcome = await runCommand(frame, verbs, new AbortController().signal);
  const text = outcome.answer.stdout.toString();
  return { ...outcome, document: text === "" ? undefined : JSON.parse(text) };
}

describe("runCommand()", () => {
  it.each([
    ["0.3.0", true],
    ["0.3.1", true],
    ["0.4.0", true],
    ["1.0.0", false],
    ["1.1.0", false],
  ])("ADD answers %s in that version's shape", async (version, hasFamily) => {
    const { document, answer } = await run({}, config({ cniVersion: version }));
    expect(answer.exitCode).toBe(0);
    const mtu = version === "1.1.0" ? { mtu: 9001 } : {};
    expect(document).toEqual({
      cniVersion: version,
      interfaces: [
        { name: "cw0123456789ab", mac: "02:00:00:00:00:0a", ...mtu },
        { name: "eth0", mac: "02:00:00:00:00:0b", sandbox: "/run/netns/aa01", ...mtu },
      ],
      ips: [
        { ...(hasFamily && { version: "4" }), address: "10.0.0.5/32", gateway: "169.254.1.1", interface: 1 },
        {
          ...(hasFamily && { version: "6" }),
          address: "2001:db8::5/128",
          gateway: "fe80::c:1",
          interface: 1,
        },
      ],
      routes: [
        { dst: "0.0.0.0/0", gw: "169.254.1.1" },
        { dst: "::/0", gw: "fe80::c:1" },
      ],
    });
  });

  it.each([
    ["no command", { CNI_COMMAND: "" }, 'unknown CNI_COMMAND: ""'],
    ["an unknown command", { CNI_COMMAND: "add" }, 'unknown CNI_COMMAND: "add"'],
    [
      "missing variables, all of them",
      { CNI_CONTAINERID: "", CNI_NETNS: "", CNI_PATH: "" },
      "missing: CNI_CONTAINERID, CNI_NETNS, CNI_PATH",
    ],
    ["a container id with a slash", { CNI_CONTAINERID: "a/b" }, 'CNI_CONTAINERID is not valid: "a/b"'],
    ["a container id that begins with a dot", { CNI_CONTAINERID: ".a" }, '".a"'],
    ["a container id too long", { CNI_CONTAINERID: "a".repeat(201) }, "201 characters, at most 200"],
    [
      "a container id too long beside a UID",
      { CNI_CONTAINERID: "a".repeat(144), CNI_ARGS: `K8S_POD_UID=${"0".repeat(36)}` },
      "144 characters, at most 143",
    ],
    ["an ifname too long", { CNI_IFNAME: "abcdefghijklmnop" }, '"abcdefghijklmnop"'],
    ["an ifname with a colon", { CNI_IFNAME: "eth0:1" }, '"eth0:1"'],
    ["an ifname with a space", { CNI_IFNAME: "eth 0" }, '"eth 0"'],
    ["an ifname ..", { CNI_IFNAME: ".." }, '".."'],
    [
      "id and ifname wrong, both",
      { CNI_CONTAINERID: "/", CNI_IFNAME: "." },
      '"/"; CNI_IFNAME is not valid: "."',
    ],
    ["a relative namespace", { CNI_NETNS: "ns/1" }, '"ns/1"'],
    ["arguments that are no pairs", { CNI_ARGS: "A=1;B" }, '"B"'],
  ])("ADD with %s is code 4 and names it", async (_what, variables, text) => {
    const { document, answer } = await run(variables, config({ cniVersion: "0.4.0" }));
    expect(answer.exitCode).toBe(1);
    expect(document).toMatchObject({
      cniVersion: "0.4.0",
      code: 4,
      msg: expect.stringContaining(text),
      details: "",
    });
  });

  it.each([
    ["nothing", "", 6, "0 bytes"],
    ["no JSON", '{"token":"SECRET-abc",', 6, "not JSON (22 bytes"],
    ["an array", "[]", 6, "an array"],
    ["null", "null", 6, "null"],
    ["a number for a version", config({ cniVersion: 1 }), 6, "cniVersion is not a string but 1"],
    ["a version of the future", config({ cniVersion: "2.0.0" }), 1, '"2.0.0"'],
    ["no version, which means 0.1.0", config({ cniVersion: undefined }), 1, '"0.1.0"'],
    ["no name", config({ name: undefined }), 7, "name is missing"],
    ["a name that is a path", config({ name: "../x" }), 7, 'name is wrong: "../x"'],
    [
      "name and type wrong, both",
      config({ name: 5, type: "a/b" }),
      7,
      'name is wrong: 5; type is wrong: "a/b"',
    ],
    [
      "a prevResult that is a list",
      config({ prevResult: ["SECRET-abc"] }),
      7,
      "prevResult is wrong: an array",
    ],
  ])("ADD with %s on stdin is an error that names it and no other text", async (_what, stdin, code, text) => {
    const { document, answer } = await run({}, stdin);
    expect(answer.exitCode).toBe(1);
    expect(document).toMatchObject({ code, msg: expect.stringContaining(text) });
    expect(answer.stdout.toString()).not.toContain("SECRET");
  });

  it.each([
    ["CHECK", "0.3.1", 1],
    ["CHECK", "0.4.0", 0],
    ["GC", "1.0.0", 1],
    ["GC", "1.1.0", 0],
    ["STATUS", "1.0.0", 1],
    ["STATUS", "1.1.0", 0],
    ["DEL", "0.3.0", 0],
  ])("%s in %s exits with %d", async (command, cniVersion, exitCode) => {
    const { answer, document } = await run({ CNI_COMMAND: command }, config({ cniVersion }));
    expect(answer.exitCode).toBe(exitCode);
    expect(document?.code).toBe(exitCode === 0 ? undefined : 1);
  });

  it("gives the verb what the runtime said, unknown keys and arguments kept", async () => {
    let seen: CniRequest | undefined;
    const verbs: Verbs = {
      ...simpleVerbs,
      DEL: async (request) => {
        seen = request;
      },
    };
    const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=u-1;IP=a=b";
    await run(
      { CNI_COMMAND: "DEL", CNI_ARGS: args, TRACEPARENT: "00-1" },
      config({ runtimeConfig: { dns: {} }, "cni.dev/x": 1 }),
      verbs,
    );
    expect(seen).toMatchObject({
      command: "DEL",
      cniVersion: "1.0.0",
      attachment: { containerId: "aa01", ifname: "eth0" },
      netns: "/run/netns/aa01",
      pod: { namespace: "default", name: "web", uid: "u-1" },
      config: { name: "causeway", runtimeConfig: { dns: {} }, "cni.dev/x": 1 },
      traceparent: "00-1",
    });
    expect(seen?.args.get("IP")).toBe("a=b");
  });

  it.each([
    ["no namespace", { CNI_NETNS: "" }, {}],
    ["arguments that are no pairs", { CNI_ARGS: "x" }, {}],
    ["an empty prevResult", {}, { prevResult: {} }],
    ["a prevResult of null", {}, { prevResult: null }],
    ["a container id too long to have been added", { CNI_CONTAINERID: "a".repeat(500) }, {}],
  ])("DEL with %s reaches its verb", async (_what, variables, changes) => {
    const { answer } = await run({ CNI_COMMAND: "DEL", ...variables }, config(changes));
    expect(answer).toEqual({ exitCode: 0, stdout: Buffer.alloc(0) });
  });

  it.each([
    ["the version it was asked in", '{"cniVersion":"0.4.0"}', "0.4.0"],
    ["the newest for an empty stdin", "", "1.1.0"],
  ])("VERSION answers in %s", async (_what, stdin, cniVersion) => {
    const { document } = await run({ CNI_COMMAND: "VERSION" }, stdin);
    expect(document).toEqual({
      cniVersion,
      supportedVersions: ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    });
  });

  it("an error of the verb is the one document on stdout", async () => {
    const failing = async () => {
      throw new TypeError("undefined is not a function");
    };
    const { document, error } = await run({}, config(), { ...simpleVerbs, ADD: failing });
    expect(document).toEqual({
      cniVersion: "1.0.0",
      code: 999,
      msg: "undefined is not a function",
      details: "",
    });
    expect(error).toBeInstanceOf(TypeError);
  });
});
