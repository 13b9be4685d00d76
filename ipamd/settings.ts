/** Settings: what an operator tunes while the daemon runs, as values. Their keys and ranges are in settings-schema.ts. */
import type * as z from "zod";
import type { Cidr, Family } from "../common/ip.ts";
import type { SubnetChoice } from "../providers/provider.ts";
import { problemOf, unknownSettings } from "./settings-problems.ts";
import { settingsSchema } from "./settings-schema.ts";

export type Settings = {
  readonly families: readonly Family[];
  readonly externalSnat: boolean;
  readonly excludeSnatCidrs: readonly Cidr[];
  readonly cooldownMs: number;
  readonly pool: PoolSettings;
  /** Undefined: the MTU of the uplink that carries the pod. */
  readonly podMtuBytes: number | undefined;
};

/** How much the pool holds, and of what. */
export type PoolSettings = {
  /** `auto` chooses by what costs fewer calls and wastes no more than the spare. */
  readonly unit: "auto" | "single" | "block";
  /** Free addresses beyond demand, when none of the targets below is set. */
  readonly spare: number;
  /** Each undefined when it is not set. They mean what amazon-vpc-cni users know, but that a cooling address is not free. */
  readonly warmIpTarget: number | undefined;
  readonly minimumIpTarget: number | undefined;
  readonly warmEniTarget: number | undefined;
  readonly warmPrefixTarget: number | undefined;
  /** Interfaces on this node, the primary included; undefined: what the instance can have. */
  readonly maxEni: number | undefined;
  /** How long a unit must have been free and not wanted before it is given back. */
  readonly releaseAfterMs: number;
  /** What the daemon may change in the cloud: an operator's brake. */
  readonly cloudWrites: "all" | "no-release" | "none";
  /** Where new interfaces are made. */
  readonly subnets: SubnetChoice;
  /** Addresses that were on an interface before we managed it may be given to pods; they are never given back to the cloud. */
  readonly useExisting: boolean;
};

/** Keys and values as a ConfigMap has them: everything a string. */
export type RawSettings = Readonly<Record<string, string>>;

type Values = z.output<typeof settingsSchema>;

/** Never throws: the settings, or every problem with its key, value and accepted range. An empty value is the default. */
export function parseSettings(
  raw: RawSettings,
): { readonly settings: Settings } | { readonly problems: readonly string[] } {
  const result = settingsSchema.safeParse(written(raw));
  if (!result.success) return { problems: result.error.issues.flatMap((issue) => describeIssue(issue, raw)) };
  const contradiction = contradictionIn(result.data);
  if (contradiction !== undefined) return { problems: [contradiction] };
  return { settings: settingsOf(result.data) };
}

/** What stands there, without space around it; an empty value is as none, so that an override can take back what the others say. */
function written(raw: RawSettings): RawSettings {
  const entries = Object.entries(raw).map(([key, text]) => [key, text.trim()] as const);
  return Object.fromEntries(entries.filter(([, text]) => text !== ""));
}

function contradictionIn(values: Values): string | undefined {
  if (!values["enable-prefix-delegation"] || values["address-unit"] !== "single") return undefined;
  return 'enable-prefix-delegation="true" contradicts address-unit="single"; accepted: with it, address-unit auto or block';
}

function settingsOf(values: Values): Settings {
  return {
    families: values["ip-families"],
    externalSnat: values["external-snat"],
    excludeSnatCidrs: values["exclude-snat-cidrs"],
    cooldownMs: values["ip-cooldown-period"] * 1000,
    pool: poolSettingsOf(values),
    podMtuBytes: values["pod-mtu"],
  };
}

function poolSettingsOf(values: Values): PoolSettings {
  return {
    unit: values["enable-prefix-delegation"] ? "block" : values["address-unit"],
    spare: values["spare-addresses"],
    // 0 is how amazon-vpc-cni writes that these two are not set
    warmIpTarget: values["warm-ip-target"] || undefined,
    minimumIpTarget: values["minimum-ip-target"] || undefined,
    warmEniTarget: values["warm-eni-target"],
    warmPrefixTarget: values["warm-prefix-target"],
    maxEni: values["max-eni"],
    releaseAfterMs: values["release-after"] * 1000,
    cloudWrites: values["cloud-writes"],
    subnets: values["pod-subnets"],
    useExisting: values["use-existing-addresses"],
  };
}

function describeIssue(issue: z.core.$ZodIssue, raw: RawSettings): string[] {
  if (issue.code === "unrecognized_keys") return unknownSettings(issue.keys);
  const key = String(issue.path[0] ?? "");
  return [problemOf(key, raw[key], issue.message)];
}

/** What holds while nobody has set anything. */
export const DEFAULT_SETTINGS: Settings = settingsOf(settingsSchema.parse({}));
export const DEFAULT_POOL_SETTINGS: PoolSettings = DEFAULT_SETTINGS.pool;
