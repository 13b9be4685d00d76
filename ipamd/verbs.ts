import { type AddDeps, type Added, addPod } from "../cni/add.ts";
import type { CniRequest, Verbs } from "../cni/command.ts";
import { delPod } from "../cni/del.ts";
import { podResult } from "../cni/result.ts";
import { CodedError } from "../common/errors.ts";
import type { Logger } from "../common/log.ts";
import { leaseFields } from "./lease-book.ts";

/** The CNI verbs that this daemon serves. An ADD waits `addWaitMs` for an address. */
export function buildVerbs(deps: AddDeps, log: Logger, addWaitMs: number): Verbs {
  return {
    ADD: async (request, signal) => {
      const { attachment, netns, pod } = request;
      const added = await addInTime(
        deps,
        { attachment, netnsPath: netns, pod, startedAt: startedAt(request) },
        AbortSignal.any([signal, AbortSignal.timeout(addWaitMs)]),
      );
      const { hostName, hostMac, podMac } = added.network.link;
      log.info({ ...leaseFields(added.lease), slot: added.lease.slot, link: hostName }, "pod added");
      const inPod = { name: attachment.ifname, mac: podMac, netns };
      return podResult(added.lease, { name: hostName, mac: hostMac }, inPod);
    },
    DEL: async (request) => {
      const ended = await delPod(deps, { attachment: request.attachment, startedAt: startedAt(request) });
      if (ended !== undefined) log.info(leaseFields(ended), "pod removed");
    },
  };
}

/** A deadline that comes while no address is waited for (behind another call of this attachment) is no bug of ours either. */
async function addInTime(...parameters: Parameters<typeof addPod>): Promise<Added> {
  try {
    return await addPod(...parameters);
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
 * When the plugin was started, in milliseconds of CLOCK_MONOTONIC. A shim older than this variable is taken
 * to have started now.
 */
function startedAt({ startedAtMs }: CniRequest): number {
  return startedAtMs ?? bootClockMs();
}
