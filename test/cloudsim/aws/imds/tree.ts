/** The metadata of an instance as paths and texts; EC2 User Guide, "Instance metadata categories". A value's key has no slash at its end. */
import type { Account } from "../model/account.ts";
import { primaryOf } from "../model/launch.ts";
import type { Instance, NetworkInterface, VpcCidr } from "../model/resources.ts";

export type MetadataTree = ReadonlyMap<string, string>;

export const ROLE_NAME = "node-role";

/** Everything below `latest/`, but for the credentials. */
export function metadataTree(account: Account, instance: Instance): MetadataTree {
  const primary = primaryOf(account, instance);
  const { zone } = instance.subnet;
  const tree = new Map([
    ["meta-data/instance-id", instance.id as string],
    ["meta-data/instance-type", instance.type.name],
    ["meta-data/mac", primary.mac],
    ["meta-data/local-ipv4", primary.primaryIpv4.toString()],
    ["meta-data/local-hostname", hostname(account, primary)],
    ["meta-data/hostname", hostname(account, primary)],
    ["meta-data/placement/availability-zone", zone],
    ["meta-data/placement/region", account.region],
    ["meta-data/services/domain", "amazonaws.com"],
    ["meta-data/services/partition", "aws"],
    // listed here, answered by the service itself: the keys are new each time
    [`meta-data/iam/security-credentials/${ROLE_NAME}`, ""],
    ["dynamic/instance-identity/document", identityDocument(account, instance, primary)],
  ]);
  if (primary.publicIpv4 !== undefined) tree.set("meta-data/public-ipv4", primary.publicIpv4.toString());
  if (primary.ipv6[0] !== undefined) tree.set("meta-data/ipv6", primary.ipv6[0].toString());
  for (const networkInterface of account.interfacesOf(instance.id)) {
    if (networkInterface.attachment?.plugged !== true) continue;
    for (const [key, value] of interfaceKeys(account, networkInterface)) {
      tree.set(`meta-data/network/interfaces/macs/${networkInterface.mac}/${key}`, value);
    }
  }
  return tree;
}

/** Keys with an empty list are not there at all. */
function interfaceKeys(account: Account, networkInterface: NetworkInterface): [string, string][] {
  const { subnet, attachment, primaryIpv4, secondaryIpv4, groups, publicIpv4 } = networkInterface;
  const lines = (values: readonly unknown[]) => values.join("\n");
  const keys: [string, string][] = [
    ["device-number", String(attachment?.deviceIndex)],
    ["network-card", String(attachment?.cardIndex)],
    ["interface-id", networkInterface.id],
    ["mac", networkInterface.mac],
    ["owner-id", account.ownerId],
    ["local-hostname", hostname(account, networkInterface)],
    ["local-ipv4s", lines([primaryIpv4, ...secondaryIpv4])],
    ["ipv4-prefix", lines(networkInterface.ipv4Prefixes)],
    ["ipv6s", lines(networkInterface.ipv6)],
    ["ipv6-prefix", lines(networkInterface.ipv6Prefixes)],
    ["public-ipv4s", publicIpv4?.toString() ?? ""],
    ["security-groups", lines(groups.map(({ name }) => name))],
    ["security-group-ids", lines(groups.map(({ id }) => id))],
    ["subnet-id", subnet.id],
    ["subnet-ipv4-cidr-block", subnet.ipv4.toString()],
    ["subnet-ipv6-cidr-blocks", subnet.ipv6.toString()],
    ["vpc-id", account.vpc.id],
    ["vpc-ipv4-cidr-block", account.vpc.ipv4[0]?.cidr.toString() ?? ""],
    ["vpc-ipv4-cidr-blocks", lines(associated(account.vpc.ipv4))],
    ["vpc-ipv6-cidr-blocks", lines(associated(account.vpc.ipv6))],
  ];
  return keys.filter(([, value]) => value !== "");
}

function associated(cidrs: readonly VpcCidr[]) {
  return cidrs.filter(({ state }) => state === "associated").map(({ cidr }) => cidr);
}

function hostname(account: Account, { primaryIpv4 }: NetworkInterface): string {
  return `ip-${primaryIpv4.toString().replaceAll(".", "-")}.${account.region}.compute.internal`;
}

function identityDocument(account: Account, instance: Instance, primary: NetworkInterface): string {
  return JSON.stringify(
    {
      accountId: account.ownerId,
      availabilityZone: instance.subnet.zone,
      instanceId: instance.id,
      instanceType: instance.type.name,
      privateIp: primary.primaryIpv4.toString(),
      region: account.region,
      version: "2017-09-30",
    },
    undefined,
    2,
  );
}

/**
 * What a GET of a path gives: the value, or a list of the children, folders with a slash, one a line and no newline at the end;
 * undefined for 404.
 */
export function lookUp(tree: MetadataTree, path: string): string | undefined {
  const value = tree.get(path.replace(/\/$/, ""));
  if (value !== undefined && !path.endsWith("/")) return value;
  if (value !== undefined) return undefined;
  const folder = path === "" || path.endsWith("/") ? path : `${path}/`;
  const children = new Set<string>();
  for (const key of tree.keys()) {
    if (!key.startsWith(folder)) continue;
    const [child = "", more] = key.slice(folder.length).split("/");
    children.add(more === undefined ? child : `${child}/`);
  }
  return children.size === 0 ? undefined : [...children].join("\n");
}
