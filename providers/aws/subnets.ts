/** Where a new interface may go: the subnets of a choice, one after the other, each looked up only when those before it are full. */
import type { SubnetId } from "../../common/ids.ts";
import { CloudError } from "../errors.ts";
import type { CreateInterface, SubnetChoice } from "../provider.ts";
import { isSingle } from "./api.ts";
import { type Filters, listRouteTables, listSubnets } from "./api-network.ts";
import type { NetworkFacts } from "./network-facts.ts";
import type { AwsNode } from "./node.ts";
import { isOptedOut } from "./ownership.ts";
import type { Ec2Interface, Ec2RouteTable, Ec2Subnet } from "./schema.ts";

/** How long a list of subnets stands. */
const KEEP_MS = 600_000;

/** amazon-vpc-cni's mark of a subnet that is not for pods, with the value 0. */
const NOT_FOR_PODS = { key: "kubernetes.io/role/cni", value: "0" };

/** A subnet to try. `freeIpv4` as of a look-up within the last minutes; undefined: not known. */
export type Candidate = { readonly id: SubnetId; readonly freeIpv4?: number };

type Kept = { readonly until: number; readonly subnets: readonly Ec2Subnet[] };

export class SubnetFinder {
  private readonly node: AwsNode;
  private readonly facts: NetworkFacts;
  private readonly kept = new Map<string, Kept>();

  constructor(node: AwsNode, facts: NetworkFacts) {
    this.node = node;
    this.facts = facts;
  }

  /** In order, all of the node's zone. `primary` is the node's own interface, whose subnet is the node's. */
  async *candidates(
    choice: SubnetChoice,
    primary: Ec2Interface,
    signal: AbortSignal,
  ): AsyncGenerator<Candidate> {
    if (choice.by === "ids") {
      yield* await this.named(choice.ids, signal);
    } else if (choice.by === "tags") {
      yield* mostFreeFirst(await this.tagged(choice.tags, primary, signal));
    } else {
      yield { id: primary.subnetId };
      yield* mostFreeFirst(await this.siblings(primary, signal));
    }
  }

  /** One that EC2 does not show is tried all the same: a choice by id needs no permission to look. */
  private async named(ids: readonly SubnetId[], signal: AbortSignal): Promise<readonly Candidate[]> {
    const { zone } = (await this.node.owner(signal)).identity;
    const known = new Map((await this.facts.findSubnets(ids, signal)).map((one) => [one.id, one]));
    const elsewhere = ids.filter((id) => (known.get(id)?.zone ?? zone) !== zone);
    if (elsewhere.length > 0) {
      this.node.log.debug({ subnetIds: elsewhere, zone }, "subnets of other zones left out");
    }
    return ids.filter((id) => !elsewhere.includes(id)).map((id) => ({ id }));
  }

  private async tagged(
    tags: ReadonlyMap<string, string>,
    primary: Ec2Interface,
    signal: AbortSignal,
  ): Promise<readonly Ec2Subnet[]> {
    const wanted = [...tags].map(([key, value]) =>
      value === "" ? (["tag-key", [key]] as const) : ([`tag:${key}`, [literal(value)]] as const),
    );
    // several tag-key filters would be one name twice: the rest is judged here
    const filters: Filters = { ...(await this.inZone(primary, signal)), ...Object.fromEntries(wanted) };
    return this.keep(JSON.stringify([...tags]), async () => {
      const found = await listSubnets(this.node.ec2, filters, signal);
      return found.filter((subnet) => [...tags.keys()].every((key) => subnet.tags.has(key)));
    });
  }

  /**
   * Those of the node's own route table. Without the permission to look at route tables there are none: a subnet of another
   * table may lead nowhere, or to the internet, and is never guessed.
   */
  private async siblings(primary: Ec2Interface, signal: AbortSignal): Promise<readonly Ec2Subnet[]> {
    try {
      return await this.keep("siblings", async () => {
        const [tables, subnets] = await Promise.all([
          listRouteTables(this.node.ec2, primary.vpcId, signal),
          listSubnets(this.node.ec2, await this.inZone(primary, signal), signal),
        ]);
        return siblingsOf(primary.subnetId, tables, subnets);
      });
    } catch (error) {
      signal.throwIfAborted();
      const isDenied = error instanceof CloudError && error.code === "unauthorized";
      // what was denied is not asked again with every interface
      if (isDenied) this.kept.set("siblings", { until: this.node.clock.now() + KEEP_MS, subnets: [] });
      this.node.log.warn(
        { err: error, subnetId: primary.subnetId },
        "no other subnets are tried than the node's own",
      );
      return [];
    }
  }

  private async inZone(primary: Ec2Interface, signal: AbortSignal): Promise<Filters> {
    const { zone } = (await this.node.owner(signal)).identity;
    return { "vpc-id": [primary.vpcId], "availability-zone": [zone] };
  }

  private async keep(key: string, look: () => Promise<readonly Ec2Subnet[]>): Promise<readonly Ec2Subnet[]> {
    const kept = this.kept.get(key);
    if (kept !== undefined && this.node.clock.now() < kept.until) return kept.subnets;
    const subnets = (await look()).filter(isForPods);
    this.facts.learn(subnets);
    this.kept.set(key, { until: this.node.clock.now() + KEEP_MS, subnets });
    return subnets;
  }
}

/** The other subnets that use the same route table: the one that names it or, named by none, the main one. Pure. */
export function siblingsOf(
  own: SubnetId,
  tables: readonly Ec2RouteTable[],
  subnets: readonly Ec2Subnet[],
): readonly Ec2Subnet[] {
  const tableOf = (id: SubnetId) =>
    tables.find((table) => table.subnetIds.includes(id)) ?? tables.find((table) => table.isMain);
  const table = tableOf(own);
  if (table === undefined) return [];
  return subnets.filter(({ id }) => id !== own && tableOf(id) === table);
}

/** The IPv4 addresses that a new interface takes from its subnet, its own included. */
export function neededIpv4(units: CreateInterface["units"]): number {
  const sizes = units
    .filter(({ family }) => family === 4)
    .map((unit) => unit.count * (isSingle(unit) ? 1 : 2 ** (32 - unit.prefixLength)));
  return sizes.reduce((sum, size) => sum + size, 1);
}

function mostFreeFirst(subnets: readonly Ec2Subnet[]): Candidate[] {
  return [...subnets].sort((a, b) => (b.freeIpv4 ?? 0) - (a.freeIpv4 ?? 0) || (a.id < b.id ? -1 : 1));
}

function isForPods({ tags }: Ec2Subnet): boolean {
  return tags.get(NOT_FOR_PODS.key) !== NOT_FOR_PODS.value && !isOptedOut(tags);
}

/** `*`, `?` and `\` are EC2's wildcards in a filter's value. */
function literal(text: string): string {
  return text.replace(/[*?\\]/g, (char) => `\\${char}`);
}
