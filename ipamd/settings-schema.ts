/**
 * The one table of settings: key, kind of value, default as an operator writes it, when a change takes effect, and a sentence. docs/settings.md
 * is made from it. Keys that amazon-vpc-cni has too mean the same here, but that a cooling address never counts as available.
 */
import * as z from "zod";
import {
  choice,
  cidrList,
  familyList,
  flag,
  schemaOf,
  subnetChoice,
  type ValueKind,
  wholeNumber,
} from "./settings-values.ts";

/** When a change counts: for everything within 2 s, for pods that are added from then on, or for a daemon that starts. */
export type TakesEffect = "at once" | "new pods" | "next start";

type Words = { readonly meaning: string; readonly takesEffect?: TakesEffect };

const TARGET = { min: 0, max: 1000, unit: "addresses" } as const;

export const settingsSchema = z.strictObject({
  "ip-families": setting(familyList, "ipv4", {
    meaning: "Address families of every pod, the first one first.",
    takesEffect: "next start",
  }),
  "external-snat": setting(flag, "false", {
    meaning: "Pods keep their own address towards everything: a gateway outside the node translates.",
  }),
  "exclude-snat-cidrs": setting(cidrList, "", {
    meaning: "Destinations outside the network that pods reach with their own address.",
  }),
  "pod-mtu": optionalSetting(wholeNumber({ min: 1280, max: 65535, unit: "bytes" }), {
    meaning: "MTU of pods; by default that of the uplink that carries the pod.",
    takesEffect: "new pods",
  }),
  "address-unit": setting(choice("auto", "single", "block"), "auto", {
    meaning:
      "What is asked of the cloud: single addresses, blocks, or what costs fewer calls and wastes no more than the spare.",
  }),
  "enable-prefix-delegation": setting(flag, "false", {
    meaning:
      "`true` is `address-unit: block` in amazon-vpc-cni's words; `false` leaves that setting as it is.",
  }),
  "spare-addresses": setting(wholeNumber(TARGET), "2", {
    meaning:
      "Free addresses to hold beyond what pods need. Counts while none of the four targets below is set.",
  }),
  "warm-ip-target": optionalSetting(wholeNumber(TARGET), {
    meaning: "Free addresses to hold, cooling ones not counted. `0` is the same as not set.",
  }),
  "minimum-ip-target": optionalSetting(wholeNumber(TARGET), {
    meaning: "Addresses to hold at least, used ones included. `0` is the same as not set.",
  }),
  "warm-eni-target": optionalSetting(wholeNumber({ min: 0, max: 100, unit: "interfaces" }), {
    meaning:
      "Whole interfaces' worth of free addresses to hold. Not looked at while `warm-ip-target` or `minimum-ip-target` is set.",
  }),
  "warm-prefix-target": optionalSetting(wholeNumber({ min: 0, max: 1000, unit: "blocks" }), {
    meaning:
      "Whole free blocks to hold. Not looked at while `warm-ip-target` or `minimum-ip-target` is set, or without blocks.",
  }),
  "max-eni": optionalSetting(wholeNumber({ min: 1, max: 100, unit: "interfaces" }), {
    meaning: "Interfaces on this node at most, the primary included; by default what the instance can have.",
  }),
  "ip-cooldown-period": setting(wholeNumber({ min: 0, max: 3600, unit: "seconds" }), "30", {
    meaning: "How long a pod's address is not given again after the pod's end.",
  }),
  "release-after": setting(wholeNumber({ min: 0, max: 86_400, unit: "seconds" }), "60", {
    meaning:
      "How long an address or block must have been free and not wanted before it goes back to the cloud.",
  }),
  "cloud-writes": setting(choice("all", "no-release", "none"), "all", {
    meaning:
      "A brake: what the daemon may change in the cloud. `no-release` only adds, `none` changes nothing.",
  }),
  "pod-subnets": setting(subnetChoice, "node", {
    meaning:
      "Where new interfaces are made, in the node's zone: `node` is its own subnet first, then those of the same route table; ids count in their order; of several tags a subnet must have all.",
  }),
  "use-existing-addresses": setting(flag, "false", {
    meaning:
      "Pods may get addresses that were on an interface before Causeway managed it. Those are never given back to the cloud.",
  }),
});

export type SettingKey = keyof typeof settingsSchema.shape;

/** `fallback` holds while nothing is written. */
function setting<T>(kind: ValueKind<T>, fallback: string, words: Words) {
  return schemaOf(kind).prefault(fallback).meta(metaOf(kind, words));
}

function optionalSetting<T>(kind: ValueKind<T>, words: Words) {
  return schemaOf(kind).optional().meta(metaOf(kind, words));
}

function metaOf({ accepted }: ValueKind<unknown>, { meaning, takesEffect = "at once" }: Words) {
  return { accepted, description: meaning, takesEffect };
}

/** One setting, as the generated page of docs shows it. */
export type SettingDescription = {
  readonly name: string;
  readonly accepted: string;
  /** As written; undefined when nothing stands for it. */
  readonly fallback: string | undefined;
  readonly takesEffect: TakesEffect;
  readonly meaning: string;
};

export function describeSettings(): SettingDescription[] {
  return Object.entries(settingsSchema.shape).map(([name, field]) => {
    const meta = field.meta() as ReturnType<typeof metaOf> | undefined;
    if (meta === undefined) throw new Error(`setting ${name} has no description`);
    const fallback = field.type === "prefault" ? String(field.def.defaultValue) : undefined;
    return {
      name,
      accepted: meta.accepted,
      fallback,
      takesEffect: meta.takesEffect,
      meaning: meta.description,
    };
  });
}
