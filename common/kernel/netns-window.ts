/**
 * Work in another network namespace. setns moves the calling thread only, and whatever starts a thread or a child meanwhile is left
 * there for good: so a window is one synchronous call, which does no more than open a socket or a file under /proc/sys.
 */
import { openSync } from "node:fs";
import { stat } from "node:fs/promises";
import { setNetns } from "./libc.ts";

/** The namespace this thread began in; /proc/self would be the main thread's. */
const home = openSync("/proc/thread-self/ns/net", "r");
let current = home;

/** A descriptor of the namespace that this thread belongs to. */
export const homeNetns = home;

/** Runs `work` with the thread in the namespace of that descriptor. Windows may be nested. Throws what `work` throws. */
export function inNetns<T>(fd: number, work: () => T): T {
  if (fd === current) return work();
  const before = current;
  setNetns(fd);
  current = fd;
  try {
    return work();
  } finally {
    returnTo(before);
  }
}

/** Must precede the first window: starts the threads that file calls run on, which otherwise could be born in one. */
export async function startThreadPool(): Promise<void> {
  await stat("/proc/self");
}

function returnTo(fd: number): void {
  try {
    setNetns(fd);
    current = fd;
  } catch {
    // a thread in a wrong namespace would change other pods' networks
    process.abort();
  }
}
