/**
 * How the reference library's own skeleton of a plugin (containernetworking/cni, pkg/skel) is invoked in its tests, and what it promises then: the same
 * calls, made of the real plugin. Where the specification leaves a choice, ours is the expectation.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CniError } from "../../cni/errors.ts";
import { callFor, expectError, expectSilentSuccess, realShim } from "../shim/calls.ts";
import { simpleVerbs, startServer, temporaryFolder } from "../shim/daemon.ts";
import { config, runShim, type ShimRun } from "../shim/shim.ts";

type Variables = Readonly<Record<string, string | undefined>>;

let folder: ReturnType<typeof temporaryFolder>;
let server: Awaited<ReturnType<typeof startServer>>;
/** Commands whose verb was reached, in order. */
const reached: string[] = [];
/** What a verb throws, when a test wants that. */
let thrown: unknown;

beforeAll(async () => {
  folder = temporaryFolder();
  const noting =
    <Request extends { readonly command: string }, Answer>(
      verb: (request: Request, signal: AbortSignal) => Promise<Answer>,
    ) =>
    async (request: Request, signal: AbortSignal) => {
      reached.push(request.command);
      if (thrown !== undefined) throw thrown;
      return verb(request, signal);
    };
  server = await startServer(folder.path, {
    ADD: noting(simpleVerbs.ADD),
    CHECK: noting(simpleVerbs.CHECK),
    DEL: noting(simpleVerbs.DEL),
    GC: noting(simpleVerbs.GC),
    STATUS: noting(simpleVerbs.STATUS),
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** One call, and whether its verb and no other was reached. */
async function call(
  command: string,
  variables: Variables = {},
  stdin = config({ cniVersion: "1.1.0" }),
): Promise<ShimRun & { readonly reached: string[] }> {
  reached.length = 0;
  const run = await runShim(realShim, callFor(folder.path, command, { variables, stdin }));
  return { ...run, reached: [...reached] };
}

function expectRefusal(
  run: ShimRun & { readonly reached: readonly string[] },
  code: number,
  ...texts: readonly string[]
): void {
  const { reached: verbs, ...rest } = run;
  const error = expectError(rest);
  expect({ code: error.code, verbs }).toEqual({ code, verbs: [] });
  for (const text of texts) expect(`${error.msg} ${error.details}`).toContain(text);
}

const COMMANDS = ["ADD", "CHECK", "DEL", "GC", "STATUS"] as const;
const ATTACHED = ["ADD", "CHECK", "DEL"] as const;
const VARIABLES = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"] as const;
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
  GC: ["CNI_PATH"],
  STATUS: [],
};

describe.each(COMMANDS)("%s", (command) => {
  it("reaches its verb and no other", async () => {
    const run = await call(command);
    expect(run).toMatchObject({ exitCode: 0, stderr: "", reached: [command] });
    if (command !== "ADD") expectSilentSuccess(run);
  });

  it.each(VARIABLES)("with and without %s", async (name) => {
    for (const value of [undefined, ""]) {
      const run = await call(command, { [name]: value });
      if (REQUIRED[command]?.includes(name)) expectRefusal(run, 4, name);
      else expect(run).toMatchObject({ exitCode: 0, reached: [command] });
    }
  });

  it("names every variable that is missing, not only the first", async () => {
    const none = Object.fromEntries(VARIABLES.map((name) => [name, undefined]));
    const run = await call(command, none);
    const needed = REQUIRED[command] ?? [];
    if (needed.length > 0) expectRefusal(run, 4, needed.join(", "));
    else expect(run).toMatchObject({ exitCode: 0, reached: [command] });
  });

  it.each([
    ["no version, which means 0.1.0", { cniVersion: undefined }, 1, '"0.1.0"'],
    ["an empty version", { cniVersion: "" }, 1, '"0.1.0"'],
    ["a version that is none", { cniVersion: "adsfsadf" }, 1, '"adsfsadf"'],
    ["a version of the future", { cniVersion: "1.2.0" }, 1, "1.1.0"],
    ["no name", { name: undefined }, 7, "name is missing"],
    ["a name with a character that is not allowed", { name: "te%%st" }, 7, '"te%%st"'],
  ])("with %s", async (_what, changes, code, text) => {
    expectRefusal(await call(command, {}, config({ cniVersion: "1.1.0", ...changes })), code, text);
  });

  it.each([["{"], ["[]"], ['"text"'], [""], ["null"]])("with %j for a configuration", async (stdin) => {
    expectRefusal(await call(command, {}, stdin), 6);
  });

  it("says a verb's own error as it is, and code 999 for one that nobody foresaw", async () => {
    thrown = new CniError("tryAgainLater", "potato", { cause: new Error("frying pan") });
    const own = await call(command);
    thrown = new Error("potato");
    const unforeseen = await call(command);
    thrown = undefined;
    expect(expectError(own)).toMatchObject({
      cniVersion: "1.1.0",
      code: 11,
      msg: "potato",
      details: "frying pan",
    });
    expect(expectError(unforeseen)).toMatchObject({ cniVersion: "1.1.0", code: 999, msg: "potato" });
  });
});

describe.each(ATTACHED)("%s of one attachment", (command) => {
  it.each([
    [
      "a container id with a character that is not allowed",
      { CNI_CONTAINERID: "some-%%container-id" },
      "some-%%container-id",
    ],
    ["an interface name that is too long", { CNI_IFNAME: "1234567890123456" }, "1234567890123456"],
    ["an interface name .", { CNI_IFNAME: "." }, '"."'],
    ["an interface name ..", { CNI_IFNAME: ".." }, '".."'],
    ["an interface name with a slash", { CNI_IFNAME: "test/test" }, "test/test"],
    ["an interface name with a colon", { CNI_IFNAME: "test:test" }, "test:test"],
    ["an interface name with a space", { CNI_IFNAME: "test test" }, "test test"],
  ])("refuses %s", async (_what, variables, text) => {
    expectRefusal(await call(command, variables), 4, text);
  });
});

describe("versions that a verb came with", () => {
  it.each([
    ["CHECK", "0.3.1"],
    ["GC", "0.3.0"],
    ["GC", "1.0.0"],
    ["STATUS", "1.0.0"],
  ])("%s is not allowed in %s", async (command, cniVersion) => {
    expectRefusal(await call(command, {}, config({ cniVersion })), 1, command, cniVersion);
  });
});

describe("VERSION", () => {
  const supportedVersions = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
  const nothing = Object.fromEntries(VARIABLES.map((name) => [name, undefined]));

  it.each([
    ["nothing but the command", nothing, "", "1.1.0"],
    [
      "what libcni sends to find out",
      { CNI_NETNS: "dummy", CNI_IFNAME: "dummy", CNI_PATH: "dummy" },
      '{"cniVersion":"1.1.0"}',
      "1.1.0",
    ],
    ["an older caller's version", nothing, '{"cniVersion":"0.2.0"}', "0.2.0"],
    ["something that is no configuration", nothing, "{", "1.1.0"],
  ])("answers to %s", async (_what, variables, stdin, cniVersion) => {
    const run = await call("VERSION", variables, stdin);
    expect(run).toMatchObject({ exitCode: 0, stderr: "", reached: [] });
    expect(JSON.parse(run.stdout)).toEqual({ cniVersion, supportedVersions });
  });
});

describe("another command", () => {
  it("is code 4 and named", async () => {
    expectRefusal(await call("NOPE"), 4, "NOPE");
  });

  it("none at all is a person: it is told what this is, on stderr, and the exit code is 0", async () => {
    const run = await call("", { CNI_COMMAND: undefined });
    expect(run).toMatchObject({ exitCode: 0, stdout: "", reached: [] });
    for (const version of ["0.3.0", "1.1.0"]) expect(run.stderr).toContain(version);
  });
});
