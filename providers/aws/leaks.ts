/**
 * Interfaces that a crash left attached to nothing, of this node or of nodes that are gone. Nothing is deleted on one look: each was seen loose by
 * two sweeps at least ten minutes apart, says itself that it is older than that, and carries our cluster's tag and no opt-out.
 */
import { describeError, hasCode } from "../../common/errors.ts";
import type { InstanceId, InterfaceId } from "../../common/ids.ts";
import { deleteInterface } from "./api.ts";
import { instanceStates } from "./api-network.ts";
import type { AwsNode } from "./node.ts";
import { isOptedOut, TAG } from "./ownership.ts";
import type { Ec2Interface } from "./schema.ts";

/** How long it must have been loose, and how old it must be. */
export const LEAK_AFTER_MS = 600_000;

/** In one sweep, so that one that goes wrong does not spend the account's calls. */
const DELETIONS_MAX = 25;

export class LeakSweeper {
  private readonly node: AwsNode;
  /** Whether this process is attaching an interface with that token now. */
  private readonly isMaking: (token: string) => boolean;
  /** When a sweep first saw each loose interface; one that a sweep does not see begins anew. */
  private looseSince: ReadonlyMap<InterfaceId, number> = new Map();

  constructor(node: AwsNode, isMaking: (token: string) => boolean) {
    this.node = node;
    this.isMaking = isMaking;
  }

  /** Gives those that were deleted. What could not be deleted is tried again by the next sweep. */
  async sweep(signal: AbortSignal): Promise<readonly InterfaceId[]> {
    const loose = (await this.node.loose("every-node", signal)).filter((one) => this.mayBeLeak(one));
    const now = this.node.clock.now();
    const since = new Map(loose.map(({ id }) => [id, this.looseSince.get(id) ?? now]));
    this.looseSince = since;
    const due = loose.filter((one) => now - (since.get(one.id) ?? now) >= LEAK_AFTER_MS && this.isOld(one));
    const gone: InterfaceId[] = [];
    for (const one of (await this.ownerless(due, signal)).slice(0, DELETIONS_MAX)) {
      if (await this.remove(one, signal)) gone.push(one.id);
    }
    return gone;
  }

  private mayBeLeak({ tags }: Ec2Interface): boolean {
    const isOurs = tags.get(TAG.cluster) === this.node.cluster && tags.has(TAG.instance);
    return isOurs && !isOptedOut(tags) && !this.isMaking(tags.get(TAG.token) ?? "");
  }

  /** Without a readable time, how long we have seen it loose decides alone. */
  private isOld({ tags }: Ec2Interface): boolean {
    const createdAt = Date.parse(tags.get(TAG.createdAt) ?? "");
    return Number.isNaN(createdAt) || this.node.clock.wallTime().getTime() - createdAt >= LEAK_AFTER_MS;
  }

  /** This node's, and those of instances that are terminated or that EC2 does not know. Others' stay while nobody can tell. */
  private async ownerless(
    due: readonly Ec2Interface[],
    signal: AbortSignal,
  ): Promise<readonly Ec2Interface[]> {
    const { instanceId } = (await this.node.owner(signal)).identity;
    const instanceOf = ({ tags }: Ec2Interface) => tags.get(TAG.instance) as InstanceId;
    const others = [...new Set(due.map(instanceOf))].filter((id) => id !== instanceId);
    const states = others.length === 0 ? new Map() : await this.tryStates(others, signal);
    return due.filter((one) => {
      const id = instanceOf(one);
      if (id === instanceId) return true;
      return states !== undefined && (states.get(id) ?? "terminated") === "terminated";
    });
  }

  private async tryStates(
    ids: readonly InstanceId[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<InstanceId, string> | undefined> {
    try {
      return await instanceStates(this.node.ec2, ids, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.node.log.warn(
        { err: error },
        "interfaces that other nodes left are not removed: their instances are unknown",
      );
      return undefined;
    }
  }

  private async remove(one: Ec2Interface, signal: AbortSignal): Promise<boolean> {
    const fields = { interfaceId: one.id, instanceId: one.tags.get(TAG.instance) };
    try {
      await deleteInterface(this.node.ec2, one.id, signal);
      this.node.gone(one.id);
      this.node.log.info(fields, "leaked interface removed");
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (!hasCode(error, "not-found")) {
        this.node.log.warn({ ...fields, reason: describeError(error) }, "leaked interface not removed");
      }
      return false;
    }
  }
}
