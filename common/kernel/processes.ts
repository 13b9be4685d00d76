/** The one door to other programs. */
import { spawn } from "node:child_process";

export type ProgramResult = {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
};

export type ProgramOptions = {
  /** Written to its standard input, which is empty otherwise. */
  readonly input?: string;
  /** Told the process id before the program can have done anything that we could see. */
  readonly onStart?: (processId: number) => void;
  /** Kills it when it takes longer. Default 30 s. */
  readonly timeoutMs?: number;
  /** Variables beside this process's own, which it inherits. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Kills it when it aborts, and rejects at once, whoever else holds its output open. */
  readonly signal?: AbortSignal;
};

/**
 * Runs a program to its end, without a shell. Rejects when it cannot be started; an exit by signal gives exit code -1. Does not
 * judge the exit code: the caller knows what it means.
 */
export async function runProgram(
  command: readonly [string, ...string[]],
  { input = "", onStart, timeoutMs = 30_000, environment, signal }: ProgramOptions = {},
): Promise<ProgramResult> {
  const [file, ...args] = command;
  const child = spawn(file, args, {
    stdio: ["pipe", "pipe", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    ...(environment && { env: { ...process.env, ...environment } }),
    ...(signal && { signal }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<ProgramResult>();
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (part: string) => (output.stdout += part));
  child.stderr.setEncoding("utf8").on("data", (part: string) => (output.stderr += part));
  child.once("error", reject);
  child.once("close", (exitCode) => resolve({ exitCode: exitCode ?? -1, ...output }));
  // a program that ends without reading its input breaks the pipe; its exit code tells why
  child.stdin.on("error", () => undefined);
  if (child.pid !== undefined) onStart?.(child.pid);
  child.stdin.end(input);
  return promise;
}

/** Those of the programs that are in no folder of PATH. */
export async function missingPrograms(names: readonly string[]): Promise<readonly string[]> {
  const look = 'for name; do command -v "$name" >/dev/null || echo "$name"; done';
  const { stdout } = await runProgram(["sh", "-c", look, "sh", ...names]);
  return stdout.split("\n").filter((name) => name !== "");
}
