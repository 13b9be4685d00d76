/** What the tests of the shim have in common: two builds of it, calls, and what they expect of an answer. */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { socketIn } from "./daemon.ts";
import { buildShim, runShim, type ShimCall, type ShimRun, VALID_VARIABLES } from "./shim.ts";

/** Short ones, so that a test can wait for their end. Milliseconds. */
export const DEADLINES = {
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
/** With the deadlines above. */
export const shim = buildShim(DEADLINES);
/** With the deadlines that runtimes meet, for tests that should not meet any. */
export const realShim = buildShim();
/** What starting a process may take on a busy machine, beside the shim's own deadline. */
export const SLACK_MS = 2000;

/** What the specification asks of an error. */
export type CniErrorDocument = {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details: string;
};

/** A valid call of the command to the daemon whose folder it is; `changes` to variables are laid over. */
export function callFor(folder: string, command: string, changes: Partial<ShimCall> = {}): ShimCall {
  const variables = { CNI_COMMAND: command, CAUSEWAY_SOCKET: socketIn(folder), ...VALID_VARIABLES };
  return { ...changes, variables: { ...variables, ...changes.variables } };
}

/** As callFor(), run by `shim`. */
export function run(folder: string, command: string, changes?: Partial<ShimCall>): Promise<ShimRun> {
  return runShim(shim, callFor(folder, command, changes));
}

/** One document with all four keys and nothing else. */
export function expectError({ exitCode, stdout, stderr }: ShimRun): CniErrorDocument {
  expect(stderr).toBe("");
  expect(exitCode).toBe(1);
  const error = JSON.parse(stdout);
  expect(Object.keys(error)).toEqual(["cniVersion", "code", "msg", "details"]);
  return error;
}

/** DEL, CHECK, GC and STATUS succeed so. */
export function expectSilentSuccess(result: ShimRun): void {
  expect(result).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
}

/** The queue directory beside the socket. */
export function queueOf(folder: string): string {
  return join(dirname(socketIn(folder)), "del");
}

/** Sorted names, those of temporary files too. */
export function filesIn(queue: string): string[] {
  return readdirSync(queue).sort();
}
