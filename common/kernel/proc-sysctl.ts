import { readFileSync, writeFileSync } from "node:fs";
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
    inNetns(this.netnsFd, () => {
      if (read(path) !== value) write(path, value);
    });
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

function write(path: string, value: string): void {
  try {
    // not w, which would try to create a file that is missing: EACCES instead of ENOENT
    writeFileSync(`/proc/sys/${path}`, value, { flag: "r+" });
  } catch (error) {
    throw new KernelError(codeOf(error), `set sysctl ${path} to ${value}: ${codeOf(error)}`, {
      cause: error,
    });
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "EIO";
}
