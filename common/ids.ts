/** Branded ids: a string of one kind cannot be passed where another kind is wanted. */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** The runtime's id of a pod sandbox, at most 200 characters of `[A-Za-z0-9_.-]`. */
export type ContainerId = Branded<"ContainerId">;
/** The name of a Kubernetes pod's UID, as the API server gives it. */
export type PodUid = Branded<"PodUid">;
/** A cloud's id of an interface (EC2 `eni-…`). */
export type InterfaceId = Branded<"InterfaceId">;
/** A cloud's id of a subnet (EC2 `subnet-…`). */
export type SubnetId = Branded<"SubnetId">;
/** A cloud's id of an instance (EC2 `i-…`). */
export type InstanceId = Branded<"InstanceId">;
/** Names a pool: a set of subnets and a set of security groups. The default key is `default`. */
export type PoolKey = Branded<"PoolKey">;

export const DEFAULT_POOL = "default" as PoolKey;

/** A MAC address in the kernel's form, lower case with colons. */
export type MacAddress = Branded<"MacAddress">;

/** Parses `0A-00-…` or `0a:00:…`; throws RangeError naming the text. */
export function parseMac(text: string): MacAddress {
  const canonical = text.toLowerCase().replaceAll("-", ":");
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(canonical)) {
    throw new RangeError(`not a MAC address: ${JSON.stringify(text)}`);
  }
  return canonical as MacAddress;
}

/** One pod interface: what a lease belongs to, and what calls are serialised by. */
export type Attachment = { readonly containerId: ContainerId; readonly ifname: string };

/** `containerId/ifname`, for maps, locks and logs. Neither part can hold a slash. */
export function attachmentKey(attachment: Attachment): string {
  return `${attachment.containerId}/${attachment.ifname}`;
}
