/**
 * Settings: what an operator tunes, in one typed schema. Keys are kebab-case and mean what amazon-vpc-cni users know, where it has them.
 */
import { z } from "zod";
import { Cidr, type Family, mergeCidrs } from "../common/ip.ts";

export type Settings = {
  readonly families: readonly Family[];
  readonly externalSnat: boolean;
  readonly excludeSnatCidrs: readonly Cidr[];
  readonly cooldownMs: number;
  /** Undefined: the MTU of the uplink that carries the pod. */
  readonly podMtuBytes: number | undefined;
};

const FAMILIES: Readonly<Record<string, readonly Family[]>> = {
  ipv4: [4],
  ipv6: [6],
  "ipv4,ipv6": [4, 6],
  "ipv6,ipv4": [6, 4],
};

const cidrList = z.string().transform((text, context) => {
  try {
    const parts = text.split(",").map((part) => part.trim());
    return mergeCidrs(parts.filter((part) => part !== "").map((part) => Cidr.parse(part)));
  } catch (error) {
    context.addIssue({
      code: "custom",
      message: `${(error as Error).message}; accepted: CIDRs separated by commas`,
    });
    return z.NEVER;
  }
});

const flag = z.enum(["true", "false"], "accepted: true, false").transform((text) => text === "true");

function wholeNumber(min: number, max: number, unit: string) {
  const message = `accepted: a whole number of ${unit} from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d+$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message);
}

const schema = z.strictObject({
  "ip-families": z
    .string()
    .refine((text) => text in FAMILIES, `accepted: ${Object.keys(FAMILIES).join(" | ")}`)
    .transform((text) => FAMILIES[text] as readonly Family[])
    .default([4])
    .describe("Address families of every pod, the first one first."),
  "external-snat": flag
    .default(false)
    .describe("Pods keep their own address towards everything: a gateway outside the node translates."),
  "exclude-snat-cidrs": cidrList
    .default([])
    .describe("Destinations outside the network that pods reach with their own address."),
  "ip-cooldown-period": wholeNumber(0, 3600, "seconds")
    .default(30)
    .describe("Seconds before a pod's address may be given again."),
  "pod-mtu": wholeNumber(1280, 65535, "bytes")
    .optional()
    .describe("MTU of pods; by default that of the uplink that carries the pod."),
});

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
