import type { Clock } from "../../common/clock.ts";
import type { InterfaceId } from "../../common/ids.ts";
import type { Logger } from "../../common/log.ts";
import { CloudError } from "../errors.ts";
import type { NodeIdentity } from "../provider.ts";
import { findInterface, listInterfaces } from "./api.ts";
import type { Ec2Client } from "./client.ts";
import { type NodeOwner, ownershipOf, TAG } from "./ownership.ts";
import { RecentWrites } from "./recent.ts";
import type { Ec2Interface } from "./schema.ts";

/** For how long what EC2 told of an interface is as good as another look before something that cannot be undone. */
const FRESH_MS = 60_000;

type Known = {
  readonly interface: Ec2Interface;
  /** When EC2 last showed it, or it was too young to be shown; own writes since are in it. Undefined: not since it was forgotten or created. */
  readonly shownAt: number | undefined;
};

/** What reads and writes of one node share: the door to EC2, who we are, and what EC2 told and confirmed lately. */
export class AwsNode {
  readonly ec2: Ec2Client;
  readonly cluster: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly recent: RecentWrites;
  private readonly identify: (signal: AbortSignal) => Promise<NodeIdentity>;
  private readonly known = new Map<InterfaceId, Known>();
  private wasListed = false;
  /** Of what was listed, what may be otherwise by now. */
  private readonly forgotten = new Set<InterfaceId>();

  constructor(options: {
    readonly ec2: Ec2Client;
    readonly cluster: string;
    readonly clock: Clock;
    readonly log: Logger;
    readonly identify: (signal: AbortSignal) => Promise<NodeIdentity>;
  }) {
    this.ec2 = options.ec2;
    this.cluster = options.cluster;
    this.clock = options.clock;
    this.log = options.log;
    this.identify = options.identify;
    this.recent = new RecentWrites(options.clock);
  }

  async owner(signal: AbortSignal): Promise<NodeOwner & { readonly identity: NodeIdentity }> {
    return { cluster: this.cluster, identity: await this.identify(signal) };
  }

  /**
   * Every interface on this instance, and those that we made lately. Throws `unavailable` when the primary is missing: an instance
   * always has one, so such a list says nothing.
   */
  async list(signal: AbortSignal): Promise<readonly Ec2Interface[]> {
    const { identity } = await this.owner(signal);
    const listed = await listInterfaces(this.ec2, { "attachment.instance-id": identity.instanceId }, signal);
    if (!listed.some((one) => one.mac === identity.primaryMac)) {
      const message = `DescribeNetworkInterfaces: no interface with the primary's MAC ${identity.primaryMac}`;
      throw new CloudError("unavailable", message, { operation: "DescribeNetworkInterfaces" });
    }
    const complete = this.recent.complete(listed);
    this.known.clear();
    this.forgotten.clear();
    for (const one of complete) this.noteShown(one);
    this.wasListed = true;
    return complete;
  }

  /** As last listed, with every write since; listed now when it never was. No word of what others did meanwhile. */
  async listed(signal: AbortSignal): Promise<readonly Ec2Interface[]> {
    const isWhole = this.wasListed && [...this.forgotten].every((id) => this.known.has(id));
    return isWhole ? [...this.known.values()].map((known) => known.interface) : this.list(signal);
  }

  /** Interfaces with our cluster's tag that are attached nowhere: this node's, or every node's. */
  async loose(of: "this-node" | "every-node", signal: AbortSignal): Promise<readonly Ec2Interface[]> {
    const filters: Record<string, string> = { [`tag:${TAG.cluster}`]: this.cluster, status: "available" };
    const { instanceId } = (await this.owner(signal)).identity;
    if (of === "this-node") filters[`tag:${TAG.instance}`] = instanceId;
    const listed = await listInterfaces(this.ec2, filters, signal);
    return listed.filter((one) => one.attachment === undefined && !this.recent.isGone(one.id));
  }

  /** One interface as EC2 has it now; a young one that EC2 does not show yet as it was confirmed. Undefined: there is none. */
  async find(id: InterfaceId, signal: AbortSignal): Promise<Ec2Interface | undefined> {
    const found = (await findInterface(this.ec2, id, signal)) ?? this.recent.findYoung(id);
    if (found === undefined) return undefined;
    const [complete] = this.recent.complete([found]).filter((one) => one.id === id);
    if (complete !== undefined) this.noteShown(complete);
    return complete;
  }

  /** One interface as EC2 showed it within the last minute, with every write of ours since, and no word of what others did. Undefined: not so lately. */
  fresh(id: InterfaceId): Ec2Interface | undefined {
    const known = this.known.get(id);
    const isFresh = known?.shownAt !== undefined && this.clock.now() - known.shownAt < FRESH_MS;
    return isFresh ? known.interface : undefined;
  }

  /**
   * One interface that we may write to, as last told (or told now, when it is not known). Throws `not-found`, and `not-ours` for
   * a foreign one before any call that changes something.
   */
  async writable(id: InterfaceId, operation: string, signal: AbortSignal): Promise<Ec2Interface> {
    const one = this.known.get(id)?.interface ?? (await this.find(id, signal));
    if (one === undefined) {
      throw new CloudError("not-found", `${operation}: there is no interface ${id}`, { operation });
    }
    if (ownershipOf(one, await this.owner(signal)) === "foreign") {
      throw new CloudError("not-ours", `${operation}: interface ${id} is not ours to change`, { operation });
    }
    return one;
  }

  /** Takes note of what is known of an interface now. */
  learn(one: Ec2Interface): void {
    this.known.set(one.id, { interface: one, shownAt: this.known.get(one.id)?.shownAt });
  }

  /** What is known of it may be wrong: the next who needs it asks EC2. */
  forget(id: InterfaceId): void {
    this.known.delete(id);
    this.forgotten.add(id);
  }

  /** It is deleted. */
  gone(id: InterfaceId): void {
    this.recent.gone(id);
    this.known.delete(id);
    this.forgotten.delete(id);
  }

  private noteShown(one: Ec2Interface): void {
    this.known.set(one.id, { interface: one, shownAt: this.clock.now() });
  }
}
