import { Ec2Error } from "./ec2-error.ts";

export type NetworkCard = {
  readonly index: number;
  readonly interfacesMax: number;
  /** Kinds that the card takes; a card without `interface` carries no IP traffic of its own. */
  readonly interfaceTypes: readonly ("interface" | "efa" | "efa-only")[];
};

/** What DescribeInstanceTypes says of networking, as far as a CNI reads it. */
export type InstanceType = {
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly networkPerformance: string;
  readonly interfacesMax: number;
  /** Addresses and prefixes on one interface, its primary address included. */
  readonly ipv4PerInterface: number;
  /** Addresses and prefixes on one interface. */
  readonly ipv6PerInterface: number;
  readonly efaInterfacesMax?: number;
  readonly cards: readonly NetworkCard[];
};

const PLAIN = ["interface"] as const;

function oneCard(interfacesMax: number): NetworkCard[] {
  return [{ index: 0, interfacesMax, interfaceTypes: PLAIN }];
}

function cards(count: number, from: Omit<NetworkCard, "index">, firstIndex = 0): NetworkCard[] {
  return Array.from({ length: count }, (_, offset) => ({ index: firstIndex + offset, ...from }));
}

/**
 * A handful of real types: small ones that fill up soon, and ones with several cards. Limits:
 * docs.aws.amazon.com/ec2/latest/instancetypes (network specifications); cards: the EC2 User Guide, "Network cards".
 */
export const INSTANCE_TYPES: readonly InstanceType[] = [
  {
    name: "t3.nano",
    vcpus: 2,
    memoryMib: 512,
    networkPerformance: "Up to 5 Gigabit",
    interfacesMax: 2,
    ipv4PerInterface: 2,
    ipv6PerInterface: 2,
    cards: oneCard(2),
  },
  {
    name: "t3.small",
    vcpus: 2,
    memoryMib: 2048,
    networkPerformance: "Up to 5 Gigabit",
    interfacesMax: 3,
    ipv4PerInterface: 4,
    ipv6PerInterface: 4,
    cards: oneCard(3),
  },
  {
    name: "t3.medium",
    vcpus: 2,
    memoryMib: 4096,
    networkPerformance: "Up to 5 Gigabit",
    interfacesMax: 3,
    ipv4PerInterface: 6,
    ipv6PerInterface: 6,
    cards: oneCard(3),
  },
  {
    name: "m5.large",
    vcpus: 2,
    memoryMib: 8192,
    networkPerformance: "Up to 10 Gigabit",
    interfacesMax: 3,
    ipv4PerInterface: 10,
    ipv6PerInterface: 10,
    cards: oneCard(3),
  },
  {
    name: "m5.4xlarge",
    vcpus: 16,
    memoryMib: 65_536,
    networkPerformance: "Up to 10 Gigabit",
    interfacesMax: 8,
    ipv4PerInterface: 30,
    ipv6PerInterface: 30,
    cards: oneCard(8),
  },
  {
    name: "c6in.32xlarge",
    vcpus: 128,
    memoryMib: 262_144,
    networkPerformance: "200 Gigabit",
    interfacesMax: 16,
    ipv4PerInterface: 50,
    ipv6PerInterface: 50,
    efaInterfacesMax: 2,
    cards: cards(2, { interfacesMax: 8, interfaceTypes: ["interface", "efa", "efa-only"] }),
  },
  {
    name: "p4d.24xlarge",
    vcpus: 96,
    memoryMib: 1_179_648,
    networkPerformance: "4x 100 Gigabit",
    interfacesMax: 60,
    ipv4PerInterface: 50,
    ipv6PerInterface: 50,
    efaInterfacesMax: 4,
    cards: cards(4, { interfacesMax: 15, interfaceTypes: ["interface", "efa", "efa-only"] }),
  },
  {
    // card 0 carries IP, the 16 others the fabric alone
    name: "p6-b300.48xlarge",
    vcpus: 192,
    memoryMib: 4_194_304,
    networkPerformance: "6400 Gigabit",
    interfacesMax: 31,
    ipv4PerInterface: 50,
    ipv6PerInterface: 50,
    efaInterfacesMax: 16,
    cards: [...oneCard(15), ...cards(16, { interfacesMax: 1, interfaceTypes: ["efa-only"] }, 1)],
  },
];

/** Throws InvalidInstanceType, as DescribeInstanceTypes does. */
export function getInstanceType(name: string): InstanceType {
  const found = INSTANCE_TYPES.find((type) => type.name === name);
  if (found === undefined) {
    throw new Ec2Error(
      "InvalidInstanceType",
      `The following supplied instance types do not exist: [${name}]`,
    );
  }
  return found;
}
