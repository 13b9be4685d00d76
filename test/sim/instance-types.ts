/** What EC2 allows an instance type (its page "IP addresses per network interface per instance type"), and what EKS makes of it. */
export type InstanceType = {
  readonly name: string;
  readonly interfacesMax: number;
  /** Addresses of one interface, its own included. */
  readonly addressesPerInterface: number;
};

export const INSTANCE_TYPES: Readonly<Record<string, InstanceType>> = {
  "t3.small": { name: "t3.small", interfacesMax: 3, addressesPerInterface: 4 },
  "m5.large": { name: "m5.large", interfacesMax: 3, addressesPerInterface: 10 },
  "m5.4xlarge": { name: "m5.4xlarge", interfacesMax: 8, addressesPerInterface: 30 },
  "p3dn.24xlarge": { name: "p3dn.24xlarge", interfacesMax: 15, addressesPerInterface: 50 },
};

/** Throws RangeError with the types that there are. */
export function instanceType(name: string): InstanceType {
  const type = INSTANCE_TYPES[name];
  if (type !== undefined) return type;
  throw new RangeError(`instance type ${name}: one of ${Object.keys(INSTANCE_TYPES).join(", ")}`);
}

/** kube-proxy and the CNI's own pod use the node's address, and count. */
export const HOST_NETWORK_PODS = 2;

/** As eni-max-pods.txt of amazon-vpc-cni: 29 for m5.large, 234 for m5.4xlarge. */
export function maxPods({ interfacesMax, addressesPerInterface }: InstanceType): number {
  return interfacesMax * (addressesPerInterface - 1) + HOST_NETWORK_PODS;
}
