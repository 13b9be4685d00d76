/** What the pool holds, what it wants and why, in sentences, from the daemon's own view. Pure. */
import type { PoolView, UplinkView } from "../pool-view.ts";

/** Those that have waited longest. */
const PODS_MAX = 20;
/** Of these, the ones that are not at their default are named too. */
const OTHERS = [
  "address-unit",
  "enable-prefix-delegation",
  "max-eni",
  "ip-cooldown-period",
  "release-after",
  "cloud-writes",
  "pod-subnets",
  "use-existing-addresses",
];

/** Lines: a paragraph each, what belongs to it indented. */
export function explainPool(view: PoolView): string[] {
  return [
    ...sum(view),
    ...holdings(view),
    ...underWay(view),
    ...shortage(view),
    ...waiting(view),
    ...settings(view),
    ...problems(view),
  ];
}

function sum(view: PoolView): string[] {
  const { plan } = view;
  if (plan === undefined)
    return ["The cloud has not answered yet: nothing is wanted until it is known what is there."];
  const { leased, cooling, pending, free, target, spare } = plan;
  const held = leased + cooling + free;
  const parts = `${leased} leased + ${cooling} cooling + ${pending} expected + ${spare} spare = ${target}`;
  return [
    `Wanted: ${addressesFor(target, view)}: ${parts}.`,
    ...spareNotes(view, spare).map((note) => `  ${note}`),
    `Held: ${held} on ${counted(view.uplinks.length, "interface")}: ${leased} leased, ${cooling} cooling, ${free} free.`,
  ];
}

/** Why the spare is not what the setting says. */
function spareNotes(view: PoolView, spare: number): string[] {
  const { plan, maxPods, settings: all } = view;
  const wanted = Number(all["spare-addresses"]?.value);
  if (plan === undefined || deciding(view)[0] !== "spare-addresses" || spare >= wanted) return [];
  const { leased, cooling, pending, target } = plan;
  if (leased + cooling + pending === 0)
    return ["No pod has come yet: the first ones bring the spare with them."];
  if (maxPods !== undefined && target >= maxPods + cooling)
    return [`No more than the ${maxPods} pods that kubelet accepts.`];
  return ["What cools down stands in for the spare: pods are known here before they ask."];
}

function addressesFor(count: number, { settings: all }: PoolView): string {
  const families = (all["ip-families"]?.value ?? "").split(",").map((name) => name.trim());
  return families.length < 2
    ? counted(count, "address", "addresses")
    : `addresses for ${counted(count, "pod")}, each of ${families.join(" and ")}`;
}

function holdings({ uplinks }: PoolView): string[] {
  return uplinks.flatMap((uplink) => [
    `  ${uplink.link} (${uplink.interfaceId}): ${familiesOf(uplink)}`,
    ...list("set aside, because the cloud does not list it", uplink.setAside),
    ...list("on its way back to the cloud", uplink.releasing),
  ]);
}

function familiesOf({ families, units }: UplinkView): string {
  const present = families.filter(({ family }) => units.some((unit) => isOf(unit, family)));
  if (present.length === 0) return "no address for pods";
  return present
    .map(
      ({ family, leased, cooling, free }) =>
        `IPv${family} ${leased} leased, ${cooling} cooling, ${free > 1_000_000 ? "plenty" : free} free`,
    )
    .join("; ");
}

function isOf(unit: string, family: 4 | 6): boolean {
  return unit.includes(":") === (family === 6);
}

function list(title: string, units: readonly string[]): string[] {
  return units.length === 0 ? [] : [`    ${title}: ${units.join(" ")}`];
}

function underWay({ running, plan, describedAgoMs }: PoolView): string[] {
  const age = describedAgoMs === undefined ? "" : `, whose last answer is ${duration(describedAgoMs)} old`;
  const coming = plan === undefined || plan.coming === 0 ? "" : `; ${plan.coming} are coming`;
  if (running.length === 0) return [`Nothing is being asked of the cloud${age}${coming}.`];
  return [`Being asked of the cloud${age}${coming}:`, ...running.map(({ what }) => `  ${what}`)];
}

function shortage({ limit, limitReason, obstacles }: PoolView): string[] {
  const lines = obstacles.map(
    ({ what, why, forMs }) =>
      `  ${what}, for ${duration(forMs)} at most${limit?.includes(why) ? "" : `: ${why}`}`,
  );
  if (limit !== undefined)
    return [`Nothing more can be had (${limitReason ?? "unknown"}): ${withStop(limit)}`, ...lines];
  return lines.length === 0 ? [] : ["In the way, but not of what is wanted now:", ...lines];
}

function waiting({ waitingPods, limit }: PoolView): string[] {
  if (waitingPods.length === 0) return ["No pod waits for an address."];
  const verb = waitingPods.length === 1 ? "waits" : "wait";
  const why = limit === undefined ? "" : ", for the reason above";
  return [
    `${counted(waitingPods.length, "pod")} ${verb} for an address${why}:`,
    ...waitingPods.slice(0, PODS_MAX).map(({ pod, forMs }) => `  ${pod}, for ${duration(forMs)}`),
    ...(waitingPods.length > PODS_MAX ? [`  and ${waitingPods.length - PODS_MAX} more`] : []),
  ];
}

function settings(view: PoolView): string[] {
  const chosen = OTHERS.filter((name) => (view.settings[name]?.from ?? "default") !== "default");
  return [
    "Settings that make the difference:",
    ...[...deciding(view), ...chosen].flatMap((name) => {
      const setting = view.settings[name];
      return setting === undefined ? [] : [`  ${name}=${setting.value} (${setting.from})`];
    }),
  ];
}

/** What the target is made by, as plan/target.ts has it. */
function deciding({ settings: all }: PoolView): string[] {
  const isSet = (name: string) => all[name] !== undefined;
  const byAddresses = ["warm-ip-target", "minimum-ip-target"].filter(
    (name) => (all[name]?.value ?? "0") !== "0",
  );
  if (byAddresses.length > 0) return byAddresses;
  const isBlocks =
    all["address-unit"]?.value === "block" || all["enable-prefix-delegation"]?.value === "true";
  if (isBlocks && isSet("warm-prefix-target")) return ["warm-prefix-target"];
  return [isSet("warm-eni-target") ? "warm-eni-target" : "spare-addresses"];
}

function problems({ problems: found }: PoolView): string[] {
  if (found.length === 0) return [];
  return [
    "Problems on this node:",
    ...found.map(({ severity, code, sentence }) => `  ${severity}: ${code}: ${sentence}`),
  ];
}

/** A cloud's own words may end with one. */
function withStop(sentence: string): string {
  return sentence.endsWith(".") ? sentence : `${sentence}.`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
