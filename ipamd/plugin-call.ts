import path from "node:path";
import { CodedError } from "../common/errors.ts";
import { runProgram } from "../common/kernel/processes.ts";
import type { PluginConf } from "./conflist.ts";

export type PluginCall = {
  /** The runtime's folder of plugins. */
  readonly folder: string;
  /** What the plugin reads: its part of the list, with the list's name and version. */
  readonly conf: PluginConf;
  readonly variables: Readonly<Record<string, string>> & { readonly CNI_COMMAND: string };
  readonly signal: AbortSignal;
};

const DEADLINE_MS = 10_000;

/**
 * Executes another plugin as a runtime does, and gives what it printed. At most 10 s. Throws CodedError `plugin-failed`, which may be tried again, with
 * the plugin's words; and the signal's reason.
 */
export async function callPlugin({ folder, conf, variables, signal }: PluginCall): Promise<string> {
  const file = path.join(folder, conf.type);
  const fail = (words: string, cause?: unknown) =>
    new CodedError("plugin-failed", `${variables.CNI_COMMAND} of ${file}: ${words}`, {
      retry: "soon",
      cause,
    });
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  const options = {
    input: JSON.stringify(conf),
    environment: { ...variables, CNI_PATH: folder },
    signal: AbortSignal.any([signal, deadline]),
  };
  const { exitCode, stdout, stderr } = await runProgram([file], options).catch((error: unknown) => {
    signal.throwIfAborted();
    throw deadline.aborted ? fail(`no answer in ${DEADLINE_MS / 1_000} s`) : fail("not executed", error);
  });
  if (exitCode === 0) return stdout;
  throw fail(errorText(stdout) || stderr.trim() || `exit code ${exitCode}`);
}

/** The specification's error (section 5), or what stands in its place. */
function errorText(stdout: string): string {
  try {
    const { msg = "", details = "" } = JSON.parse(stdout) as { msg?: string; details?: string };
    return [msg, details].filter((text) => text !== "").join(": ");
  } catch {
    return stdout.trim();
  }
}
