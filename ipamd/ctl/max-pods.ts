/** How many pods an instance type can have, by the cloud's limits of addresses, and what that means for kubelet. */
import { systemClock } from "../../common/clock.ts";
import { SLOT_MAX } from "../../common/constants.ts";
import { buildLogger } from "../../common/log.ts";
import { Metrics } from "../../common/metrics.ts";
import type { InstanceTypeFacts } from "../../providers/provider.ts";
import { describeInstanceType } from "../../providers/registry.ts";
import { readConfig } from "../config.ts";
import { type Answer, EXIT, WrongUse } from "./answer.ts";

/** Pods of the node's own network that every node has: the daemon and kube-proxy. They need no address, but kubelet counts them. */
const HOST_NETWORK_PODS = 2;

const UNITS = ["single", "block"] as const;
type Unit = (typeof UNITS)[number];

export type MaxPods = {
  readonly instanceType: string;
  /** Those that can carry pods: max-eni is considered, and that a node has 15 uplinks at most. */
  readonly interfaces: number;
  /** Of IPv4, for pods, on each; with blocks as many blocks. */
  readonly unitsPerInterface: number;
  readonly podsAdvised: number;
  readonly modes: readonly {
    readonly addressUnit: Unit;
    /** With addresses of their own. */
    readonly pods: number;
    /** For kubelet's `--max-pods`, pods of the node's network included. */
    readonly kubeletMaxPods: number;
  }[];
};

/** Pure: interfaces x addresses of each beside its own one, x 16 with blocks of /28. */
export function maxPodsOf(
  { instanceType, capabilities, podsAdvised }: InstanceTypeFacts,
  { units = UNITS, maxEni }: { readonly units?: readonly Unit[]; readonly maxEni?: number | undefined } = {},
): MaxPods {
  const possible = capabilities.cards.reduce((sum, { interfacesMax }) => sum + interfacesMax, 0);
  const interfaces = Math.min(possible, maxEni ?? possible, SLOT_MAX);
  const unitsPerInterface = capabilities.unitsPerInterface[4];
  const modes = units.flatMap((addressUnit) => {
    const each = sizeOf(addressUnit, capabilities.unitLengths[4]);
    if (each === undefined) return [];
    const pods = interfaces * unitsPerInterface * each;
    return [{ addressUnit, pods, kubeletMaxPods: Math.min(pods + HOST_NETWORK_PODS, podsAdvised) }];
  });
  return { instanceType, interfaces, unitsPerInterface, podsAdvised, modes };
}

/** Undefined where the type has no blocks. */
function sizeOf(unit: Unit, lengths: readonly number[]): number | undefined {
  if (unit === "single") return 1;
  const length = lengths.find((one) => one < 32);
  return length === undefined ? undefined : 2 ** (32 - length);
}

/** Lines for people. Pure. */
export function describeMaxPods({
  instanceType,
  interfaces,
  unitsPerInterface,
  podsAdvised,
  modes,
}: MaxPods): string[] {
  return [
    `${instanceType}: ${interfaces} interfaces for pods, with ${unitsPerInterface} places for addresses or blocks each.`,
    ...modes.map(
      ({ addressUnit, pods, kubeletMaxPods }) =>
        `  address-unit=${addressUnit}: ${pods} pods with an address; kubelet --max-pods=${kubeletMaxPods}`,
    ),
    `kubelet counts pods of the node's own network too, which need no address: ${HOST_NETWORK_PODS} of them are included (the daemon and kube-proxy).`,
    `Not more than ${podsAdvised}, as the cloud's own managed nodes of this size have it.`,
  ];
}

export type MaxPodsOptions = {
  readonly "instance-type"?: string | undefined;
  readonly "address-unit"?: string | undefined;
  readonly "max-eni"?: string | undefined;
};

/** Throws WrongUse for wrong use, and CloudError for a type that there is not. */
export async function maxPods(options: MaxPodsOptions): Promise<Answer> {
  const { instanceType, units, maxEni } = understood(options);
  const { cloud, clusterName: cluster, cloudApi } = readConfig();
  const facts = await describeInstanceType(cloud, instanceType, {
    ...cloudApi,
    cluster,
    credentials: { from: "default-chain" },
    clock: systemClock,
    log: buildLogger({ level: "error" }),
    metrics: new Metrics(),
  });
  const answer = maxPodsOf(facts, { units, maxEni });
  if (answer.modes.length === 0) throw new Error(`${instanceType} has no blocks: only single addresses`);
  return { code: EXIT.done, lines: describeMaxPods(answer), json: answer };
}

function understood(options: MaxPodsOptions) {
  const { "instance-type": instanceType, "address-unit": unit, "max-eni": maxEni } = options;
  if (!instanceType) throw new WrongUse("max-pods needs --instance-type, like m5.large");
  const units = unit === undefined ? UNITS : UNITS.filter((one) => one === unit);
  if (units.length === 0) throw new WrongUse(`--address-unit=${unit} is not one of ${UNITS.join(", ")}`);
  if (maxEni !== undefined && !/^[1-9]\d{0,2}$/.test(maxEni))
    throw new WrongUse(`--max-eni=${maxEni} is not a number of interfaces from 1 on`);
  return { instanceType, units, maxEni: maxEni === undefined ? undefined : Number(maxEni) };
}
