/**
 * ADD: one address per family from the pool, a pair into the pod's namespace, and what routes it. A failure at any step undoes the
 * steps before it. CNI SPEC 1.0.0, section 2.
 */
import { setTimeout as delay } from "node:timers/promises";
import { CodedError, hasCode } from "../common/errors.ts";
import type { Attachment } from "../common/ids.ts";
import type { Nft } from "../common/kernel/nft.ts";
import { waitFor } from "../common/wait-for.ts";
import { type ApplyDeps, attach, detach, netnsId } from "./apply.ts";
import type { AttachmentDesk } from "./attachment-desk.ts";
import type { DyingLinks } from "./dying-links.ts";
import type { Ipam, Lease, PodRef } from "./ipam.ts";
import { podLink } from "./pod-link.ts";
import { type PodNetwork, planPodNetwork } from "./pod-network.ts";

const CARRIES_WITHIN_MS = 500;

export type AddDeps = ApplyDeps & {
  readonly ipam: Ipam;
  readonly desk: AttachmentDesk;
  readonly dyingLinks: DyingLinks;
  /** Removes queued DELs of the attachment that began before `startedAt`: after a restart nobody would know that they are older than the pod. */
  readonly dropOlderDels: (attachment: Attachment, startedAt: number) => Promise<void>;
  /** When this daemon began, in the desk's clock. */
  readonly bornAt: number;
};

export type AddRequest = {
  readonly attachment: Attachment;
  readonly netnsPath: string;
  readonly pod: PodRef;
  /** When the plugin was started, in the desk's clock; an ADD older than a finished DEL of the same attachment is refused. */
  readonly startedAt: number;
  /** Asked once the pod's network is there: true when nobody waits for it any more. */
  readonly isAbandoned?: (() => boolean) | undefined;
};

/** What a result is made of. */
export type Added = { readonly lease: Lease; readonly network: PodNetwork; readonly netnsPath: string };

/**
 * Throws CodedError `attachment-exists`, `attachment-ended` (a DEL overtook it), KernelError, or what Ipam.reserve() throws. When the signal
 * aborts (the plugin was killed, a DEL came), everything is undone and the signal's reason thrown.
 */
export function addPod(deps: AddDeps, request: AddRequest, signal: AbortSignal): Promise<Added> {
  return deps.desk.add(request.attachment, request.startedAt, signal, async (ended) => {
    const netns = checkedNetns(deps, request);
    const existing = deps.ipam.find(request.attachment);
    if (existing !== undefined) return finishedBefore(deps, request, existing);
    await deps.dyingLinks.gone(podLink(request.attachment).hostName, ended);
    const lease = await deps.ipam.reserve(request.attachment, request.pod, ended);
    let network: PodNetwork | undefined;
    try {
      await deps.dropOlderDels(request.attachment, request.startedAt);
      await tableInPlace(deps.kernel.nft, ended);
      ended.throwIfAborted();
      network = planPodNetwork(lease);
      await connectInTurn(deps, request, network, lease, netns, ended);
      deps.ipam.confirm(lease);
      await carried(deps, network.link.hostName);
    } catch (error) {
      // of all that is written only the pair can be there already: then the link of that name is not this ADD's
      undo(deps, lease, hasCode(error, "EEXIST") ? undefined : network);
      throw error;
    }
    // whoever asked may be gone, and then nobody will ever DEL this
    if (ended.aborted || request.isAbandoned?.()) {
      detach(deps, network, lease, "undo");
      deps.ipam.release(lease.attachment);
      deps.dyingLinks.add(network.link.hostName);
      throw ended.aborted ? ended.reason : clientGone();
    }
    return { lease, network, netnsPath: request.netnsPath };
  });
}

/**
 * An ADD whose plugin is older than this daemon may be asking again for one that finished while the answer was lost with the daemon before: it gets that
 * answer, when the pod still has what it says. Any other second ADD is refused.
 */
async function finishedBefore(deps: AddDeps, request: AddRequest, lease: Lease): Promise<Added> {
  const network = planPodNetwork(lease);
  const mac = macInPod(deps, request.netnsPath, network.ifname);
  if (request.startedAt >= deps.bornAt || mac !== network.link.podMac) throw alreadyAdded(request);
  await deps.dropOlderDels(request.attachment, request.startedAt);
  return { lease, network, netnsPath: request.netnsPath };
}

function macInPod(deps: AddDeps, netnsPath: string, ifname: string): string | undefined {
  using netns = deps.kernel.netns.open(netnsPath);
  return netns.run((stack) => stack.links.find(ifname)?.mac);
}

/**
 * The first of two ends that is set up gets its queue from the kernel behind the second's message, after tens of milliseconds where links come and go;
 * packets to the pod would be dropped until then. One question has it done at once, or on kernels before 6.7 says whether it is. A link that takes longer
 * than the limit is somebody's doing, and not ours to wait for.
 */
async function carried({ kernel }: AddDeps, hostName: string): Promise<void> {
  const end = performance.now() + CARRIES_WITHIN_MS;
  while (kernel.host.links.find(hostName)?.carries === false && performance.now() < end) await delay(1);
}

/** Its pairs would be missing from a table that is laid down just now, and the pod's first packets be dropped as spoofed. */
async function tableInPlace(nft: Nft, signal: AbortSignal): Promise<void> {
  while (nft.loading !== undefined) await waitFor(nft.loading, signal);
}

function checkedNetns(deps: AddDeps, request: AddRequest): string {
  const id = netnsId(deps.kernel.netns, request.netnsPath);
  if (id === deps.kernel.netns.hostId) {
    throw new CodedError("host-netns", `CNI_NETNS ${request.netnsPath} is the node's own network namespace`);
  }
  return id;
}

/** A link of the wanted name may be another container's that had this namespace, and whose removal is on its way: then once more behind that. */
async function connectInTurn(
  deps: AddDeps,
  request: AddRequest,
  network: PodNetwork,
  lease: Lease,
  expectedId: string,
  ended: AbortSignal,
): Promise<void> {
  try {
    connect(deps, request, network, lease, expectedId);
  } catch (error) {
    if (!hasCode(error, "pod-link-exists") || !(await deps.dyingLinks.allGone(ended))) throw error;
    connect(deps, request, network, lease, expectedId);
  }
}

function connect(
  deps: AddDeps,
  request: AddRequest,
  network: PodNetwork,
  lease: Lease,
  expectedId: string,
): void {
  // opened again, as waiting for an address may have taken long: held open it would outlive its pod
  using netns = deps.kernel.netns.open(request.netnsPath);
  if (netns.id !== expectedId) {
    throw new CodedError(
      "netns-gone",
      `CNI_NETNS ${request.netnsPath} names another namespace than when the ADD began`,
    );
  }
  try {
    attach(deps, network, lease, netns);
  } catch (error) {
    if (!hasCode(error, "EEXIST") || netns.run((stack) => stack.links.find(network.ifname)) === undefined)
      throw error;
    const { ifname } = network;
    throw new CodedError("pod-link-exists", `CNI_NETNS ${request.netnsPath} already has a link ${ifname}`, {
      cause: error,
    });
  }
}

function undo(deps: AddDeps, lease: Lease, network: PodNetwork | undefined): void {
  const hadLink = network !== undefined && detach(deps, network, lease, "undo");
  if (hadLink) deps.dyingLinks.add(network.link.hostName);
  // with a link the pod may have sent a packet: let its addresses cool down
  if (hadLink) deps.ipam.release(lease.attachment);
  else deps.ipam.cancel(lease.attachment);
}

/** Why a call ends whose plugin is gone. */
export function clientGone(): CodedError {
  return new CodedError("client-gone", "the plugin process is gone");
}

function alreadyAdded(request: AddRequest): CodedError {
  const { containerId, ifname } = request.attachment;
  return new CodedError(
    "attachment-exists",
    `container ${containerId} already has interface ${ifname}: ADD came twice without a DEL between`,
  );
}
