/**
 * The document that an operator writes: settings for every node, and overrides for those that a label selector chooses. JSON, of flat keys or as a
 * ConfigMap with its `data`. Pure.
 *
 * An override is a key `override.NAME`. Its value is an object, or, as a ConfigMap has it, lines of `key: value`; one key is `selector`. Those that
 * match a node are laid over the settings in the order of their names.
 */
import { type LabelSelector, type Labels, matchesSelector, parseSelector } from "./kube/selector.ts";
import { parseSettings, type RawSettings } from "./settings.ts";
import { firstProblems, notText, problemOf, shorten } from "./settings-problems.ts";

export type SettingsDocument = {
  readonly settings: RawSettings;
  /** In the order in which they apply. */
  readonly overrides: readonly SettingsOverride[];
};

export type SettingsOverride = {
  readonly name: string;
  readonly selector: LabelSelector;
  readonly settings: RawSettings;
};

export const NO_SETTINGS: SettingsDocument = { settings: {}, overrides: [] };

const OVERRIDE = "override.";
const SELECTOR = "selector";
/** What a ConfigMap has beside its data. */
const CONFIG_MAP_KEYS = ["apiVersion", "kind", "metadata", "immutable", "binaryData"];

/** Never throws: the document, or everything that is wrong in it, overrides of other nodes included: a mistake shows on every node. */
export function parseDocument(
  text: string,
): { readonly document: SettingsDocument } | { readonly problems: readonly string[] } {
  const problems: string[] = [];
  const entries = entriesOf(text, problems);
  const overrides: SettingsOverride[] = [];
  const settings = textsOf(
    entries.filter(([key]) => !key.startsWith(OVERRIDE)),
    problems,
  );
  for (const [key, value] of entries.filter(([name]) => name.startsWith(OVERRIDE))) {
    const override = overrideOf(key, value, problems);
    if (override !== undefined) overrides.push(override);
  }
  overrides.sort((a, b) => (a.name < b.name ? -1 : 1));
  problems.push(...problemsOf(settings, overrides));
  return problems.length > 0 ? { problems: firstProblems(problems) } : { document: { settings, overrides } };
}

/** What a document says for one node: `origins` has `file` or `override NAME` of each key. */
export type SettingsForLabels = {
  readonly raw: RawSettings;
  readonly origins: Readonly<Record<string, string>>;
  readonly overrides: readonly string[];
};

/** What the document says for a node with these labels, and which overrides that took. */
export function settingsFor({ settings, overrides }: SettingsDocument, labels: Labels): SettingsForLabels {
  const matching = overrides.filter(({ selector }) => matchesSelector(selector, labels));
  const layers = [
    { origin: "file", settings },
    ...matching.map((override) => ({ origin: `override ${override.name}`, settings: override.settings })),
  ];
  const entries = layers.flatMap(({ origin, settings: own }) =>
    Object.entries(own).map(([key, value]) => ({ key, value, origin })),
  );
  return {
    raw: Object.fromEntries(entries.map(({ key, value }) => [key, value])),
    origins: Object.fromEntries(entries.map(({ key, origin }) => [key, origin])),
    overrides: matching.map(({ name }) => name),
  };
}

function entriesOf(text: string, problems: string[]): [key: string, value: unknown][] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    problems.push(text.trim() === "" ? "the file is empty" : `not JSON: ${(error as Error).message}`);
    return [];
  }
  if (!isObject(parsed)) {
    problems.push("not a JSON object");
    return [];
  }
  if (!isObject(parsed.data)) return Object.entries(parsed);
  const beside = Object.keys(parsed).filter((key) => key !== "data" && !CONFIG_MAP_KEYS.includes(key));
  problems.push(...beside.map((key) => problemOf(key, parsed[key], "stands beside `data`, not in it")));
  return Object.entries(parsed.data);
}

function overrideOf(key: string, value: unknown, problems: string[]): SettingsOverride | undefined {
  const own: string[] = [];
  const name = key.slice(OVERRIDE.length);
  if (name === "") own.push("an override needs a name");
  const { [SELECTOR]: selectorText = "", ...settings } = textsOf(overrideEntries(value, own), own);
  // one that could not be read may have had a selector
  const selector = own.length === 0 ? selectorOf(selectorText, own) : [];
  problems.push(...own.map((problem) => `${shorten(key)}: ${problem}`));
  return own.length > 0 ? undefined : { name, selector, settings };
}

function overrideEntries(value: unknown, problems: string[]): readonly [key: string, value: unknown][] {
  if (typeof value === "string") return linesOf(value, problems);
  if (isObject(value)) return Object.entries(value);
  problems.push("accepted: an object, or lines of `key: value`, with a `selector`");
  return [];
}

function selectorOf(text: string, problems: string[]): LabelSelector {
  try {
    return parseSelector(text);
  } catch (error) {
    problems.push(
      problemOf(
        SELECTOR,
        text,
        `${(error as Error).message}; accepted: a label selector, like pool=gpu,zone in (a,b)`,
      ),
    );
    return [];
  }
}

/** `key: value` by line. Empty lines and those that begin with # are passed over; quotes around a value are YAML's. */
function linesOf(text: string, problems: string[]): [key: string, value: string][] {
  const entries = new Map<string, string>();
  for (const line of text.split("\n").map((one) => one.trim())) {
    if (line === "" || line.startsWith("#")) continue;
    const [, key = "", value = ""] = /^([^:\s]+)\s*:(?:\s+(.*))?$/.exec(line) ?? [];
    if (key === "") problems.push(`not \`key: value\`: ${JSON.stringify(shorten(line))}`);
    else if (entries.has(key)) problems.push(problemOf(key, value, "is there twice"));
    else entries.set(key, value.replace(/^(["'])(.*)\1$/, "$2"));
  }
  return [...entries];
}

/** Numbers and booleans are what people write in JSON: they are taken as their text. */
function textsOf(
  entries: readonly (readonly [key: string, value: unknown])[],
  problems: string[],
): RawSettings {
  const texts: [string, string][] = [];
  for (const [key, value] of entries) {
    if (typeof value === "string") texts.push([key, value]);
    else if (typeof value === "number" || typeof value === "boolean") texts.push([key, String(value)]);
    else problems.push(notText(key, value));
  }
  return Object.fromEntries(texts);
}

/**
 * Each override is judged alone over the settings, when those are right: what only several together make wrong is for the node that has them all.
 */
function problemsOf(settings: RawSettings, overrides: readonly SettingsOverride[]): string[] {
  const common = problemsIn(settings);
  const below = common.length === 0 ? settings : {};
  return [
    ...common,
    ...overrides.flatMap(({ name, settings: own }) =>
      problemsIn({ ...below, ...own }).map((problem) => `${shorten(OVERRIDE + name)}: ${problem}`),
    ),
  ];
}

function problemsIn(raw: RawSettings): readonly string[] {
  const parsed = parseSettings(raw);
  return "problems" in parsed ? parsed.problems : [];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
