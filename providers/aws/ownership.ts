/**
 * Whose an interface is, and whose its addresses are: docs/clouds/aws.md. EC2's tags are the only memory, so a new daemon on
 * the node, or a person at the console, sees the same.
 */
import { DEFAULT_POOL, type InstanceId, type PoolKey } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import type { CreateInterface, NodeIdentity, Ownership } from "../provider.ts";
import { type Ec2Interface, parseAll } from "./schema.ts";

export const TAG = {
  /** The cluster's name. With `instance` it makes an interface ours. */
  cluster: "causeway.dev/cluster",
  instance: "causeway.dev/instance",
  /** Which request made it: what a later try looks for. */
  token: "causeway.dev/token",
  /** When it was asked for, ISO 8601 of the node's clock: what is young is nobody's leak. */
  createdAt: "causeway.dev/created-at",
  pool: "causeway.dev/pool",
  /** On the primary: units that were there before we managed it. Continued in `….1`, `….2`. */
  foreign: "causeway.dev/foreign",
} as const;

/** Either excludes an interface whole; the second is amazon-vpc-cni's. The value `false` means not excluded. */
export const OPT_OUT_TAGS = ["causeway.dev/unmanaged", "node.k8s.amazonaws.com/no_manage"] as const;

/** EC2's limit for a tag's value, in characters ("Tag your Amazon EC2 resources", docs.aws.amazon.com, read 2026-11-25). */
const TAG_VALUE_MAX = 256;

export type NodeOwner = {
  readonly cluster: string;
  readonly identity: Pick<NodeIdentity, "instanceId" | "primaryMac">;
};

export function ownershipOf(one: Ec2Interface, owner: NodeOwner): Ownership {
  const { instanceId, primaryMac } = owner.identity;
  if (isOptedOut(one.tags)) return "foreign";
  if (one.mac === primaryMac) return "shared";
  const ours = one.tags.get(TAG.cluster) === owner.cluster && one.tags.get(TAG.instance) === instanceId;
  // someone moved it to another instance: it is theirs now
  const elsewhere = one.attachment?.instanceId !== undefined && one.attachment.instanceId !== instanceId;
  return ours && !elsewhere ? "ours" : "foreign";
}

/** Whether somebody put it out of our hands by a tag. */
export function isOptedOut(tags: ReadonlyMap<string, string>): boolean {
  return OPT_OUT_TAGS.some((name) => (tags.get(name) ?? "false").toLowerCase() !== "false");
}

/** The units of an interface that are not ours to give or take. */
export function foreignUnitsOf(one: Ec2Interface, ownership: Ownership): readonly Cidr[] {
  if (ownership === "ours") return [];
  const recorded = ownership === "shared" ? readForeign(one.tags) : undefined;
  // not managed yet: what is there is someone else's
  if (recorded === undefined) return one.units;
  return one.units.filter((unit) => recorded.some((foreign) => foreign.overlaps(unit)));
}

export function poolKeyOf(one: Ec2Interface): PoolKey {
  return (one.tags.get(TAG.pool) as PoolKey | undefined) ?? DEFAULT_POOL;
}

/**
 * The tags of a new interface, set in the creating call: there is no moment in which it is nobody's. EC2 demands the same for every try
 * with one ClientToken, `askedAt` included.
 */
export function creationTags(
  request: Pick<CreateInterface, "poolKey" | "token">,
  owner: { readonly cluster: string; readonly instanceId: InstanceId; readonly askedAt: Date },
): ReadonlyMap<string, string> {
  return new Map<string, string>([
    [TAG.cluster, owner.cluster],
    [TAG.instance, owner.instanceId],
    [TAG.token, request.token],
    [TAG.pool, request.poolKey],
    [TAG.createdAt, owner.askedAt.toISOString()],
  ]);
}

/** The units recorded as foreign; undefined when nothing was recorded, which is not the same as none. */
export function readForeign(tags: ReadonlyMap<string, string>): readonly Cidr[] | undefined {
  const first = tags.get(TAG.foreign);
  if (first === undefined) return undefined;
  const texts = [first];
  for (let index = 1; tags.has(`${TAG.foreign}.${index}`); index += 1) {
    texts.push(tags.get(`${TAG.foreign}.${index}`) ?? "");
  }
  return parseAll(texts.join(" ").split(" "), Cidr.parse);
}

/** Tags that record these units, as many as their text needs; at least one, which says `none`. */
export function foreignTags(units: readonly Cidr[]): ReadonlyMap<string, string> {
  const values: string[] = [];
  for (const unit of units) {
    const text = unit.isSingle ? unit.address.toString() : unit.toString();
    const longer = `${values.at(-1) ?? ""} ${text}`.trim();
    if (values.length > 0 && longer.length <= TAG_VALUE_MAX) values[values.length - 1] = longer;
    else values.push(text);
  }
  if (values.length === 0) values.push("none");
  return new Map(
    values.map((value, index) => [index === 0 ? TAG.foreign : `${TAG.foreign}.${index}`, value]),
  );
}
