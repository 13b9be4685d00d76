import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Verbs } from "../cni/command.ts";
import { type AnswerFrame, answerReader, encodeRequest } from "../cni/frame.ts";

import { memoryLog, simpleVerbs, socketIn, startServer, temporaryFolder } from "../test/shim/daemon.ts";
import { config, VALID_VARIABLES } from "../test/shim/shim.ts";
import { until } from "../test/shim/waiting.ts";

function requestBytes(command: string, stdin = config()): Buffer {
  const variables = new Map(Object.entries({ CNI_COMMAND: command, ...VALID_VARIABLES }));
  return encodeRequest({ variables, stdin: Buffer.from(stdin) });
}

function connectTo(path: string): Socket {
  return connect({ path, allowHalfOpen: true }).on("error", () => undefined);
}

/** The answer on the socket; undefined when it is closed without one. */
async function answerOn(socket: Socket): Promise<AnswerFrame | undefined> {
  const reader = answerReader();
  for await (const chunk of socket) {
    const answer = reader.push(chunk as Buffer);
    if (answer !== undefined) return answer;
  }
  return undefined;
}

async function errorOn(socket: Socket): Promise<{ code: number; msg: string }> {
  const answer = await answerOn(socket);
  expect(answer?.exitCode).toBe(1);
  return JSON.parse(String(answer?.stdout));
}

async function expectServing(folder: string): Promise<void> {
  const socket = connectTo(socketIn(folder));
  socket.write(requestBytes("DEL"));
  expect((await answerOn(socket))?.exitCode).toBe(0);
}

/** Verbs whose ADD waits for its signal or for `release`. */
function waitingVerbs() {
  const seen = { started: 0, aborted: [] as unknown[], release: Promise.withResolvers<void>() };
  const verbs: Verbs = {
    ...simpleVerbs,
    ADD: async (request, signal) => {
      seen.started += 1;
      const aborted = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => aborted.reject(signal.reason), { once: true });
      try {
        await Promise.race([seen.release.promise, aborted.promise]);
      } catch (error) {
        seen.aborted.push(error);
        throw error;
      }
      return simpleVerbs.ADD(request, signal);
    },
  };
  return { seen, verbs };
}

describe("CniServer", () => {
  it("makes a folder of mode 0700 and a socket of mode 0600, and leaves nothing else in it", async () => {
    using folder = temporaryFolder();
    await using server = await startServer(folder.path);
    expect(server.runningCount).toBe(0);
    const path = socketIn(folder.path);
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dirname(path))).toEqual(["ipamd.sock"]);
  });

  it("closes a folder that was open to others", async () => {
    using folder = temporaryFolder();
    mkdirSync(dirname(socketIn(folder.path)));
    chmodSync(dirname(socketIn(folder.path)), 0o777);
    await using _server = await startServer(folder.path);
    expect(statSync(dirname(socketIn(folder.path))).mode & 0o777).toBe(0o700);
  });

  it.each(["sock", "s".repeat(100)])("refuses a path that is too long by name (…/%s)", async (name) => {
    using folder = temporaryFolder();
    const path = join(folder.path, "d".repeat(100), name);
    await expect(startServer(folder.path, simpleVerbs, { path })).rejects.toThrow(
      expect.objectContaining({ code: "socket-path-too-long", message: expect.stringContaining(path) }),
    );
  });

  it("answers requests in whatever pieces they come", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const socket = connectTo(socketIn(folder.path));
    for (const byte of requestBytes("ADD")) socket.write(Buffer.from([byte]));
    const answer = await answerOn(socket);
    expect(JSON.parse(String(answer?.stdout)).ips[0].address).toBe("10.0.0.5/32");
  });

  it("tells a client that says nothing so, and closes it", async () => {
    using folder = temporaryFolder();
    await using server = await startServer(folder.path, simpleVerbs, { readDeadlineMs: 50 });
    const error = await errorOn(connectTo(socketIn(folder.path)));
    expect(error).toMatchObject({ code: 5, msg: expect.stringContaining("within 50 ms") });
    await until("the connection is forgotten", () => server.runningCount === 0);
    await expectServing(folder.path);
  });

  it("tells a client that ends in the middle of a frame so", async () => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const socket = connectTo(socketIn(folder.path));
    socket.end(requestBytes("ADD").subarray(0, 20));
    expect(await errorOn(socket)).toMatchObject({
      code: 5,
      msg: expect.stringContaining("the client ended it"),
    });
  });

  it.each([
    ["of a newer version", Buffer.from([2, 0, 0]), 11, "frame version 2; this end speaks 1"],
    ["that claims 4 GB", Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]), 5, "4294967295 bytes"],
    ["without a variable's name", Buffer.from([1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 61, 0]), 5, "NAME=value"],
    ["that is HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n"), 11, "frame version 71"],
  ])("answers a frame %s with a CNI error and serves on", async (_what, bytes, code, text) => {
    using folder = temporaryFolder();
    await using _server = await startServer(folder.path);
    const socket = connectTo(socketIn(folder.path));
    socket.write(bytes);
    expect(await errorOn(socket)).toMatchObject({ code, msg: expect.stringContaining(text) });
    await expectServing(folder.path);
  });

  it("serves on after a client that sends and leaves without reading", async () => {
    using folder = temporaryFolder();
    await using server = await startServer(folder.path);
    for (let count = 0; count < 20; count += 1) {
      const socket = connectTo(socketIn(folder.path));
      socket.write(requestBytes("ADD"), () => socket.destroy());
    }
    await expectServing(folder.path);
    await until("all connections are forgotten", () => server.runningCount === 0);
  });

  it("refuses a peer that is neither root nor the daemon's own user", async () => {
    using folder = temporaryFolder();
    const stranger = { of: () => ({ pid: 42, uid: 65_534, gid: 65_534 }), hasHungUp: () => false };
    await using _server = await startServer(folder.path, simpleVerbs, { peers: stranger });
    const socket = connectTo(socketIn(folder.path));
    socket.write(requestBytes("ADD"));
    const error = await errorOn(socket);
    expect(error).toMatchObject({ code: 5, msg: expect.stringContaining("user 65534 (process 42)") });
  });

  it("aborts an ADD whose client is gone", async () => {
    using folder = temporaryFolder();
    const { seen, verbs } = waitingVerbs();
    await using server = await startServer(folder.path, verbs);
    const socket = connectTo(socketIn(folder.path));
    socket.write(requestBytes("ADD"));
    await until("the ADD runs", () => seen.started === 1);
    socket.destroy();
    await until("the ADD is aborted", () => server.runningCount === 0);
    expect(seen.aborted).toEqual([expect.objectContaining({ code: "client-gone" })]);
  });

  it("keeps the configuration and its secrets out of the log", async () => {
    using folder = temporaryFolder();
    const { log, lines } = memoryLog();
    await using _server = await startServer(folder.path, simpleVerbs, { log });
    for (const stdin of [
      config({ token: "SECRET-abc", name: 5 }),
      '{"token":"SECRET-abc"',
      config({ token: "SECRET-abc" }),
    ]) {
      const socket = connectTo(socketIn(folder.path));
      socket.write(requestBytes("ADD", stdin));
      await answerOn(socket);
    }
    expect(lines).toHaveLength(3);
    expect(lines[2]).toMatchObject({ command: "ADD", containerId: "aa01", ifname: "eth0" });
    expect(JSON.stringify(lines)).not.toContain("SECRET");
  });

  it("reports every served request", async () => {
    using folder = temporaryFolder();
    const served: unknown[] = [];
    await using _server = await startServer(folder.path, simpleVerbs, {
      onServed: (one) => served.push(one),
    });
    await expectServing(folder.path);
    expect(served).toEqual([{ command: "DEL", exitCode: 0, durationMs: expect.any(Number) }]);
  });
});

describe("CniServer.stop()", () => {
  it("takes the socket away at once and lets running requests end", async () => {
    using folder = temporaryFolder();
    const { seen, verbs } = waitingVerbs();
    const server = await startServer(folder.path, verbs);
    const socket = connectTo(socketIn(folder.path));
    socket.write(requestBytes("ADD"));
    await until("the ADD runs", () => seen.started === 1);
    const stopped = server.stop(10_000);
    expect(existsSync(socketIn(folder.path))).toBe(false);
    seen.release.resolve();
    expect((await answerOn(socket))?.exitCode).toBe(0);
    expect(await stopped).toBe(0);
  });

  it("aborts what has not ended by the deadline, and answers code 11", async () => {
    using folder = temporaryFolder();
    const { seen, verbs } = waitingVerbs();
    const server = await startServer(folder.path, verbs);
    const socket = connectTo(socketIn(folder.path));
    socket.write(requestBytes("ADD"));
    await until("the ADD runs", () => seen.started === 1);
    const stopped = server.stop(50);
    expect(await errorOn(socket)).toMatchObject({ code: 11 });
    expect(await stopped).toBe(0);
  });

  it("leaves the socket of a daemon that came later", async () => {
    using folder = temporaryFolder();
    const server = await startServer(folder.path);
    rmSync(socketIn(folder.path));
    await using _later = await startServer(folder.path);
    await server.stop(1000);
    await expectServing(folder.path);
  });
});

describe("one daemon per node", () => {
  it("a second one refuses to start and the first serves on", async () => {
    using folder = temporaryFolder();
    await using _first = await startServer(folder.path);
    await expect(startServer(folder.path)).rejects.toThrow(
      expect.objectContaining({ code: "another-daemon" }),
    );
    await expectServing(folder.path);
    expect(readdirSync(dirname(socketIn(folder.path)))).toEqual(["ipamd.sock"]);
  });

  it("of many that start together at most one goes on, and then a next one can", async () => {
    using folder = temporaryFolder();
    for (let round = 0; round < 10; round += 1) {
      const starts = await Promise.allSettled(Array.from({ length: 5 }, () => startServer(folder.path)));
      const winners = starts.filter((start) => start.status === "fulfilled");
      expect(winners.length).toBeLessThanOrEqual(1);
      for (const { value } of winners) await value.stop(1000);
    }
    await using _next = await startServer(folder.path);
    await expectServing(folder.path);
  });

  it("refuses for one that listens and has not taken the public name yet, and leaves it alone", async () => {
    using folder = temporaryFolder();
    const starting = `${socketIn(folder.path)}.0badcafe`;
    mkdirSync(dirname(starting));
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(starting, resolve));
    await expect(startServer(folder.path)).rejects.toThrow(
      expect.objectContaining({ code: "another-daemon" }),
    );
    expect(readdirSync(dirname(starting))).toEqual(["ipamd.sock.0badcafe"]);
    await new Promise((resolve) => other.close(resolve));
  });

  it.each([
    ["the socket of a daemon that died", leaveDeadSocket],
    ["a plain file", async (path: string) => writeFileSync(path, "")],
    ["a dangling link", async (path: string) => symlinkSync("/nonexistent/x", path)],
  ])("replaces %s", async (_what, leave) => {
    using folder = temporaryFolder();
    mkdirSync(dirname(socketIn(folder.path)));
    await leave(socketIn(folder.path));
    await leave(`${socketIn(folder.path)}.0badcafe`);
    await using _server = await startServer(folder.path);
    await expectServing(folder.path);
    expect(readdirSync(dirname(socketIn(folder.path)))).toEqual(["ipamd.sock"]);
  });
});

/** Listens and closes without unlinking, as a killed process does. */
async function leaveDeadSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.bound`, resolve));

  linkSync(`${path}.bound`, path);
  await new Promise((resolve) => server.close(resolve));
}
