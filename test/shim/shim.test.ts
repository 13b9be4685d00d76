import { chmodSync, copyFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCommand, type Verbs } from "../../cni/command.ts";
import { COMMANDS } from "../../cni/environment.ts";
import { FRAME_LIMITS } from "../../cni/frame.ts";
import {
  callFor,
  DEADLINES,
  expectError,
  expectSilentSuccess,
  realShim,
  run,
  SLACK_MS,
  shim,
} from "./calls.ts";
import { simpleVerbs, socketIn, startServer, temporaryFolder } from "./daemon.ts";
import { config, runShim, startShim } from "./shim.ts";

describe("the shim with a daemon", () => {
  it("relays ADD's result and DEL's silence", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const added = await run(folder.path, "ADD", { stdin: config({ cniVersion: "0.4.0" }) });
    expect(added.exitCode).toBe(0);
    expect(JSON.parse(added.stdout)).toMatchObject({
      cniVersion: "0.4.0",
      ips: [{ version: "4" }, { version: "6" }],
    });
    expectSilentSuccess(await run(folder.path, "DEL"));
    expectSilentSuccess(await run(folder.path, "DEL"));
    expect(readdirSync(dirname(socketIn(folder.path)))).toEqual(["ipamd.sock"]);
  });

  it("relays CNI_* and TRACEPARENT, and no other variable", async () => {
    using folder = temporaryFolder();
    let seen: readonly unknown[] = [];
    const verbs: Verbs = {
      ...simpleVerbs,
      DEL: async (request) => {
        seen = [request.args.get("K8S_POD_NAME"), request.traceparent];
      },
    };
    await using _server = await startServer(folder.path, verbs);
    const variables = {
      CNI_ARGS: "K8S_POD_NAME=wéb",
      TRACEPARENT: "00-1-2-01",
      AWS_SECRET_ACCESS_KEY: "SECRET",
    };
    expectSilentSuccess(await run(folder.path, "DEL", { variables }));
    expect(seen).toEqual(["wéb", "00-1-2-01"]);
  });

  it("carries 1 MB of stdin", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const stdin = config({ padding: "x".repeat(1024 * 1024) });
    expect((await run(folder.path, "ADD", { stdin })).exitCode).toBe(0);
  });

  it("serves 100 at once", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const runs = await Promise.all(
      Array.from({ length: 100 }, () => runShim(realShim, callFor(folder.path, "ADD"))),
    );
    for (const one of runs) expect(JSON.parse(one.stdout).ips).toHaveLength(2);
  });

  it("is killed: the daemon aborts its ADD", async () => {
    using folder = temporaryFolder();
    const aborted = Promise.withResolvers<unknown>();
    const started = Promise.withResolvers<void>();
    const verbs: Verbs = {
      ...simpleVerbs,
      ADD: (_request, signal) =>
        new Promise((_resolve, reject) => {
          started.resolve();
          signal.addEventListener("abort", () => {
            aborted.resolve(signal.reason);
            reject(signal.reason);
          });
        }),
    };
    await using _server = await startServer(folder.path, verbs);
    const { child, result } = startShim(shim, callFor(folder.path, "ADD"));
    await started.promise;
    child.kill("SIGKILL");
    expect(await aborted.promise).toMatchObject({ code: "client-gone" });
    expect((await result).stdout).toBe("");
  });

  it("is not disturbed by a runtime that does not read", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const { child, result } = startShim(shim, callFor(folder.path, "ADD", { stdin: "open" }));
    child.stdout?.destroy();
    child.stdin?.end(config());
    expect((await result).exitCode).toBe(1);
    expectSilentSuccess(await run(folder.path, "DEL"));
  });

  it("relays the daemon's CNI error and exit code", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const error = expectError(await run(folder.path, "ADD", { stdin: config({ cniVersion: "9.9.9" }) }));
    expect(error).toMatchObject({ cniVersion: "9.9.9", code: 1 });
    expectSilentSuccess(await run(folder.path, "DEL"));
  });
});

describe.concurrent("the shim on bad input", () => {
  it("says what it is without CNI_COMMAND, on stderr, with exit code 0", async () => {
    const result = await runShim(shim, { variables: {}, stdin: "open" });
    expect(result).toMatchObject({ exitCode: 0, stdout: "" });
    expect(result.stderr).toMatch(/CNI plugin[\s\S]*0\.3\.0[\s\S]*1\.1\.0/);
  });

  it.each(["add", "ADD ", "X".repeat(5000), 'a"\\\n\u00e9'])(
    "answers CNI_COMMAND %j with code 4",
    async (command) => {
      using folder = temporaryFolder();
      const error = expectError(await run(folder.path, command));
      expect(error.code).toBe(4);
      expect(error.msg).toContain(`unknown CNI_COMMAND: ${command.slice(0, 3)}`);
    },
  );

  it.each(COMMANDS.filter((command) => command !== "VERSION" && command !== "STATUS"))(
    "names all variables that %s lacks, as the daemon does",
    async (command) => {
      using folder = temporaryFolder();
      const variables = {
        CNI_CONTAINERID: undefined,
        CNI_NETNS: "",
        CNI_IFNAME: undefined,
        CNI_PATH: undefined,
      };
      const error = expectError(await run(folder.path, command, { variables }));
      const frame = { variables: new Map([["CNI_COMMAND", command]]), stdin: Buffer.from(config()) };
      const { answer } = await runCommand(frame, simpleVerbs, new AbortController().signal);
      const { code, msg } = JSON.parse(answer.stdout.toString());
      expect(error).toMatchObject({ code: 4, msg });
      expect(code).toBe(4);
    },
  );

  it("names a socket path that is too long", async () => {
    const path = `/tmp/${"x".repeat(200)}/ipamd.sock`;
    using folder = temporaryFolder();
    const error = expectError(await run(folder.path, "ADD", { variables: { CAUSEWAY_SOCKET: path } }));
    expect(error).toMatchObject({ code: 4, msg: expect.stringContaining(path) });
    expect(error.msg).toContain("107");
  });

  it("names the limit when stdin is past it", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const stdin = config({ padding: "x".repeat(FRAME_LIMITS.stdin) });
    const error = expectError(await run(folder.path, "ADD", { stdin }));
    expect(error).toMatchObject({ code: 5, msg: expect.stringContaining(String(FRAME_LIMITS.stdin)) });
  });

  it("names the limit when the variables are past it", async () => {
    using folder = temporaryFolder();
    // the kernel allows 128 KiB for one variable, so two are needed
    const variables = { CNI_ARGS: `A=${"x".repeat(100_000)}`, CNI_MORE: "x".repeat(100_000) };
    const error = expectError(await run(folder.path, "ADD", { variables }));
    expect(error).toMatchObject({ code: 4, msg: expect.stringContaining(String(FRAME_LIMITS.variables)) });
  });

  it.each(["ADD", "DEL", "CHECK"])("ends %s by itself when stdin does not end", async (command) => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const result = await run(folder.path, command, { stdin: "open" });
    expect(expectError(result)).toMatchObject({ code: 5, msg: expect.stringContaining("stdin did not end") });
    expect(result.durationMs).toBeLessThan(DEADLINES.STDIN_MS + SLACK_MS);
  });

  it("answers VERSION also when stdin does not end", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const result = await run(folder.path, "VERSION", { stdin: "open" });
    expect(JSON.parse(result.stdout).supportedVersions).toContain("1.1.0");
  });

  it.each([
    ["the configuration's", '{"cniVersion":"0.3.1"}', "0.3.1"],
    ["not a prevResult's", '{"prevResult":{"cniVersion":"0.1.0"},"cniVersion" :\n"0.4.0"}', "0.4.0"],
    ["not one in a string", '{"name":"\\"cniVersion\\":\\"0.1.0\\"","cniVersion":"0.4.0"}', "0.4.0"],
    ["the newest for none", '{"name":"x"}', "1.1.0"],
    ["the newest for one that cannot be printed", '{"cniVersion":"1\\u0000\\"","x":"y"}', "1.1.0"],
    ["the newest for a number", '{"cniVersion":1}', "1.1.0"],
    ["the newest for broken JSON", '{"cniVersion', "1.1.0"],
    ["the newest for a string without an end", '{"cniVersion":"0.4.0', "1.1.0"],
    ["the newest for bytes of any kind", Buffer.from([0xff, 0, 0x22, 0x5c]), "1.1.0"],
    ["the newest for nothing", "", "1.1.0"],
  ])("prints errors of its own in a version: %s", async (_what, stdin, cniVersion) => {
    using folder = temporaryFolder();
    const error = expectError(await run(folder.path, "ADD", { stdin, variables: { CNI_NETNS: "" } }));
    expect(error).toMatchObject({ cniVersion, code: 4 });
  });

  it("says that a user has no permission, at once", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    chmodSync(folder.path, 0o755);
    const copy = join(folder.path, "causeway");
    copyFileSync(shim, copy);
    for (const command of ["ADD", "DEL"]) {
      const error = expectError(await runShim(copy, callFor(folder.path, command, { uid: 65_534 })));
      expect(error).toMatchObject({ code: 5, msg: expect.stringContaining("uid 65534") });
      expect(error.msg).toContain(socketIn(folder.path));
    }
  });
});
