/**
 * Settings: what an operator tunes, in one typed schema. Keys are kebab-case and mean what amazon-vpc-cni users know, where it has them.
 */
import * as z from "zod";
import { Cidr, type Family, mergeCidrs } from "../common/ip.ts";
import type { SubnetChoice } from "../providers/provider.ts";

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

export const DEFAULT_POOL_SETTINGS: PoolSettings = {
  unit: "auto",
  spare: 2,
  warmIpTarget: undefined,
  minimumIpTarget: undefined,
  warmEniTarget: undefined,
  warmPrefixTarget: undefined,
  maxEni: undefined,
  releaseAfterMs: 60_000,
  cloudWrites: "all",
  subnets: { by: "node" },
  useExisting: false,
};

const FAMILIES: Readonly<Record<string, readonly Family[]>> = {
  ipv4: [4],
  ipv6: [6],
  "ipv4,ipv6": [4, 6],
  "ipv6,ipv4": [6, 4],
};

const ACCEPTED = {
  families: Object.keys(FAMILIES).join(" | "),
  cidrs: "CIDRs separated by commas",
  flag: "true, false",
} as const;

const cidrList = z.string().transform((text, context) => {
  try {
    const parts = text.split(",").map((part) => part.trim());
    return mergeCidrs(parts.filter((part) => part !== "").map((part) => Cidr.parse(part)));
  } catch (error) {
    context.addIssue({
      code: "custom",
      message: `${(error as Error).message}; accepted: ${ACCEPTED.cidrs}`,
    });
    return z.NEVER;
  }
});

const flag = z.enum(["true", "false"], `accepted: ${ACCEPTED.flag}`).transform((text) => text === "true");

const familyList = z
  .string()
  .refine((text) => text in FAMILIES, `accepted: ${ACCEPTED.families}`)
  .transform((text) => FAMILIES[text] as readonly Family[]);

type Range = { readonly min: number; readonly max: number; readonly unit: string };

function rangeText({ min, max, unit }: Range): string {
  return `a whole number of ${unit} from ${min} to ${max}`;
}

function wholeNumber(range: Range) {
  const message = `accepted: ${rangeText(range)}`;
  return z
    .string()
    .regex(/^\d+$/, message)
    .transform(Number)
    .refine((value) => value >= range.min && value <= range.max, message);
}

const COOLDOWN: Range = { min: 0, max: 3600, unit: "seconds" };
const MTU: Range = { min: 1280, max: 65535, unit: "bytes" };

/** Defaults are written as an operator would write them; `accepted` and `description` are for the page of settings. */
const schema = z.strictObject({
  "ip-families": familyList.prefault("ipv4").meta({
    accepted: ACCEPTED.families,
    description: "Address families of every pod, the first one first.",
  }),
  "external-snat": flag.prefault("false").meta({
    accepted: ACCEPTED.flag,
    description: "Pods keep their own address towards everything: a gateway outside the node translates.",
  }),
  "exclude-snat-cidrs": cidrList.prefault("").meta({
    accepted: ACCEPTED.cidrs,
    description: "Destinations outside the network that pods reach with their own address.",
  }),
  "ip-cooldown-period": wholeNumber(COOLDOWN)
    .prefault("30")
    .meta({
      accepted: rangeText(COOLDOWN),
      description: "Seconds before a pod's address may be given again.",
    }),
  "pod-mtu": wholeNumber(MTU)
    .optional()
    .meta({
      accepted: rangeText(MTU),
      description: "MTU of pods; by default that of the uplink that carries the pod.",
    }),
});

/** One setting, as the generated page of docs shows it. */
export type SettingDescription = {
  readonly name: string;
  readonly accepted: string;
  /** As written; undefined when nothing stands for it. */
  readonly fallback: string | undefined;
  readonly meaning: string;
};

export function describeSettings(): SettingDescription[] {
  return Object.entries(schema.shape).map(([name, field]) => {
    const { accepted, description = "" } = field.meta() ?? {};
    const fallback = field.type === "prefault" ? String(field.def.defaultValue) : undefined;
    return { name, accepted: String(accepted), fallback, meaning: description };
  });
}

/** Keys and values as a ConfigMap has them: everything a string. */
export type RawSettings = Readonly<Record<string, string>>;

/** Never throws: the settings, or every problem with its key, value and accepted range. */
export function parseSettings(
  raw: RawSettings,
): { readonly settings: Settings } | { readonly problems: readonly string[] } {
  const result = schema.safeParse(raw);
  if (!result.success) return { problems: result.error.issues.flatMap((issue) => describeIssue(issue, raw)) };
  const values = result.data;
  return {
    settings: {
      families: values["ip-families"],
      externalSnat: values["external-snat"],
      excludeSnatCidrs: values["exclude-snat-cidrs"],
      cooldownMs: values["ip-cooldown-period"] * 1000,
      pool: DEFAULT_POOL_SETTINGS,
      podMtuBytes: values["pod-mtu"],
    },
  };
}

function describeIssue(issue: z.core.$ZodIssue, raw: RawSettings): string[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => `unknown setting ${key}; known: ${Object.keys(schema.shape).join(", ")}`);
  }
  const key = String(issue.path[0] ?? "");
  return [`${key}=${JSON.stringify(raw[key])}: ${issue.message}`];
}
