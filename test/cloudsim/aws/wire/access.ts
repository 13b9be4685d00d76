/** What a call asks IAM for: an action on resources, with what conditions may look at. */
import type { Account } from "../model/account.ts";
import { Ec2Error } from "../model/ec2-error.ts";

export type AccessResource = {
  readonly arn: string;
  /** Condition keys with their values: `aws:RequestTag/Name`, `ec2:ResourceTag/Name`. */
  readonly context: ReadonlyMap<string, readonly string[]>;
};

export type AccessRequest = {
  /** `ec2:CreateTags` */
  readonly action: string;
  /** Every one of them must be allowed. */
  readonly resources: readonly AccessResource[];
};

const KINDS: Readonly<Record<string, string>> = {
  eni: "network-interface",
  i: "instance",
  subnet: "subnet",
  rtb: "route-table",
  sg: "security-group",
  vpc: "vpc",
};

/** A resource that is there, by its id, with its tags; also one that is not, so that IAM answers before NotFound does. */
export function existingResource(
  account: Account,
  id: string,
  requestTags: ReadonlyMap<string, string> = new Map(),
): AccessResource {
  const kind = KINDS[id.split("-")[0] ?? ""] ?? "unknown";
  const context = requestContext(account, requestTags);
  if (kind !== "instance") context.set("ec2:Vpc", [vpcArn(account)]);
  for (const [key, value] of tagsOrNone(account, id)) {
    context.set(`ec2:ResourceTag/${key}`, [value]);
    context.set(`aws:ResourceTag/${key}`, [value]);
  }
  return { arn: `arn:aws:ec2:${account.region}:${account.ownerId}:${kind}/${id}`, context };
}

/** An interface about to be created. */
export function newInterface(
  account: Account,
  requestTags: ReadonlyMap<string, string>,
  createAction?: string,
): AccessResource {
  const context = requestContext(account, requestTags);
  context.set("ec2:Vpc", [vpcArn(account)]);
  if (createAction !== undefined) context.set("ec2:CreateAction", [createAction]);
  return { arn: `arn:aws:ec2:${account.region}:${account.ownerId}:network-interface/*`, context };
}

/** For calls that know no resource-level permissions. */
export const ANY_RESOURCE: AccessResource = { arn: "*", context: new Map() };

function vpcArn({ region, ownerId, vpc }: Account): string {
  return `arn:aws:ec2:${region}:${ownerId}:vpc/${vpc.id}`;
}

function requestContext(
  { region }: Account,
  requestTags: ReadonlyMap<string, string>,
): Map<string, readonly string[]> {
  const context = new Map<string, readonly string[]>([
    ["ec2:Region", [region]],
    ["aws:RequestedRegion", [region]],
  ]);
  for (const [key, value] of requestTags) context.set(`aws:RequestTag/${key}`, [value]);
  if (requestTags.size > 0) context.set("aws:TagKeys", [...requestTags.keys()]);
  return context;
}

function tagsOrNone(account: Account, id: string): ReadonlyMap<string, string> {
  try {
    return account.tagsOf(id);
  } catch (error) {
    if (error instanceof Ec2Error) return new Map();
    throw error;
  }
}

/** Permission for one action on resources that exist. */
export function onExisting(account: Account, action: string, ids: readonly string[]): AccessRequest {
  return { action: `ec2:${action}`, resources: ids.map((id) => existingResource(account, id)) };
}
