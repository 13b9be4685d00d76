/**
 * What common instance types carry, so that a start asks EC2 nothing about them. Sizes of the families below are alike. Source: "Maximum IP addresses
 * per network interface", EC2 User Guide, compared on 2026-11-25 with the list that amazon-vpc-cni generates from DescribeInstanceTypes
 * (misc/eni-max-pods.txt, interfaces x (addresses - 1) + 2). Only types with one network card, on Nitro; EC2 is asked for every other.
 */
import type { Capabilities } from "../provider.ts";

/** Interfaces, and addresses of each family on one. */
type Shape = readonly [interfaces: number, addresses: number];

const GENERAL: Readonly<Record<string, Shape>> = {
  large: [3, 10],
  xlarge: [4, 15],
  "2xlarge": [4, 15],
  "4xlarge": [8, 30],
  "8xlarge": [8, 30],
  "12xlarge": [8, 30],
  "16xlarge": [15, 50],
  "24xlarge": [15, 50],
};
const C5: Readonly<Record<string, Shape>> = {
  large: [3, 10],
  xlarge: [4, 15],
  "2xlarge": [4, 15],
  "4xlarge": [8, 30],
  "9xlarge": [8, 30],
  "12xlarge": [8, 30],
  "18xlarge": [15, 50],
  "24xlarge": [15, 50],
};
const ARM: Readonly<Record<string, Shape>> = { medium: [2, 4], ...GENERAL };
const BURSTABLE: Readonly<Record<string, Shape>> = {
  nano: [2, 2],
  micro: [2, 2],
  small: [3, 4],
  medium: [3, 6],
  large: [3, 12],
  xlarge: [4, 15],
  "2xlarge": [4, 15],
};

const FAMILIES: Readonly<Record<string, Readonly<Record<string, Shape>>>> = {
  ...families(
    "m5 m5a m5ad m5d m5dn m5n m6a m6i m6id m7i r5 r5a r5ad r5b r5d r5dn r5n r6a r6i r6id r7i",
    GENERAL,
  ),
  ...families("c5a c6a c6i c6id c7i m7i-flex c7i-flex", GENERAL),
  ...families("c6g c6gd c6gn c7g c7gd c7gn c8g m6g m6gd m7g m7gd m8g r6g r6gd r7g r7gd r8g c7a m7a r7a", ARM),
  ...families("c5 c5d", C5),
  ...families("t3 t4g", BURSTABLE),
  ...families("t3a", { ...BURSTABLE, small: [2, 4] }),
};

/** Undefined for a type that is not in the table. */
export function findInstanceType(name: string): Capabilities | undefined {
  const [family = "", size = ""] = name.split(".");
  const sizes = Object.hasOwn(FAMILIES, family) ? FAMILIES[family] : undefined;
  const shape = sizes !== undefined && Object.hasOwn(sizes, size) ? sizes[size] : undefined;
  if (shape === undefined) return undefined;
  const [interfacesMax, addresses] = shape;
  return {
    cards: [{ index: 0, interfacesMax }],
    skippedCards: [],
    // one IPv4 slot is the interface's own address
    unitsPerInterface: { 4: addresses - 1, 6: addresses },
    unitLengths: { 4: [32, 28], 6: [128, 80] },
    canAddInterfaces: true,
    canReleaseUnits: true,
  };
}

/** Every type of the table. */
export function instanceTypeNames(): string[] {
  return Object.entries(FAMILIES).flatMap(([family, sizes]) =>
    Object.keys(sizes).map((size) => `${family}.${size}`),
  );
}

/** Of types in the table: `Nxlarge` has 4 x N ("Amazon EC2 instance types", docs.aws.amazon.com), below `xlarge` there are 2 at most. */
export function vcpusOfSize(size: string): number {
  const match = /^(\d*)xlarge$/.exec(size);
  return match === null ? 2 : 4 * Number(match[1] || 1);
}

function families(names: string, sizes: Readonly<Record<string, Shape>>) {
  return Object.fromEntries(names.split(" ").map((name) => [name, sizes]));
}
