import { readdir } from "node:fs/promises";
import { listFirewall } from "../common/kernel/firewall-listing.ts";
import type { NetworkStack } from "../common/kernel/netns.ts";
import type { Logger } from "../common/log.ts";
import { findLeftovers, type LeftoverFacts } from "./leftovers.ts";

export type LeftoverSources = {
  readonly host: NetworkStack;
  /** The namespace of `host`, for programs; this process's own when left out. */
  readonly netnsPath?: string;
  /** The runtime's folder of network configurations; nothing of it is told when left out. */
  readonly networkFolder?: string;
};

/** What findLeftovers() looks at, as it is now. Throws KernelError, or the system's error. */
export async function readLeftoverFacts(sources: LeftoverSources): Promise<LeftoverFacts> {
  const { host, netnsPath, networkFolder } = sources;
  return {
    rules: ([4, 6] as const).flatMap((family) => host.rules.list(family)),
    linkNames: host.links.list().map(({ name }) => name),
    networkFiles: networkFolder === undefined ? [] : await filesOf(networkFolder),
    ...(await listFirewall(netnsPath === undefined ? {} : { netnsPath })),
  };
}

/** A line for each kind of thing that is another CNI's. Never throws: pods do not wait for it. */
export async function tellLeftovers(sources: LeftoverSources, log: Logger): Promise<void> {
  try {
    for (const leftover of findLeftovers(await readLeftoverFacts(sources))) {
      log.warn(leftover, "another CNI is, or was, on this node");
    }
  } catch (err) {
    log.warn({ err }, "what other CNIs left could not be looked for");
  }
}

async function filesOf(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}
