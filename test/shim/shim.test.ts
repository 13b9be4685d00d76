import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCommand, supportedVersions, type Verbs } from "../../cni/command.ts";
import { COMMANDS } from "../../cni/environment.ts";
import { encodeAnswer, FRAME_LIMITS } from "../../cni/frame.ts";
import { simpleVerbs, socketIn, startServer, temporaryFolder } from "./daemon.ts";
import {
  buildShim,
  config,
  runShim,
  type ShimCall,
  type ShimRun,
  startShim,
  VALID_VARIABLES,
} from "./shim.ts";
import { until } from "./waiting.ts";

const DEADLINES = {
  ADD_MS: 3000,
  CHECK_MS: 2000,
  GC_MS: 2000,
  DEL_MS: 2000,
  STATUS_MS: 2000,
  VERSION_MS: 2000,
  SOCKET_BACK_MS: 600,
  // the end of stdin comes late from a test process that starts many shims
  STDIN_MS: 1000,
};
const shim = buildShim(DEADLINES);
/** With the deadlines that runtimes meet, for tests that should not meet any. */
const realShim = buildShim();
/** What starting a process may take on a busy machine, beside the shim's own deadline. */
const SLACK_MS = 2000;

type Error = {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details: string;
};

function callFor(folder: string, command: string, changes: Partial<ShimCall> = {}): ShimCall {
  const variables = { CNI_COMMAND: command, CAUSEWAY_SOCKET: socketIn(folder), ...VALID_VARIABLES };
  return { ...changes, variables: { ...variables, ...changes.variables } };
}

function run(folder: string, command: string, changes?: Partial<ShimCall>): Promise<ShimRun> {
  return runShim(shim, callFor(folder, command, changes));
}

/** One document with all four keys and nothing else. */
function expectError({ exitCode, stdout, stderr }: ShimRun): Error {
  expect(stderr).toBe("");
  expect(exitCode).toBe(1);
  const error = JSON.parse(stdout);
  expect(Object.keys(error)).toEqual(["cniVersion", "code", "msg", "details"]);
  return error;
}

function expectSilentSuccess(result: ShimRun): void {
  expect(result).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
}

function queueOf(folder: string): string {
  return join(dirname(socketIn(folder)), "del");
}

function filesIn(queue: string): string[] {
  return readdirSync(queue).sort();
}

/** A listener of the test's own making, on the daemon's path. */
async function listenAs(
  folder: string,
  onConnection: (socket: Socket) => void,
): Promise<Server & AsyncDisposable> {
  mkdirSync(dirname(socketIn(folder)), { recursive: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    onConnection(socket);
  });
  server.listen(socketIn(folder));
  await once(server, "listening");
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  return Object.assign(server, { [Symbol.asyncDispose]: close });
}

/** Accepts and says nothing. */
const mute = (folder: string) => listenAs(folder, (socket) => void socket.resume());

async function startDaemonProcess(folder: string): Promise<ChildProcess & Disposable> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "daemon-main.ts"), folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return Object.assign(child, { [Symbol.dispose]: () => void child.kill("SIGKILL") });
}

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
    expect(result.stderr).toMatch(/CNI plugin[\s\S]*0\.3\.0[\s\S]*1\.0\.0/);
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
      const nothing = async () => undefined;
      const verbs = { ...simpleVerbs, CHECK: nothing, GC: nothing };
      const frame = { variables: new Map([["CNI_COMMAND", command]]), stdin: Buffer.from(config()) };
      const { answer } = await runCommand(frame, verbs, new AbortController().signal);
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
    expect(JSON.parse(result.stdout).supportedVersions).toContain("1.0.0");
  });

  it.each([
    ["the configuration's", '{"cniVersion":"0.3.1"}', "0.3.1"],
    ["not a prevResult's", '{"prevResult":{"cniVersion":"0.1.0"},"cniVersion" :\n"0.4.0"}', "0.4.0"],
    ["not one in a string", '{"name":"\\"cniVersion\\":\\"0.1.0\\"","cniVersion":"0.4.0"}', "0.4.0"],
    ["the newest for none", '{"name":"x"}', "1.0.0"],
    ["the newest for one that cannot be printed", '{"cniVersion":"1\\u0000\\"","x":"y"}', "1.0.0"],
    ["the newest for a number", '{"cniVersion":1}', "1.0.0"],
    ["the newest for broken JSON", '{"cniVersion', "1.0.0"],
    ["the newest for a string without an end", '{"cniVersion":"0.4.0', "1.0.0"],
    ["the newest for bytes of any kind", Buffer.from([0xff, 0, 0x22, 0x5c]), "1.0.0"],
    ["the newest for nothing", "", "1.0.0"],
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

describe.concurrent("the shim without a daemon", () => {
  it("VERSION answers by itself, with the daemon's own list", async () => {
    using folder = temporaryFolder();
    const result = await run(folder.path, "VERSION", { stdin: '{"cniVersion":"0.4.0"}' });
    expect(result.exitCode).toBe(0);
    expect(JSON.parse(result.stdout)).toEqual({
      cniVersion: "0.4.0",
      supportedVersions: supportedVersions(simpleVerbs),
    });
  });

  it.each([
    ["young", -30, true],
    ["a little in the future", 20, true],
    ["old", -61, false],
    ["far in the future, from before the clock was set back", 7200, false],
    ["missing", undefined, false],
  ])("STATUS with a heartbeat that is %s", async (_what, ageSeconds, ready) => {
    using folder = temporaryFolder();
    const path = join(dirname(socketIn(folder.path)), "alive");
    mkdirSync(dirname(path));
    if (ageSeconds !== undefined) {
      writeFileSync(path, "");
      const time = Date.now() / 1000 + ageSeconds;
      utimesSync(path, time, time);
    }
    const result = await run(folder.path, "STATUS");
    if (ready) expectSilentSuccess(result);
    else expect(expectError(result)).toMatchObject({ code: 50, msg: expect.stringContaining(path) });
  });

  it.each(["ADD", "CHECK", "GC"])(
    "%s waits for the socket to come back, then is code 11",
    async (command) => {
      using folder = temporaryFolder();
      const result = await run(folder.path, command);
      expect(expectError(result)).toMatchObject({
        code: 11,
        msg: expect.stringContaining(socketIn(folder.path)),
      });
      expect(result.durationMs).toBeGreaterThan(400);
      expect(result.durationMs).toBeLessThan(DEADLINES.SOCKET_BACK_MS + SLACK_MS);
    },
  );

  it("ADD succeeds when the socket comes back in time", async () => {
    using folder = temporaryFolder();
    const patient = buildShim({ SOCKET_BACK_MS: 20_000 });
    const { child, result } = startShim(patient, callFor(folder.path, "ADD"));
    await until("the shim runs", () => child.pid !== undefined);
    await using _server = await startServer(folder.path);
    expect((await result).exitCode).toBe(0);
  });

  it("DEL is queued and succeeds", async () => {
    using folder = temporaryFolder();
    expectSilentSuccess(await run(folder.path, "DEL"));
    expect(filesIn(queueOf(folder.path))).toEqual([expect.stringMatching(/^\d{3}$/)]);
  });

  it("100 DELs at once are queued, each in a file of its own", async () => {
    using folder = temporaryFolder();
    const runs = await Promise.all(
      Array.from({ length: 100 }, () => runShim(realShim, callFor(folder.path, "DEL"))),
    );
    for (const one of runs) expectSilentSuccess(one);
    expect(filesIn(queueOf(folder.path))).toHaveLength(100);
  });

  it("DEL is code 11 when the queue is full, and no more files are there than before", async () => {
    using folder = temporaryFolder();
    mkdirSync(queueOf(folder.path), { recursive: true });
    for (let slot = 0; slot < 255; slot += 1) {
      writeFileSync(join(queueOf(folder.path), String(slot).padStart(3, "0")), "");
    }
    expectSilentSuccess(await run(folder.path, "DEL"));
    const error = expectError(await run(folder.path, "DEL"));
    expect(error).toMatchObject({ code: 11, msg: expect.stringContaining("full (256 files)") });
    expect(filesIn(queueOf(folder.path))).toHaveLength(256);
  });

  it("DEL is code 11 and names the reason when the queue cannot be written", async () => {
    using folder = temporaryFolder();
    mkdirSync(dirname(queueOf(folder.path)));
    writeFileSync(queueOf(folder.path), "not a folder");
    const error = expectError(await run(folder.path, "DEL"));
    expect(error).toMatchObject({ code: 11, msg: expect.stringContaining("Not a directory") });
  });
});

describe.concurrent("the shim with a daemon that hangs", () => {
  it.each([
    ["ADD", 11, DEADLINES.ADD_MS],
    ["CHECK", 11, DEADLINES.CHECK_MS],
    ["GC", 11, DEADLINES.GC_MS],
    ["STATUS", 50, DEADLINES.STATUS_MS],
  ])("ends %s by itself with code %d", async (command, code, deadlineMs) => {
    using folder = temporaryFolder();
    await using _server = await mute(folder.path);
    const result = await run(folder.path, command);
    expect(expectError(result)).toMatchObject({ code, details: expect.stringContaining("does not answer") });
    expect(result.durationMs).toBeLessThan(deadlineMs + SLACK_MS);
  });

  it("queues the DEL, and answers VERSION", async () => {
    using folder = temporaryFolder();
    await using _server = await mute(folder.path);
    expectSilentSuccess(await run(folder.path, "DEL"));
    expect(filesIn(queueOf(folder.path))).toHaveLength(1);
    expect((await run(folder.path, "VERSION")).exitCode).toBe(0);
  });

  it("is bounded also when the daemon is stopped, and is served when it goes on", async () => {
    using folder = temporaryFolder();
    using daemon = await startDaemonProcess(folder.path);
    daemon.kill("SIGSTOP");
    const [added, deleted] = await Promise.all([run(folder.path, "ADD"), run(folder.path, "DEL")]);
    expect(expectError(added).code).toBe(11);
    expectSilentSuccess(deleted);
    daemon.kill("SIGCONT");
    expect((await run(folder.path, "ADD")).exitCode).toBe(0);
  });

  it("asks once more after the daemon was lost in the middle of an ADD, however late", async () => {
    using folder = temporaryFolder();
    const backMs = 2000;
    await using dying = await listenAs(folder.path, (socket) => {
      dying.close();
      setTimeout(() => socket.destroy(), backMs + 100);
    });
    const patient = buildShim({ SOCKET_BACK_MS: backMs });
    const result = runShim(patient, callFor(folder.path, "ADD"));
    await once(dying, "close");
    await using _server = await startServer(folder.path);
    expect((await result).exitCode).toBe(0);
  });

  it("is ended by a signal, with no more on stdout, when the runtime reads nothing of a large answer", async () => {
    using folder = temporaryFolder();
    const large = encodeAnswer({ exitCode: 0, stdout: Buffer.alloc(FRAME_LIMITS.stdout, " ") });
    await using _server = await listenAs(folder.path, (socket) => void socket.write(large));
    const env = callFor(folder.path, "GC").variables as NodeJS.ProcessEnv;
    const child = spawn(shim, { env, stdio: ["ignore", "pipe", "ignore"] });
    const [code, signal] = await once(child, "exit");
    expect([code, signal]).toEqual([null, "SIGALRM"]);
  });

  it("gives up with code 11 when the daemon is lost again and again", async () => {
    using folder = temporaryFolder();
    let connections = 0;
    await using _server = await listenAs(folder.path, (socket) => {
      connections += 1;
      socket.destroy();
    });
    expect(expectError(await run(folder.path, "ADD")).code).toBe(11);
    expect(connections).toBe(2);
  });

  it("takes an answer that it does not understand for none, and says so", async () => {
    using folder = temporaryFolder();
    await using _server = await listenAs(
      folder.path,
      (socket) => void socket.end(Buffer.from([9, 0, 0, 0, 0, 0, 0, 0])),
    );
    const error = expectError(await run(folder.path, "ADD"));
    expect(error).toMatchObject({ code: 11, details: expect.stringContaining("frame version 9") });
  });

  it("takes its DEL out of the queue again when the second try was answered", async () => {
    using folder = temporaryFolder();
    await using dying = await listenAs(folder.path, (socket) => {
      if (dying.listening) dying.close();
      void socket.resume(); // never answered: the shim goes on to the queue
    });
    const slow = buildShim({ DEL_MS: 4000 });
    const result = runShim(slow, callFor(folder.path, "DEL"));
    await once(dying, "connection");
    await using _server = await startServer(folder.path);
    expectSilentSuccess(await result);
    expect(filesIn(queueOf(folder.path))).toEqual([]);
  });
});
