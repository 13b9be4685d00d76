import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

/**
 * Puts a file of /run in place whole, for root alone; makes its folder. Not durable: what is in /run does not outlive the machine either
 * (writeFileAtomically() is for what must). Repeatable. Throws the system's error; the old file stays then.
 */
export function replaceRunFile(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.tmp`;
  // one that an earlier container left half written may be closed to this one
  rmSync(temporary, { force: true });
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, file);
}
