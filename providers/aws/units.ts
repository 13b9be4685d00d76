import { hasCode } from "../../common/errors.ts";
import type { InterfaceId } from "../../common/ids.ts";
import type { Cidr, Family } from "../../common/ip.ts";
import { KeyedLock } from "../../common/keyed-lock.ts";
import { CloudError } from "../errors.ts";
import type { Capabilities, UnitRequest } from "../provider.ts";
import { tag } from "./api.ts";
import { assignUnits } from "./assign-units.ts";
import { ensureDeletedWithInstance } from "./create-interface.ts";
import type { NetworkFacts } from "./network-facts.ts";
import type { AwsNode } from "./node.ts";
import { foreignTags, foreignUnitsOf, ownershipOf, readForeign } from "./ownership.ts";
import { releaseUnits } from "./release-units.ts";
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

  /** As assignUnits() of the seam. */
  assign(id: InterfaceId, requests: readonly UnitRequest[], signal: AbortSignal): Promise<readonly Cidr[]> {
    return this.exclusive(id, "assignUnits", signal, async () => {
      const wanted = requests.filter(({ count }) => count > 0);
      if (wanted.length === 0) return [];
      const one = await this.prepare(id, wanted, signal);
      const slots = (await this.capabilities(signal))?.unitsPerInterface;
      const { fitting, full } = slots === undefined ? { fitting: wanted } : whatFits(one, wanted, slots);
      if (full === undefined) return assignUnits(this.node, one, fitting, signal);
      if (fitting.length === 0) throw full;
      throw full.afterAdding(await assignUnits(this.node, one, fitting, signal));
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
      await releaseUnits(this.node, id, units, signal);
      this.node.learn({
        ...one,
        units: one.units.filter((unit) => !units.some((gone) => gone.equals(unit))),
      });
    });
  }

  /** Before the first write: the primary's foreign units are on record, an interface of ours goes with its instance. */
  private async prepare(
    id: InterfaceId,
    requests: readonly UnitRequest[],
    signal: AbortSignal,
  ): Promise<Ec2Interface> {
    const one = await this.node.writable(id, "assignUnits", signal);
    for (const { family } of requests) this.refuseUntold(one, family);
    const ownership = ownershipOf(one, await this.node.owner(signal));
    if (ownership === "ours") return ensureDeletedWithInstance(this.node, one, signal);
    if (readForeign(one.tags) !== undefined) return one;
    const now = this.node.fresh(id) ?? (await this.node.find(id, signal)) ?? one;
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

/** Never more than there is room for, since EC2 would refuse the whole: what fits, up to the first request that has no room at all. */
function whatFits(
  one: Ec2Interface,
  requests: readonly UnitRequest[],
  slots: Capabilities["unitsPerInterface"],
): { readonly fitting: readonly UnitRequest[]; readonly full?: CloudError } {
  const used = { 4: 0, 6: 0 };
  for (const { family } of one.units) used[family] += 1;
  const fitting: UnitRequest[] = [];
  for (const request of requests) {
    const { family } = request;
    const count = Math.min(request.count, slots[family] - used[family]);
    if (count <= 0) return { fitting, full: fullInterface(one, family, slots[family]) };
    used[family] += count;
    fitting.push({ ...request, count });
  }
  return { fitting };
}

function fullInterface(one: Ec2Interface, family: Family, slots: number): CloudError {
  const message = `interface ${one.id} has no room for more than ${slots} IPv${family} units`;
  return new CloudError("limit-reached", message, { operation: "assignUnits" });
}
