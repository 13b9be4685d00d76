import { randomBytes } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CodedError } from "./errors.ts";

/**
 * Puts a file in place whole or not at all: temporary file in the same folder (a rename from another one is not seen by container
 * runtimes that watch the folder), fsync, rename, fsync of the folder, read back. The temporary name begins with a dot and ends in `.tmp`, so
 * that no reader of the folder takes it for a file of its own. Repeatable; a failure leaves the old file. Throws the system's error,
 * or CodedError `file-not-kept` when something else is read back.
 */
export async function writeFileAtomically(
  path: string,
  text: string,
  options: { readonly mode: number },
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await writeDurably(temporary, text, options.mode);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
  if ((await readFile(path, "utf8")) !== text) {
    throw new CodedError("file-not-kept", `${path} holds something else than was just written`, {
      retry: "soon",
    });
  }
}

/** Makes what was created, renamed or removed in the folder outlive a crash of the machine. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, "r");
  await folder.sync();
}

async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  await using file = await open(path, "wx", mode);
  await file.chmod(mode); // the process's umask does not count
  await file.writeFile(text);
  await file.sync();
}
