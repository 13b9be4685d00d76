/** What is wrong with a setting, in a sentence for the one who wrote it: the key, the value, and what is accepted. */
import { slipsBetween } from "../common/slips.ts";
import { describeSettings } from "./settings-schema.ts";

/** A value may be anything, and as long as the file: log, /healthz and status carry its beginning. */
const SHOWN_MAX = 100;
/** The first ones say enough. */
const PROBLEMS_MAX = 20;
/** So many letters may differ between what was written and what was meant. */
const SLIPS_MAX = 3;

/** `value` as it stands in the document. */
export function problemOf(key: string, value: unknown, message: string): string {
  return `${shorten(key)}=${shorten(JSON.stringify(value) ?? "nothing")}: ${message}`;
}

/** What a value that is no text is told. */
export function notText(key: string, value: unknown): string {
  const known = describeSettings().find(({ name }) => name === key);
  const accepted = known?.accepted ?? "text, a number, true or false";
  return problemOf(key, value, `this is ${typeName(value)}; accepted: ${accepted}`);
}

/** Guesses what the first ones mean; a file of something else has thousands, and each guess takes time. */
export function unknownSettings(keys: readonly string[]): string[] {
  const [first, others] = [keys.slice(0, PROBLEMS_MAX), keys.slice(PROBLEMS_MAX)];
  return [...first.map(unknownSetting), ...others.map((key) => `unknown setting ${shorten(key)}`)];
}

function unknownSetting(key: string): string {
  const names = describeSettings().map(({ name }) => name);
  const near = nearest(key, names);
  const hint = near === undefined ? `known: ${names.join(", ")}` : `did you mean ${near}?`;
  return `unknown setting ${shorten(key)}; ${hint}`;
}

/** The first ones, and how many more there are. */
export function firstProblems(problems: readonly string[]): readonly string[] {
  if (problems.length <= PROBLEMS_MAX) return problems;
  return [...problems.slice(0, PROBLEMS_MAX), `and ${problems.length - PROBLEMS_MAX} more problems`];
}

export function shorten(text: string): string {
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}…`;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : "an object";
}

/** Also amazon-vpc-cni's variables: WARM_IP_TARGET, AWS_VPC_K8S_CNI_EXTERNALSNAT. */
function nearest(key: string, names: readonly string[]): string | undefined {
  const letters = (text: string) =>
    text
      .slice(0, SHOWN_MAX)
      .toLowerCase()
      .replaceAll(/[-_. ]/g, "");
  const written = letters(key);
  const ranked = names
    .map((name) => ({ name, slips: slipsBetween(written, letters(name)) }))
    .sort((a, b) => a.slips - b.slips);
  const [best] = ranked;
  if (best !== undefined && best.slips <= SLIPS_MAX) return best.name;
  if (written.length <= SLIPS_MAX) return undefined;
  return names.find((name) => written.includes(letters(name)) || letters(name).includes(written));
}
