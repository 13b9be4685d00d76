/**
 * Making an interface takes three calls of EC2, and the daemon may die after each. So every step begins by looking at what is there: an
 * earlier try is found by the token in its tag, or, while lists lag behind, by EC2 through the ClientToken. Whatever step it
 * stopped at, the next try goes on from; at most one interface is made per token.
 *
 *     (nothing) --create--> detached --attach--> attached --delete on termination--> done
 */
import { describeError, hasCode } from "../../common/errors.ts";
import type { InstanceId } from "../../common/ids.ts";
import { retry } from "../../common/retry.ts";
import { CloudError } from "../errors.ts";
import type { CreateInterface } from "../provider.ts";
import { attachInterface, deleteInterface, deleteOnTermination } from "./api.ts";
import { assignUnits, isOfSize } from "./assign-units.ts";
import { isFull } from "./errors.ts";
import { NewInterfaces } from "./new-interface.ts";
import type { AwsNode } from "./node.ts";
import { ownershipOf, TAG } from "./ownership.ts";
import type { Ec2Attachment, Ec2Interface } from "./schema.ts";
import type { SubnetFinder } from "./subnets.ts";

/** Device indexes tried when others take them first. */
const INDEX_TRIES = 3;

/** Answers that mean no, whatever we repeat: what was created for them is removed. */
const REFUSALS: readonly string[] = ["limit-reached", "unauthorized", "invalid"];

export class InterfaceMaker {
  private readonly node: AwsNode;
  private readonly newInterfaces: NewInterfaces;
  /** Tokens that are being worked on now. */
  private readonly making = new Set<string>();
  private readonly askedByCard = new Map<number, Set<number>>();
  /** Something of ours may be attached nowhere: after a start, and after a failure. */
  private mayHaveLeft = true;
  private looking: Promise<readonly Ec2Interface[]> | undefined;

  constructor(node: AwsNode, subnets: SubnetFinder) {
    this.node = node;
    this.newInterfaces = new NewInterfaces(node, subnets);
  }

  /** Whether an interface with that token is about to be attached. */
  isMaking(token: string): boolean {
    return this.making.has(token);
  }

  /** What was made for that token is deleted: asked for again, there will be another. */
  removed(token: string): void {
    this.newInterfaces.removed(token);
  }

  /** Something of ours may have been left unattached: the next call looks for it. */
  mayLeave(): void {
    this.mayHaveLeft = true;
  }

  /** Gives the interface, attached or attaching. Repeatable with the same request after any failure. */
  async make(request: CreateInterface, signal: AbortSignal): Promise<Ec2Interface> {
    const { token } = request;
    this.making.add(token);
    try {
      const made = await this.proceed(request, signal);
      this.newInterfaces.finished(token);
      return made;
    } catch (error) {
      if (!isFull(error)) this.mayHaveLeft = true;
      throw error;
    } finally {
      this.making.delete(token);
    }
  }

  private async proceed(request: CreateInterface, signal: AbortSignal): Promise<Ec2Interface> {
    const owner = await this.node.owner(signal);
    const isEarlierTry = (one: Ec2Interface) =>
      one.tags.get(TAG.token) === request.token && ownershipOf(one, owner) === "ours";
    let listed = await this.node.listed(signal);
    // what we remember may be gone by now
    if (listed.some(isEarlierTry)) listed = await this.node.list(signal);
    const left = await this.leftOvers(signal);
    const found = [...listed, ...left].find(isEarlierTry);
    if (found !== undefined) {
      this.node.log.info({ interfaceId: found.id }, "interface of an earlier try adopted");
    }
    await this.removeLeftOvers([...listed, ...left], signal);
    const created = found ?? (await this.newInterfaces.create(request, listed, signal));
    const attached = await this.ensureAttached(created, request, signal);
    const kept = await ensureDeletedWithInstance(this.node, attached, signal);
    return this.addMissingUnits(kept, request, signal);
  }

  /** What earlier tries left unattached; one look for all who ask at once, and none while nothing went wrong since the last. */
  private async leftOvers(signal: AbortSignal): Promise<readonly Ec2Interface[]> {
    if (this.mayHaveLeft) {
      this.mayHaveLeft = false;
      this.looking = this.node.loose("this-node", signal);
      try {
        return await this.looking;
      } catch (error) {
        this.mayHaveLeft = true;
        throw error;
      } finally {
        this.looking = undefined;
      }
    }
    return (await this.looking) ?? [];
  }

  private async ensureAttached(
    created: Ec2Interface,
    request: CreateInterface,
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    if (created.attachment !== undefined) return created;
    try {
      return await this.attach(created, request.cardIndex, signal);
    } catch (error) {
      if (error instanceof CloudError && REFUSALS.includes(error.code)) {
        await this.remove(created, request.token, signal);
      }
      throw error;
    }
  }

  private async attach(created: Ec2Interface, cardIndex: number, signal: AbortSignal): Promise<Ec2Interface> {
    const { instanceId } = (await this.node.owner(signal)).identity;
    const refused = new Set<number>();
    // what others of ours were given meanwhile is known without a question
    for (let now = await this.node.listed(signal); ; now = await this.node.list(signal)) {
      // a lost reply of an earlier try may have attached it
      const already = now.find((one) => one.id === created.id && one.attachment !== undefined);
      if (already !== undefined) return already;
      const deviceIndex = freeDeviceIndex(now, cardIndex, [...refused, ...this.asked(cardIndex)]);
      this.asked(cardIndex).add(deviceIndex);
      try {
        const place = { id: created.id, instanceId, deviceIndex, cardIndex };
        const id = await this.attachWhenVisible(place, signal);
        return this.noteAttached(created, { id, instanceId, deviceIndex, cardIndex });
      } catch (error) {
        if (!hasCode(error, "conflict") || refused.size >= INDEX_TRIES) throw error;
        refused.add(deviceIndex);
      } finally {
        this.asked(cardIndex).delete(deviceIndex);
      }
    }
  }

  /** Device indexes of a card that interfaces are being attached at. */
  private asked(cardIndex: number): Set<number> {
    const asked = this.askedByCard.get(cardIndex) ?? new Set();
    this.askedByCard.set(cardIndex, asked);
    return asked;
  }

  private noteAttached(
    created: Ec2Interface,
    place: Pick<Ec2Attachment, "id" | "deviceIndex" | "cardIndex"> & { readonly instanceId: InstanceId },
  ): Ec2Interface {
    const attachment: Ec2Attachment = { ...place, state: "attaching", deleteOnTermination: false };
    const attached = { ...created, attachment };
    this.node.recent.created(attached);
    this.node.learn(attached);
    return attached;
  }

  /**
   * An id that was just given, or its tags, may be unknown to the next calls for a while; then a policy that looks at the tag says
   * that nothing is allowed.
   */
  private attachWhenVisible(
    place: Parameters<typeof attachInterface>[1],
    signal: AbortSignal,
  ): Promise<string> {
    const young = this.node.recent.findYoung(place.id) !== undefined;
    const policy = {
      clock: this.node.clock,
      attemptsMax: young ? 7 : 1,
      delayMs: 200,
      delayMaxMs: 2_000,
      mayRetry: (error: unknown) => hasCode(error, "not-found") || hasCode(error, "unauthorized"),
    };
    return retry((inner) => attachInterface(this.node.ec2, place, inner), policy, signal);
  }

  /** What died unattached under a token that nobody asks for any more would stay for ever, and hold its addresses. */
  private async removeLeftOvers(listed: readonly Ec2Interface[], signal: AbortSignal): Promise<void> {
    const owner = await this.node.owner(signal);
    for (const one of listed) {
      const token = one.tags.get(TAG.token) ?? "";
      if (one.attachment !== undefined || this.making.has(token)) continue;
      if (ownershipOf(one, owner) === "ours") await this.remove(one, token, signal);
    }
  }

  /** Best effort: what stays is seen by describe() as detached and ours. */
  private async remove(one: Ec2Interface, token: string, signal: AbortSignal): Promise<void> {
    try {
      await deleteInterface(this.node.ec2, one.id, signal);
      this.node.gone(one.id);
      this.newInterfaces.removed(token);
      this.node.log.info({ interfaceId: one.id }, "unattached interface removed");
    } catch (error) {
      this.mayHaveLeft = true;
      const reason = describeError(error);
      this.node.log.warn({ interfaceId: one.id, reason }, "unattached interface not removed");
    }
  }

  /** EC2 takes addresses or blocks in the creating call, not both; the other kind is added here. */
  private async addMissingUnits(
    one: Ec2Interface,
    request: CreateInterface,
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    const missing = request.units
      .map((wanted) => ({
        ...wanted,
        count: wanted.count - one.units.filter((unit) => isOfSize(unit, wanted)).length,
      }))
      .filter(({ count }) => count > 0);
    if (missing.length === 0) return one;
    const added = await assignUnits(this.node, one, missing, signal);
    return { ...one, units: [...one.units, ...added].sort((a, b) => a.compare(b)) };
  }
}

/** Without this an interface outlives its instance. Repeatable; one call, and none when it is so already. */
export async function ensureDeletedWithInstance(
  node: AwsNode,
  one: Ec2Interface,
  signal: AbortSignal,
): Promise<Ec2Interface> {
  const { attachment } = one;
  if (attachment === undefined || attachment.deleteOnTermination) return one;
  await deleteOnTermination(node.ec2, one.id, attachment.id, signal);
  const changed = { ...one, attachment: { ...attachment, deleteOnTermination: true } };
  // a list that is behind must not make us ask again
  if (node.recent.findYoung(one.id) !== undefined) node.recent.created(changed);
  node.learn(changed);
  return changed;
}

/** The lowest index of the card that no interface of the instance has, nor one of the others; 0 is the primary's place. */
function freeDeviceIndex(
  listed: readonly Ec2Interface[],
  cardIndex: number,
  others: readonly number[],
): number {
  const attachments = listed.flatMap((one) => one.attachment ?? []);
  const taken = attachments.filter((one) => one.cardIndex === cardIndex).map((one) => one.deviceIndex);
  let index = 1;
  while (taken.includes(index) || others.includes(index)) index += 1;
  return index;
}
