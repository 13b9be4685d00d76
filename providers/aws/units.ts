import { hasCode } from "../../common/errors.ts";
import type { InterfaceId } from "../../common/ids.ts";
import type { Cidr, Family } from "../../common/ip.ts";
import { KeyedLock } from "../../common/keyed-lock.ts";
import { CloudError } from "../errors.ts";
import type { Capabilities, UnitRequest } from "../provider.ts";
import { tag, unassign } from "./api.ts";
import { assignUnits } from "./assign-units.ts";
import { ensureDeletedWithInstance } from "./create-interface.ts";
import type { NetworkFacts } from "./network-facts.ts";
import type { AwsNode } from "./node.ts";
import { foreignTags, foreignUnitsOf, ownershipOf, readForeign } from "./ownership.ts";
import type { Ec2Interface } from "./schema.ts";

/** Adding units to interfaces and taking them away: one write at a time on each. */
export class UnitWriter {
  private readonly node: AwsNode;
  private readonly facts: NetworkFacts;
  /** What an interface can hold; undefined while nobody could tell. */
  private readonly capabilities: (signal: AbortSignal) => Promise<Capabilities | undefined>;
  private readonly locks = new KeyedLock();

  constructor(
    node: AwsNode,
    facts: NetworkFacts,
    capabilities: (signal: AbortSignal) => Promise<Capabilities | undefined>,
  ) {
    this.node = node;
    this.facts = facts;
    this.capabilities = capabilities;
  }

  /** Gives the units that EC2 added. Not repeatable: after `unavailable`, describe tells what happened. */
  assign(id: InterfaceId, request: UnitRequest, signal: AbortSignal): Promise<readonly Cidr[]> {
    return this.exclusive(id, "assignUnits", signal, async () => {
      const one = await this.prepare(id, request, signal);
      const count = await this.fitting(one, request, signal);
      return assignUnits(this.node, one, { ...request, count }, signal);
    });
  }

  /** Idempotent. Refuses foreign units and own addresses before any call. */
  release(id: InterfaceId, units: readonly Cidr[], signal: AbortSignal): Promise<void> {
    return this.exclusive(id, "releaseUnits", signal, async () => {
      if (units.length === 0) return;
      let one: Ec2Interface;
      try {
        one = await this.node.writable(id, "releaseUnits", signal);
      } catch (error) {
        // with the interface, everything on it went
        if (hasCode(error, "not-found")) return;
        throw error;
      }
      await this.refuseForeign(one, units, signal);
      for (const family of [4, 6] as const) {
        const some = units.filter((unit) => unit.family === family);
        await this.unassignPresent(one, family, some, signal);
      }
      this.node.recent.released(id, units);
      this.node.learn({
        ...one,
        units: one.units.filter((unit) => !units.some((gone) => gone.equals(unit))),
      });
    });
  }

  /** EC2 refuses a whole call for one address that is gone already: look, and ask again for what is left. */
  private async unassignPresent(
    one: Ec2Interface,
    family: 4 | 6,
    units: readonly Cidr[],
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await unassign(this.node.ec2, one.id, family, units, signal);
    } catch (error) {
      if (!hasCode(error, "invalid") && !hasCode(error, "not-found")) throw error;
      this.node.recent.released(one.id, units);
      const now = await this.node.find(one.id, signal);
      const left = units.filter((unit) => now?.units.some((present) => present.equals(unit)));
      if (left.length === units.length) throw error;
      await unassign(this.node.ec2, one.id, family, left, signal);
    }
  }

  /** Before the first write: the primary's foreign units are on record, an interface of ours goes with its instance. */
  private async prepare(
    id: InterfaceId,
    { family }: UnitRequest,
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    const one = await this.node.writable(id, "assignUnits", signal);
    this.refuseUntold(one, family);
    const ownership = ownershipOf(one, await this.node.owner(signal));
    if (ownership === "ours") return ensureDeletedWithInstance(this.node, one, signal);
    if (readForeign(one.tags) !== undefined) return one;
    const now = (await this.node.findFresh(id, signal)) ?? one;
    const tags = readForeign(now.tags) === undefined ? foreignTags(now.units) : new Map<string, string>();
    if (tags.size > 0) {
      await tag(this.node.ec2, id, tags, signal);
      this.node.recent.tagged(id, tags);
      this.node.log.info(
        { interfaceId: id, units: now.units.map(String) },
        "addresses of the primary that are not ours recorded",
      );
    }
    const managed = { ...now, tags: new Map([...now.tags, ...tags]) };
    this.node.learn(managed);
    return managed;
  }

  /** A pod would get an address without a way to its router. */
  private refuseUntold(one: Ec2Interface, family: Family): void {
    if (this.facts.isTold(one.subnetId, family)) return;
    const message = `the IPv${family} range of ${one.subnetId} is not told yet: describe first`;
    throw new CloudError("conflict", message, { operation: "assignUnits" });
  }

  /** Never asks for more than there is room for: EC2 would refuse the whole. Throws `limit-reached` without a call. */
  private async fitting(one: Ec2Interface, request: UnitRequest, signal: AbortSignal): Promise<number> {
    const slots = (await this.capabilities(signal))?.unitsPerInterface[request.family];
    if (slots === undefined) return request.count;
    const used = one.units.filter((unit) => unit.family === request.family).length;
    if (used < slots) return Math.min(request.count, slots - used);
    throw new CloudError(
      "limit-reached",
      `interface ${one.id} holds ${used} of ${slots} IPv${request.family} units`,
      {
        operation: "assignUnits",
      },
    );
  }

  private async refuseForeign(one: Ec2Interface, units: readonly Cidr[], signal: AbortSignal): Promise<void> {
    const foreign = foreignUnitsOf(one, ownershipOf(one, await this.node.owner(signal)));
    const taboo = [...foreign, ...one.own.map((own) => own.toCidr())];
    const refused = units.find((unit) => taboo.some((other) => other.overlaps(unit)));
    if (refused === undefined) return;
    throw new CloudError("not-ours", `${refused} on ${one.id} is not ours to release`, {
      operation: "releaseUnits",
    });
  }

  private async exclusive<T>(
    id: InterfaceId,
    operation: string,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      return await this.locks.run(id, work, signal);
    } catch (error) {
      if (error instanceof CloudError || !signal.aborted) throw error;
      throw new CloudError("unavailable", `${operation}: given up while waiting`, {
        operation,
        cause: error,
      });
    }
  }
}
