import { hasCode } from "../../common/errors.ts";
import type { InterfaceId } from "../../common/ids.ts";
import { CloudError } from "../errors.ts";
import { deleteInterface, detachInterface } from "./api.ts";
import { wasRepeated } from "./errors.ts";
import type { AwsNode } from "./node.ts";
import { ownershipOf } from "./ownership.ts";
import type { Ec2Interface } from "./schema.ts";

/** Before the first look at a detachment, which takes seconds on EC2; each pause is longer, until the second. */
const POLL_MS = 500;
const POLL_MAX_MS = 3_000;

/**
 * Detaches and deletes an interface of ours. What is done here cannot be undone: EC2 is looked at before it is detached, unless it showed the interface
 * within the last minute, and always before it is deleted. Idempotent, and goes on from wherever an earlier try stopped. Waits for the detachment until
 * the signal aborts. Gives what was there.
 */
export async function removeInterface(
  node: AwsNode,
  id: InterfaceId,
  signal: AbortSignal,
): Promise<Ec2Interface | undefined> {
  const fresh = node.fresh(id);
  const found = fresh?.attachment === undefined ? await node.find(id, signal) : fresh;
  if (found !== undefined) {
    await refuseUnlessOurs(node, found, signal);
    await startDetaching(node, found, signal);
    try {
      await detached(node, found, signal);
      await deleteDetached(node, id, signal);
    } catch (error) {
      throw leftDetached(id, error);
    }
  }
  node.gone(id);
  return found;
}

async function refuseUnlessOurs(node: AwsNode, one: Ec2Interface, signal: AbortSignal): Promise<void> {
  const ownership = ownershipOf(one, await node.owner(signal));
  if (ownership === "ours") return;
  throw new CloudError("not-ours", `interface ${one.id} is ${ownership} and is not deleted`, {
    operation: "DetachNetworkInterface",
  });
}

/** Whatever the reason: no pod can use its units any more, and a code that says that nothing was done would be wrong. */
function leftDetached(id: InterfaceId, error: unknown): CloudError {
  const why = `${id} is detached already, and not deleted`;
  if (error instanceof CloudError) return error.asUnavailable(why);
  return new CloudError("unavailable", why, { operation: "DeleteNetworkInterface", cause: error });
}

async function startDetaching(node: AwsNode, found: Ec2Interface, signal: AbortSignal): Promise<void> {
  if (found.attachment === undefined || found.attachment.state === "detaching") return;
  try {
    await detachInterface(node.ec2, found.attachment.id, signal);
  } catch (error) {
    // an earlier try detached it already
    if (hasCode(error, "not-found") || hasCode(error, "conflict")) return node.recent.detached(found.id);
    if (!(error instanceof CloudError) || !wasRepeated(error)) throw error;
    throw error.asUnavailable("an earlier try may have acted");
  }
  node.recent.detached(found.id);
}

async function detached(node: AwsNode, found: Ec2Interface, signal: AbortSignal): Promise<void> {
  let now: Ec2Interface | undefined = found;
  for (let pauseMs = POLL_MS; now?.attachment !== undefined; pauseMs = Math.min(POLL_MAX_MS, pauseMs * 1.5)) {
    await node.clock.sleep(pauseMs, signal);
    now = await node.find(found.id, signal);
    if (now !== undefined) await refuseUnlessOurs(node, now, signal);
  }
}

/** EC2 may still call it in use just after it showed it as available. */
async function deleteDetached(node: AwsNode, id: InterfaceId, signal: AbortSignal): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await deleteInterface(node.ec2, id, signal);
    } catch (error) {
      if (hasCode(error, "not-found")) return;
      if (!hasCode(error, "conflict") || tries >= 5) throw error;
    }
    await node.clock.sleep(POLL_MS, signal);
  }
}
