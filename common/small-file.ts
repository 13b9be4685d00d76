import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** The whole text, or why there is none. */
export type FileText =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "missing" | "unreadable"; readonly why: string };

/** Reads a file of text that others write, at most `bytesMax` of it. Never throws, and does not wait for the writer of a pipe. */
export function readSmallFile(file: string, bytesMax: number): FileText {
  try {
    return readWhole(file, bytesMax);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isMissing = code === "ENOENT" || code === "ENOTDIR";
    return isMissing
      ? { kind: "missing", why: `${file} is not there` }
      : { kind: "unreadable", why: `${file} cannot be read: ${message}` };
  }
}

function readWhole(file: string, bytesMax: number): FileText {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) return { kind: "unreadable", why: `${file} is not a file` };
    const bytes = Buffer.allocUnsafe(Math.min(stat.size, bytesMax) + 1);
    const length = readSync(descriptor, bytes, 0, bytes.length, 0);
    if (length > bytesMax) return { kind: "unreadable", why: `${file} has more than ${bytesMax} bytes` };
    return decode(file, bytes.subarray(0, length));
  } finally {
    closeSync(descriptor);
  }
}

function decode(file: string, bytes: Uint8Array): FileText {
  try {
    // leaves out a byte order mark too
    return { kind: "text", text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return { kind: "unreadable", why: `${file} is not UTF-8` };
  }
}
