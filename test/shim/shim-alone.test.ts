import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { encodeAnswer, FRAME_LIMITS } from "../../cni/frame.ts";
import { RESULT_VERSIONS } from "../../cni/result.ts";
import {
  callFor,
  DEADLINES,
  expectError,
  expectSilentSuccess,
  filesIn,
  queueOf,
  realShim,
  run,
  SLACK_MS,
  shim,
} from "./calls.ts";
import { socketIn, startServer, temporaryFolder } from "./daemon.ts";
import { buildShim, runShim, startShim } from "./shim.ts";
import { until } from "./waiting.ts";

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

describe.concurrent("the shim without a daemon", () => {
  it("VERSION answers by itself, with the daemon's own list", async () => {
    using folder = temporaryFolder();
    const result = await run(folder.path, "VERSION", { stdin: '{"cniVersion":"0.4.0"}' });
    expect(result.exitCode).toBe(0);
    expect(JSON.parse(result.stdout)).toEqual({
      cniVersion: "0.4.0",
      supportedVersions: RESULT_VERSIONS,
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
    // one second of tries, as it could be dying
    expect(connections).toBeLessThan(30);
  });

  it("asks again when it has met the dying daemon a second time", async () => {
    using folder = temporaryFolder();
    const served = encodeAnswer({ exitCode: 0, stdout: Buffer.from("{}") });
    let connections = 0;
    await using _server = await listenAs(folder.path, (socket) => {
      connections += 1;
      if (connections < 4) socket.destroy();
      else socket.end(served);
    });
    expect(await run(folder.path, "ADD")).toMatchObject({ exitCode: 0, stdout: "{}" });
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
