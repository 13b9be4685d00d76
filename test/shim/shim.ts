/**
 * The real shim for tests: compiled once per set of deadlines, run as a runtime would run it.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";

/** The shim's deadlines, by the names of its macros; what is not given has its real value. */
export type ShimDeadlines = Partial<
  Record<
    | "ADD_MS"
    | "CHECK_MS"
    | "DEL_MS"
    | "GC_MS"
    | "STATUS_MS"
    | "VERSION_MS"
    | "SOCKET_BACK_MS"
    | "STDIN_MS"
    | "HEARTBEAT_GRACE_S",
    number
  >
>;

/** Everything of a run that a runtime looks at. */
export type ShimRun = {
  /** Undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
};

const SOURCE = "cni/shim.c";

/** Path of a binary with these deadlines. */
export function buildShim(deadlines: ShimDeadlines = {}): string {
  const macros = Object.entries(deadlines).map(([name, value]) => `-D${name}=${value}`);
  const hash = createHash("sha256")
    .update(readFileSync(SOURCE))
    .update(macros.join(" "))
    .digest("hex")
    .slice(0, 16);
  const path = join(".cache", "shim", hash, "causeway");
  if (existsSync(path)) return path;
  mkdirSync(join(".cache", "shim", hash), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  execFileSync("gcc", [
    "-std=c17",
    "-O2",
    "-static",
    "-Wall",
    "-Wextra",
    "-Werror",
    ...macros,
    "-o",
    temporary,
    SOURCE,
  ]);
  renameSync(temporary, path); // another test file may build the same one
  return path;
}

/** Variables of a valid ADD or DEL; a test changes what it is about. */
export const VALID_VARIABLES = {
  CNI_CONTAINERID: "aa01",
  CNI_NETNS: "/run/netns/aa01",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
} as const;

/** A valid configuration as JSON. */
export function config(changes: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ cniVersion: "1.0.0", name: "causeway", type: "causeway", ...changes });
}

export type ShimCall = {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** `open`: stdin stays open for ever and says nothing. */
  readonly stdin?: string | Buffer | "open";
  /** Runs it as another user. */
  readonly uid?: number;
};

/** Starts the shim; `result` resolves when it has ended. */
export function startShim(
  path: string,
  call: ShimCall,
): { readonly child: ChildProcess; readonly result: Promise<ShimRun> } {
  const startedAt = performance.now();
  const env = Object.fromEntries(Object.entries(call.variables).filter(([, value]) => value !== undefined));
  const child = spawn(path, {
    env: env as NodeJS.ProcessEnv,
    ...(call.uid && { uid: call.uid, gid: call.uid }),
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on("error", () => undefined); // a shim that refuses does not read all of it
  if (call.stdin !== "open") child.stdin.end(call.stdin ?? config());
  const { promise, resolve, reject } = Promise.withResolvers<ShimRun>();
  child.once("error", reject);
  child.once("close", (code) => {
    child.stdin.destroy();
    resolve({
      exitCode: code ?? undefined,
      stdout: Buffer.concat(stdout).toString(),
      stderr: Buffer.concat(stderr).toString(),
      durationMs: performance.now() - startedAt,
    });
  });
  return { child, result: promise };
}

export function runShim(path: string, call: ShimCall): Promise<ShimRun> {
  return startShim(path, call).result;
}
