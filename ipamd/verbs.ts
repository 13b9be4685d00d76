import { type Added, addPod } from "../cni/add.ts";
import { type CheckDeps, checkPod } from "../cni/check.ts";
import type { CniRequest, Verbs } from "../cni/command.ts";
import { delPod } from "../cni/del.ts";
import { collectGone, validAttachments } from "../cni/gc.ts";
import type { Lease } from "../cni/ipam.ts";
import { podResult } from "../cni/result.ts";
import { type StatusDeps, status } from "../cni/status.ts";
import { Deadline } from "../common/deadline.ts";
import { CodedError } from "../common/errors.ts";
import type { Logger } from "../common/log.ts";
import { waitFor } from "../common/wait-for.ts";
import { leaseFields } from "./lease-book.ts";

export type VerbDeps = CheckDeps & StatusDeps;

export type VerbsOptions = {
  readonly log: Logger;
  /** How long an ADD may take from its plugin's start, in milliseconds: the plugin's wait for the socket, and ours for `ready`, are part of it. */
  readonly addWaitMs: number;
  /** Resolves when calls can be served. DELs do not wait for it: the queued ones come before. */
  readonly ready: Promise<void>;
  /** Told each lease that GC has ended: nobody calls the other plugins' DEL. */
  readonly delLost: (lease: Lease) => void;
};

/**
 * More than any node has pods. Each ADD that waits holds 25 kB, and the heap is small (docs/decisions/0007): 2500 ended the daemon. One that is refused is
 * asked for again.
 */
export const ADDS_AT_ONCE_MAX = 750;

/** The CNI verbs that this daemon serves. */
export function buildVerbs(deps: VerbDeps, { log, addWaitMs, ready, delLost }: VerbsOptions): Verbs {
  return {
    ADD: atMost(ADDS_AT_ONCE_MAX, async (request, signal) => {
      const { attachment, netns, pod } = request;
      const began = startedAt(request);
      using deadline = new Deadline(began + addWaitMs - bootClockMs(), "the time of this ADD is over");
      const inTime = AbortSignal.any([signal, deadline.signal]);
      const added = await withDeadlineCode(async () => {
        await waitFor(ready, inTime);
        const { isAbandoned } = request;
        return addPod(deps, { attachment, netnsPath: netns, pod, startedAt: began, isAbandoned }, inTime);
      });
      const { hostName, hostMac, podMac } = added.network.link;
      const { slot } = added.lease;
      behindTheAnswer(() => log.info({ ...leaseFields(added.lease), slot, link: hostName }, "pod added"));
      const inPod = { name: attachment.ifname, mac: podMac, netns };
      return podResult(added.lease, { name: hostName, mac: hostMac }, inPod);
    }),
    DEL: async (request) => {
      const ended = await delPod(deps, { attachment: request.attachment, startedAt: startedAt(request) });
      if (ended !== undefined) behindTheAnswer(() => log.info(leaseFields(ended), "pod removed"));
    },
    CHECK: async ({ attachment, netns, prevResult }, signal) => {
      await waitFor(ready, signal);
      return checkPod(deps, { attachment, netnsPath: netns, ...(prevResult && { prevResult }) }, signal);
    },
    GC: async ({ config }, signal) => {
      await waitFor(ready, signal);
      const valid = validAttachments(config);
      if (valid === undefined) return;
      const { ended, unknown, errors } = await collectGone(deps, valid, signal);
      for (const lease of ended) {
        log.info(leaseFields(lease), "pod gone without a DEL, as GC found");
        delLost(lease);
      }
      for (const lease of unknown)
        log.warn(leaseFields(lease), "the runtime does not know a pod that runs here");
      if (errors.length > 0) throw errors[0];
    },
    STATUS: async (_request, signal) => {
      await waitFor(ready, signal);
      status(deps);
    },
  };
}

/** So many at once; CodedError `too-many-adds` for one more. */
function atMost(max: number, add: Verbs["ADD"]): Verbs["ADD"] {
  let running = 0;
  return async (request, signal) => {
    if (running >= max)
      throw new CodedError("too-many-adds", `${running} ADDs are running or waiting already`, {
        retry: "later",
      });
    running += 1;
    try {
      return await add(request, signal);
    } finally {
      running -= 1;
    }
  };
}

/** What nobody waits for: a line of the log costs a tenth of an ADD. */
function behindTheAnswer(work: () => void): void {
  setImmediate(work);
}

/** A deadline that comes while no address is waited for (behind another call of this attachment) is no bug of ours either. */
async function withDeadlineCode(work: () => Promise<Added>): Promise<Added> {
  try {
    return await work();
  } catch (error) {
    const isDeadline = error instanceof DOMException && error.name === "TimeoutError";
    if (!isDeadline) throw error;
    throw new CodedError("add-timeout", "the ADD could not be finished in time", {
      retry: "later",
      cause: error,
    });
  }
}

/** Milliseconds of CLOCK_MONOTONIC, which every process of a boot shares: what plugins say when they began. */
export function bootClockMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/**
 * When the plugin was started, in milliseconds of CLOCK_MONOTONIC. A shim older than this variable is taken to have started now, and so is one that
 * says it is yet to start: a DEL from the future would refuse every later ADD.
 */
function startedAt({ startedAtMs = Infinity }: CniRequest): number {
  return Math.min(startedAtMs, bootClockMs());
}
