import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { KernelError } from "./errors.ts";
import type { Sysctl } from "./netns.ts";
import { inNetns } from "./netns-window.ts";

/** Kernel parameters as files: /proc/sys/net shows those of the namespace that the opening thread is in. */
export class ProcSysctl implements Sysctl {
  private readonly netnsFd: number;

  constructor(netnsFd: number) {
    this.netnsFd = netnsFd;
  }

  get(path: string): string | undefined {
    return inNetns(this.netnsFd, () => read(path));
  }

  set(path: string, value: string): void {
    inNetns(this.netnsFd, () => write(path, value));
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new KernelError(codeOf(error), `read sysctl ${path}: ${codeOf(error)}`, { cause: error });
  }
}

// what a parameter of a link can be is short
const text = Buffer.alloc(64);

/** By one descriptor, and only when it differs. */
function write(path: string, value: string): void {
  try {
    // not w, which would try to create a file that is missing: EACCES instead of ENOENT
    const fd = openSync(`/proc/sys/${path}`, "r+");
    try {
      const length = readSync(fd, text, 0, text.length, 0);
      if (text.toString("latin1", 0, length).trim() !== value) writeSync(fd, value, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    // where it cannot be written, what is there may be right
    if (codeOf(error) !== "ENOENT" && read(path) === value) return;
    throw new KernelError(codeOf(error), `set sysctl ${path} to ${value}: ${codeOf(error)}`, {
      cause: error,
    });
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "EIO";
}
