/**
 * GC: the runtime says which attachments it knows; what else has a lease here, and is gone by this host's own evidence, is given up. A missing list says
 * nothing, and a list alone ends no pod. CNI SPEC 1.1.0, section 2.
 */
import * as z from "zod";
import { type Attachment, attachmentKey, type ContainerId } from "../common/ids.ts";
import type { AddDeps } from "./add.ts";
import { detach } from "./apply.ts";
import { CniError } from "./errors.ts";
import type { Lease } from "./ipam.ts";
import { type NetConf, quote } from "./netconf.ts";
import { planPodNetwork } from "./pod-network.ts";

/** The specification's key, and the one that libcni writes beside it. */
const KEYS = ["cni.dev/valid-attachments", "cni.dev/attachments"] as const;

const listSchema = z.array(z.looseObject({ containerID: z.string(), ifname: z.string() })).nullable();

export type Collected = {
  readonly ended: readonly Lease[];
  /** The runtime does not know them, and their links are alive: kept. */
  readonly unknown: readonly Lease[];
  /** Of those that could not be looked at or ended: their leases stay. */
  readonly errors: readonly unknown[];
};

/**
 * The keys (attachmentKey()) of what both lists name together; null is an empty list. Undefined when there is no list at all, as when a
 * caller gives none. Throws CniError 7 for something else than a list.
 */
export function validAttachments(config: NetConf): ReadonlySet<string> | undefined {
  const given = KEYS.filter((key) => config[key] !== undefined);
  if (given.length === 0) return undefined;
  return new Set(given.flatMap((key) => parseList(key, config[key]).map(attachmentKey)));
}

/**
 * Ends each lease that `valid` does not name and whose pod is gone: its link is not there, or the kernel is about to take it away, as nobody holds the
 * pod's namespace any more. Each is looked at when no call of its attachment runs; a lease that came meanwhile (a newer ADD) is left alone. Goes on after
 * an error, and never throws: what has ended must be told all the same.
 */
export async function collectGone(
  deps: AddDeps,
  valid: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Collected> {
  const candidates = deps.ipam.ready().filter(({ attachment }) => !valid.has(attachmentKey(attachment)));
  const looks = candidates.map((lease) =>
    deps.desk.between(lease.attachment, signal, () => endIfGone(deps, lease)),
  );
  const outcomes = await Promise.allSettled(looks);
  const withOutcome = (wanted: boolean | undefined) =>
    candidates.filter((_, at) => {
      const outcome = outcomes[at];
      return outcome?.status === "fulfilled" && outcome.value === wanted;
    });
  const errors = outcomes.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
  return { ended: withOutcome(true), unknown: withOutcome(false), errors };
}

/** True when it has ended the lease, false when its pod lives; undefined when the lease is another one, or none, by now. */
function endIfGone(deps: AddDeps, lease: Lease): boolean | undefined {
  if (deps.ipam.find(lease.attachment) !== lease) return undefined;
  const { links } = deps.kernel.host;
  const network = planPodNetwork(lease);
  const link = links.find(network.link.hostName);
  if (link !== undefined && links.findPeer(link.index) !== undefined) return false;
  if (detach(deps, network, lease, "del")) deps.dyingLinks.add(network.link.hostName);
  deps.ipam.release(lease.attachment);
  return true;
}

function parseList(key: string, value: unknown): Attachment[] {
  const parsed = listSchema.safeParse(value);
  if (!parsed.success) {
    throw new CniError(
      "invalidConfig",
      `GC: ${key} is not a list of containerID and ifname: ${quote(value)}`,
    );
  }
  return (parsed.data ?? []).map(({ containerID, ifname }) => ({
    containerId: containerID as ContainerId,
    ifname,
  }));
}
