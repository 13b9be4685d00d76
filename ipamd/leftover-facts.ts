import { readdir } from "node:fs/promises";
import type { Clock } from "../common/clock.ts";
import { describeError } from "../common/errors.ts";
import { listFirewall } from "../common/kernel/firewall-listing.ts";
import type { NetworkStack } from "../common/kernel/netns.ts";
import { findLeftovers, type LeftoverFacts } from "./leftovers.ts";
import type { Problem, ProblemBoard } from "./problems.ts";

/** Whoever removes them sees them gone without a restart. Each look runs programs, and is in no hurry. */
const LOOK_EVERY_MS = 300_000;

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

/** What other CNIs left, as problems of this node. Never throws: pods do not wait for it, and a look that fails is a problem too. */
export async function leftoverProblems(sources: LeftoverSources): Promise<Problem[]> {
  try {
    return findLeftovers(await readLeftoverFacts(sources)).map(({ owner, found, effect }) => ({
      code: "other-cni",
      severity: "warning",
      sentence: `${owner} is, or was, on this node: ${found.join(", ")}: ${effect}`,
    }));
  } catch (error) {
    const sentence = `what other CNIs left could not be looked for: ${describeError(error)}`;
    return [{ code: "other-cni", severity: "warning", sentence }];
  }
}

/** Reports what `look` gives, at once and every five minutes until the signal aborts. */
export async function reportLeftovers(
  look: () => Promise<readonly Problem[]>,
  board: Pick<ProblemBoard, "report">,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    board.report("leftovers", await look());
    await clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
  }
}

async function filesOf(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}
