/**
 * The first of the three calls that make an interface: in the first subnet of the choice that has room, with its tags and units. Every try of one
 * request carries one ClientToken per subnet, so that EC2 makes one interface of them, whatever got lost.
 */
import { createHash, randomUUID } from "node:crypto";
import type { CreateNetworkInterfaceRequest } from "@aws-sdk/client-ec2";
import type { SubnetId } from "../../common/ids.ts";
import { retry } from "../../common/retry.ts";
import { CloudError } from "../errors.ts";
import type { CreateInterface, UnitRequest } from "../provider.ts";
import { createInterface, isSingle, toTagList } from "./api.ts";
import { inSubnet, isFull } from "./errors.ts";
import type { AwsNode } from "./node.ts";
import { creationTags, TAG } from "./ownership.ts";
import { YOUNG_MS } from "./recent.ts";
import type { Ec2Interface } from "./schema.ts";
import { neededIpv4, type SubnetFinder } from "./subnets.ts";

/** Subnets asked in vain in one go: each is a call that changes something. */
const SUBNET_TRIES = 5;

export class NewInterfaces {
  private readonly node: AwsNode;
  private readonly subnets: SubnetFinder;
  /**
   * Tokens whose interface was removed again, each with what makes its next ClientToken another: EC2 would answer the same one with what was removed.
   * Random, since an earlier process may have done the same.
   */
  private readonly removals = new Map<string, string>();
  /** When each unfinished token was first asked for: a part of what EC2 compares under one ClientToken. */
  private readonly askedAt = new Map<string, Date>();
  private readonly startedAt: number;

  constructor(node: AwsNode, subnets: SubnetFinder) {
    this.node = node;
    this.subnets = subnets;
    this.startedAt = node.clock.now();
  }

  /** In the first subnet of the choice that has room. Throws, when none has, naming those that were full and those to be avoided. */
  async create(
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
    const needed = neededIpv4(request.units);
    const seen = new Set(request.avoid);
    const full = new Set(request.avoid);
    const refusals: CloudError[] = [];
    for await (const { id, freeIpv4 } of this.subnets.candidates(request.subnets, primary, signal)) {
      if (seen.has(id)) continue;
      seen.add(id);
      // one with some addresses, but too few, is not full: a smaller request may fit
      if (freeIpv4 === undefined || freeIpv4 >= needed || freeIpv4 === 0) full.add(id);
      if (freeIpv4 !== undefined && freeIpv4 < needed) continue;
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
    this.askedAt.set(token, askedAt);
    const tags = creationTags(request, { cluster, instanceId, askedAt });
    const asked = {
      SubnetId: subnetId,
      Description: `causeway ${cluster} ${instanceId}`,
      Groups: [...(securityGroupIds.length > 0 ? securityGroupIds : primary.securityGroupIds)],
      TagSpecifications: [{ ResourceType: "network-interface" as const, Tags: toTagList(tags) }],
      ...creationCounts(request.units),
    };
    const clientToken = () => this.clientToken(token, instanceId, subnetId);
    const created = await this.createOrFind(asked, token, clientToken, signal);
    this.node.recent.created(created);
    this.node.learn(created);
    return created;
  }

  /** A ClientToken that EC2 knows from an earlier process, which asked at another time, stands for what that made, if it is still there. */
  private async createOrFind(
    asked: Omit<CreateNetworkInterfaceRequest, "ClientToken">,
    token: string,
    clientToken: () => string,
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    const create = () => createInterface(this.node.ec2, { ...asked, ClientToken: clientToken() }, signal);
    try {
      return await create();
    } catch (error) {
      if (!(error instanceof CloudError) || error.cloudCode !== "IdempotentParameterMismatch") throw error;
      const found = await this.findMade(token, error, signal);
      if (found !== undefined) return found;
      this.removed(token);
      return create();
    }
  }

  /**
   * What an earlier process made. Throws `unseen` while it may be younger than lists are behind; after our first minute all that
   * an earlier process made is older than that, and what is not shown is gone.
   */
  private async findMade(
    token: string,
    unseen: CloudError,
    signal: AbortSignal,
  ): Promise<Ec2Interface | undefined> {
    const find = async (inner: AbortSignal) => {
      const lists = [await this.node.list(inner), await this.node.loose("this-node", inner)];
      const found = lists.flat().find((one) => one.tags.get(TAG.token) === token);
      const isOldEnough = this.node.clock.now() - this.startedAt >= YOUNG_MS;
      if (found === undefined && !isOldEnough) throw unseen;
      return found;
    };
    const policy = { clock: this.node.clock, attemptsMax: 6, delayMs: 500, delayMaxMs: 2_000 };
    return retry(find, policy, signal);
  }

  /** 64 characters, EC2's limit, whatever the parts hold. */
  private clientToken(token: string, instanceId: string, subnetId: SubnetId): string {
    const parts = [this.node.cluster, instanceId, token, subnetId, this.removals.get(token) ?? ""];
    return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  }

  /** What was made for the token is deleted: the next try asks EC2 for another. */
  removed(token: string): void {
    this.removals.set(token, randomUUID());
  }

  /** What was made for the token is attached. */
  finished(token: string): void {
    this.askedAt.delete(token);
  }
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
