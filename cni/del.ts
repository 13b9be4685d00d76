/**
 * DEL: ends a lease. It needs neither the pod's namespace nor prevResult, which may be gone or name another pod by now; the attachment
 * alone says what is ours. Idempotent. CNI SPEC 1.0.0, section 2.
 */
import type { Attachment } from "../common/ids.ts";
import type { AddDeps } from "./add.ts";
import { detach } from "./apply.ts";
import type { Lease } from "./ipam.ts";
import { planPodNetwork } from "./pod-network.ts";

export type DelRequest = {
  readonly attachment: Attachment;
  /** When the plugin was started, in the desk's clock. */
  readonly startedAt: number;
};

/**
 * Gives the lease that ended, undefined when there was none or its ADD began after this DEL. Answers as soon as the lease has ended and its routes are gone; the link itself is removed
 * behind it.
 */
export function delPod(deps: AddDeps, request: DelRequest): Promise<Lease | undefined> {
  return deps.desk.del(request.attachment, request.startedAt, () => {
    const lease = deps.ipam.find(request.attachment);
    if (lease === undefined) return undefined;
    const network = planPodNetwork(lease);
    if (detach(deps, network, lease, "del")) deps.dyingLinks.add(network.link.hostName);
    deps.points.reach("del.lease");
    deps.ipam.release(request.attachment);
    return lease;
  });
}
