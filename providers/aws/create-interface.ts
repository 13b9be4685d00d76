/**
 * Making an interface takes three calls of EC2, and the daemon may die after each. So every step begins by looking at what is there: an
 * earlier try is found by the token in its tag, or, while lists lag behind, by EC2 through the ClientToken. Whatever step it
 * stopped at, the next try goes on from; at most one interface is made per token.
 *
 *     (nothing) --create--> detached --attach--> attached --delete on termination--> done
 */
import { createHash } from "node:crypto";
import type { CreateNetworkInterfaceRequest } from "@aws-sdk/client-ec2";
import { describeError, hasCode } from "../../common/errors.ts";
import type { InstanceId, SubnetId } from "../../common/ids.ts";
import { retry } from "../../common/retry.ts";
import { CloudError } from "../errors.ts";
import type { CreateInterface, UnitRequest } from "../provider.ts";
import {
  attachInterface,
  createInterface,
  deleteInterface,
  deleteOnTermination,
  isSingle,
  toTagList,
} from "./api.ts";
import { assignUnits, isOfSize } from "./assign-units.ts";
import { inSubnet, isFull } from "./errors.ts";
import type { AwsNode } from "./node.ts";
import { creationTags, ownershipOf, TAG } from "./ownership.ts";
import type { Ec2Attachment, Ec2Interface } from "./schema.ts";
import { neededIpv4, type SubnetFinder } from "./subnets.ts";

/** Device indexes tried when others take them first. */
const INDEX_TRIES = 3;

/** Subnets asked in vain in one go: each is a call that changes something. */
const SUBNET_TRIES = 5;

/** Answers that mean no, whatever we repeat: what was created for them is removed. */
const REFUSALS: readonly string[] = ["limit-reached", "unauthorized", "invalid"];

export class InterfaceMaker {
  private readonly node: AwsNode;
  private readonly subnets: SubnetFinder;
  /** Tokens whose interface was removed again: EC2 would answer a repeated ClientToken with the removed one. */
  private readonly removals = new Map<string, number>();
  /** Tokens that are being worked on now. */
  private readonly making = new Set<string>();
  /** When each unfinished token was first asked for: a part of what EC2 compares under one ClientToken. */
  private readonly askedAt = new Map<string, Date>();
  /** Something of ours may be attached nowhere: after a start, and after a failure. */
  private mayHaveLeft = true;
  private looking: Promise<readonly Ec2Interface[]> | undefined;

  constructor(node: AwsNode, subnets: SubnetFinder) {
    this.node = node;
    this.subnets = subnets;
  }

  /** Whether an interface with that token is about to be attached. */
  isMaking(token: string): boolean {
    return this.making.has(token);
  }

  /** Gives the interface, attached or attaching. Repeatable with the same request after any failure. */
  async make(request: CreateInterface, signal: AbortSignal): Promise<Ec2Interface> {
    const { token } = request;
    this.making.add(token);
    if (!this.askedAt.has(token)) this.askedAt.set(token, this.node.clock.wallTime());
    try {
      const made = await this.proceed(request, signal);
      this.askedAt.delete(token);
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
    const created = found ?? (await this.create(request, listed, signal));
    const attached = await this.ensureAttached(created, request, listed, signal);
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

  /** In the first subnet of the choice that has room. Throws, when none has, naming those that were tried and those to be avoided. */
  private async create(
    request: CreateInterface,
    listed: readonly Ec2Interface[],
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    const { primaryMac } = (await this.node.owner(signal)).identity;
    const primary = listed.find((one) => one.mac === primaryMac);
    if (primary === undefined) {
      const operation = "CreateNetworkInterface";
      throw new CloudError("unavailable", `${operation}: the primary is not known`, { operation });
    }
    const blocks = request.units.some((unit) => unit.family === 4 && unit.count > 0 && !isSingle(unit));
    const full = new Set(request.avoid);
    const refusals: CloudError[] = [];
    for await (const { id, freeIpv4 } of this.subnets.candidates(request.subnets, primary, signal)) {
      if (full.has(id)) continue;
      full.add(id);
      if (freeIpv4 !== undefined && freeIpv4 < neededIpv4(request.units)) continue;
      try {
        return await this.createIn(id, request, primary, signal);
      } catch (error) {
        const refusal = inSubnet(error, { subnetId: id, blocks });
        if (!isFull(refusal)) throw refusal;
        refusals.push(refusal);
        if (refusals.length >= SUBNET_TRIES) break;
      }
    }
    throw noSubnetLeft([...full], blocks, refusals);
  }

  private async createIn(
    subnetId: SubnetId,
    request: CreateInterface,
    primary: Ec2Interface,
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    const { cluster } = this.node;
    const { instanceId } = (await this.node.owner(signal)).identity;
    const { securityGroupIds, token } = request;
    const askedAt = this.askedAt.get(token) ?? this.node.clock.wallTime();
    const tags = creationTags(request, { cluster, instanceId, askedAt });
    const asked = {
      SubnetId: subnetId,
      Description: `causeway ${cluster} ${instanceId}`,
      Groups: [...(securityGroupIds.length > 0 ? securityGroupIds : primary.securityGroupIds)],
      ClientToken: this.clientToken(token, instanceId, subnetId),
      TagSpecifications: [{ ResourceType: "network-interface" as const, Tags: toTagList(tags) }],
      ...creationCounts(request.units),
    };
    const created = await this.createOrFind(asked, token, signal);
    this.node.recent.created(created);
    this.node.learn(created);
    return created;
  }

  /**
   * The ClientToken was used with another request: an earlier process asked for the same, and asked at another time. What it made shows in
   * the lists sooner or later; when it does not, it is gone, and the next try asks under a new ClientToken.
   */
  private async createOrFind(
    asked: Parameters<typeof createInterface>[1],
    token: string,
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    try {
      return await createInterface(this.node.ec2, asked, signal);
    } catch (error) {
      if (!(error instanceof CloudError) || error.cloudCode !== "IdempotentParameterMismatch") throw error;
      const find = async (inner: AbortSignal) => {
        const left = await this.node.loose("this-node", inner);
        const found = left.find((one) => one.tags.get(TAG.token) === token);
        if (found === undefined) throw error;
        return found;
      };
      const policy = { clock: this.node.clock, attemptsMax: 6, delayMs: 500, delayMaxMs: 2_000 };
      try {
        return await retry(find, policy, signal);
      } catch (unseen) {
        if (unseen === error) this.noteRemoved(token);
        throw unseen;
      }
    }
  }

  /** 64 characters, EC2's limit, whatever the parts hold. */
  private clientToken(token: string, instanceId: string, subnetId: SubnetId): string {
    const parts = [this.node.cluster, instanceId, token, subnetId, this.removals.get(token) ?? 0];
    return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  }

  private noteRemoved(token: string): void {
    this.removals.set(token, (this.removals.get(token) ?? 0) + 1);
  }

  private async ensureAttached(
    created: Ec2Interface,
    request: CreateInterface,
    listed: readonly Ec2Interface[],
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    if (created.attachment !== undefined) return created;
    try {
      return await this.attach(created, request.cardIndex, listed, signal);
    } catch (error) {
      if (error instanceof CloudError && REFUSALS.includes(error.code)) {
        await this.remove(created, request.token, signal);
      }
      throw error;
    }
  }

  private async attach(
    created: Ec2Interface,
    cardIndex: number,
    listed: readonly Ec2Interface[],
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    const { instanceId } = (await this.node.owner(signal)).identity;
    const refused = new Set<number>();
    for (let now = listed; ; now = await this.node.list(signal)) {
      // a lost reply of an earlier try may have attached it
      const already = now.find((one) => one.id === created.id && one.attachment !== undefined);
      if (already !== undefined) return already;
      const deviceIndex = freeDeviceIndex(now, cardIndex, refused);
      try {
        const place = { id: created.id, instanceId, deviceIndex, cardIndex };
        const id = await this.attachWhenVisible(place, signal);
        return this.noteAttached(created, { id, instanceId, deviceIndex, cardIndex });
      } catch (error) {
        if (!hasCode(error, "conflict") || refused.size >= INDEX_TRIES) throw error;
        refused.add(deviceIndex);
      }
    }
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
      this.noteRemoved(token);
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
    let now = one;
    for (const wanted of request.units) {
      const count = wanted.count - now.units.filter((unit) => isOfSize(unit, wanted)).length;
      if (count <= 0) continue;
      const added = await assignUnits(this.node, now, { ...wanted, count }, signal);
      now = { ...now, units: [...now.units, ...added].sort((a, b) => a.compare(b)) };
    }
    return now;
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
  node.learn(changed);
  return changed;
}

/** The lowest index of the card that no interface of the instance has; 0 is the primary's place. */
function freeDeviceIndex(
  listed: readonly Ec2Interface[],
  cardIndex: number,
  refused: ReadonlySet<number>,
): number {
  const attachments = listed.flatMap((one) => one.attachment ?? []);
  const taken = attachments.filter((one) => one.cardIndex === cardIndex).map((one) => one.deviceIndex);
  let index = 1;
  while (taken.includes(index) || refused.has(index)) index += 1;
  return index;
}

type CountField =
  | "SecondaryPrivateIpAddressCount"
  | "Ipv4PrefixCount"
  | "Ipv6AddressCount"
  | "Ipv6PrefixCount";

/** What the creating call can take: of each family the first size asked for. */
function creationCounts(units: readonly UnitRequest[]): Pick<CreateNetworkInterfaceRequest, CountField> {
  const first = (family: number) => units.find((unit) => unit.family === family && unit.count > 0);
  const [ipv4, ipv6] = [first(4), first(6)];
  return {
    ...(ipv4 === undefined
      ? {}
      : isSingle(ipv4)
        ? { SecondaryPrivateIpAddressCount: ipv4.count }
        : { Ipv4PrefixCount: ipv4.count }),
    ...(ipv6 === undefined
      ? {}
      : isSingle(ipv6)
        ? { Ipv6AddressCount: ipv6.count }
        : { Ipv6PrefixCount: ipv6.count }),
  };
}

/** No block was to be had does not mean that single addresses are not. */
function noSubnetLeft(
  subnetIds: readonly SubnetId[],
  blocks: boolean,
  refusals: readonly CloudError[],
): CloudError {
  const code = blocks ? "no-free-block" : "subnet-exhausted";
  const cause = refusals.at(-1);
  const message = `CreateNetworkInterface: no room in any subnet of the choice (${subnetIds.join(", ") || "none"})`;
  const operation = "CreateNetworkInterface";
  return new CloudError(code, message, { operation, cloudCode: cause?.cloudCode, subnetIds, cause });
}
