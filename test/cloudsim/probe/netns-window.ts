import { closeSync, openSync } from "node:fs";
import { inNetns as inOpenNetns } from "../../../common/kernel/netns-window.ts";

/**
 * Runs `work` with this thread in another network namespace: sockets that it opens, and what it reads or writes under
 * /proc/sys/net, belong to that namespace. Synchronous by contract: `work` must not await, nor start a thread or a child.
 */
export function inNetns<T>(netnsPath: string, work: () => T): T {
  const fd = openSync(netnsPath, "r");
  try {
    return inOpenNetns(fd, work);
  } finally {
    closeSync(fd);
  }
}
