/**
 * One daemon per node, without a lock file. A starting daemon first listens under a name of its own in the socket's folder, then looks for
 * others there, and only then renames its socket to the public name. Of two that start together, the one that listens later looks later and
 * sees the other; so never both go on. A socket whose daemon has died refuses connections and is replaced.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { connect, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { CodedError } from "../common/errors.ts";

/** sizeof(sun_path) - 1, linux/un.h. */
const SOCKET_PATH_BYTES_MAX = 107;

/** A claimed public path. */
export type SocketClaim = {
  /** Takes the public name away, so that new clients wait for the next daemon. Does nothing when it is another's by now. */
  release(): void;
};

/**
 * Makes `server` listen at `path`, mode 0600 in a folder of mode 0700. Throws CodedError `socket-path-too-long`, `another-daemon` (one
 * answers there; the server is closed again) or the system's error.
 */
export async function claimSocket(server: Server, path: string): Promise<SocketClaim> {
  const own = `${path}.${randomBytes(4).toString("hex")}`;
  if (Buffer.byteLength(own) > SOCKET_PATH_BYTES_MAX) {
    const most = SOCKET_PATH_BYTES_MAX - (own.length - path.length);
    throw new CodedError(
      "socket-path-too-long",
      `the socket's path has ${Buffer.byteLength(path)} bytes, at most ${most}: ${path}`,
    );
  }
  makeFolder(dirname(path));
  await listen(server, own);
  try {
    chmodSync(own, 0o600);
    await refuseIfAnother(path, own);
    renameSync(own, path);
  } catch (error) {
    server.close();
    rmSync(own, { force: true });
    throw error;
  }
  const { ino } = statSync(path);
  return {
    release: () => {
      if (statSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
    },
  };
}

/** Names of their own first, the public one last: a daemon that is renamed meanwhile is then found there. */
async function refuseIfAnother(path: string, own: string): Promise<void> {
  const folder = dirname(path);
  const others = readdirSync(folder)
    .filter((name) => name.startsWith(`${basename(path)}.`))
    .map((name) => join(folder, name))
    .filter((other) => other !== own);
  for (const other of others) {
    await refuseIfAnswering(other);
    rmSync(other, { force: true }); // nobody listens, and such a name is never used twice
  }
  await refuseIfAnswering(path);
}

async function refuseIfAnswering(path: string): Promise<void> {
  if (await isAnswering(path)) {
    throw new CodedError("another-daemon", `another causeway daemon serves ${path}; this one does not start`);
  }
}

/** A daemon that is stopped, or whose backlog is full, is there too. */
function isAnswering(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(path);
  probe.once("connect", () => resolve(true));
  probe.once("error", (error: NodeJS.ErrnoException) => {
    resolve(!["ENOENT", "ECONNREFUSED", "ENOTSOCK"].includes(error.code ?? ""));
  });
  return promise.finally(() => probe.destroy());
}

function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ path, backlog: BACKLOG }, resolve);
  await promise.finally(() => server.removeListener("error", reject));
}

/** A whole node's pods may be added at once. */
const BACKLOG = 1024;
