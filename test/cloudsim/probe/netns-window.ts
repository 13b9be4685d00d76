import { closeSync, openSync } from "node:fs";
import koffi from "koffi";

const libc = koffi.load(null);
const setns = libc.func("int setns(int fd, int type)");
const CLONE_NEWNET = 0x40000000;

const home = openSync("/proc/thread-self/ns/net", "r");

/**
 * Runs `work` with this thread in another network namespace: sockets that it opens, and what it reads or writes under
 * /proc/sys/net, belong to that namespace. Synchronous by contract: `work` must not await, nor start a thread or a child.
 */
export function inNetns<T>(netnsPath: string, work: () => T): T {
  const target = openSync(netnsPath, "r");
  try {
    if (setns(target, CLONE_NEWNET) !== 0) {
      throw new Error(`setns ${netnsPath}: errno ${koffi.errno()}`);
    }
    return work();
  } finally {
    // staying in the wrong namespace would put later work anywhere
    if (setns(home, CLONE_NEWNET) !== 0) process.abort();
    closeSync(target);
  }
}
