/** Pure: what a document of settings means on one node, while it runs. */
import type { Labels } from "./kube/selector.ts";
import { DEFAULT_SETTINGS, parseSettings, type RawSettings, type Settings } from "./settings.ts";
import { type SettingsDocument, type SettingsForLabels, settingsFor } from "./settings-document.ts";
import { describeSettings } from "./settings-schema.ts";
import type { SettingsProblem, SettingsStatus } from "./settings-source.ts";

export type NodeSettings = { readonly settings: Settings; readonly status: SettingsStatus };

/** What holds where nobody has written anything. */
export const DEFAULT_NODE_SETTINGS: NodeSettings = {
  settings: DEFAULT_SETTINGS,
  status: { ...defaultsAlone(), overrides: [], problems: [] },
};

/**
 * Never throws: the settings for a node with these labels, or what is wrong with them together. Those that are read at start only keep their
 * value of `started` (a status's values); a document that has another one is told of it. Without `started` the daemon is starting.
 */
export function settingsForNode(
  document: SettingsDocument,
  labels: Labels,
  started?: RawSettings,
): NodeSettings | { readonly problems: readonly string[] } {
  const { raw, origins, overrides } = settingsFor(document, labels);
  const wanted = withDefaults(raw);
  const values = started === undefined ? wanted : { ...wanted, ...readAtStart(started) };
  const parsed = parseSettings(values);
  if ("problems" in parsed) return parsed;
  const status = {
    values,
    origins: originsOf(values, wanted, { raw, origins }),
    overrides,
    problems: waiting(wanted, values),
  };
  return { settings: parsed.settings, status };
}

function defaultsAlone(): Pick<SettingsStatus, "values" | "origins"> {
  const values = withDefaults({});
  return { values, origins: originsOf(values, values, { raw: {}, origins: {} }) };
}

/** An empty value is as none; what waits for the next start is still what it was at the last one. */
function originsOf(
  values: RawSettings,
  wanted: RawSettings,
  written: Pick<SettingsForLabels, "raw" | "origins">,
): SettingsStatus["origins"] {
  const originOf = (name: string) => {
    if (values[name] !== wanted[name]) return "start";
    return written.raw[name]?.trim() ? (written.origins[name] ?? "default") : "default";
  };
  return Object.fromEntries(Object.keys(values).map((name) => [name, originOf(name)]));
}

function withDefaults(raw: RawSettings): RawSettings {
  return Object.fromEntries(
    describeSettings().flatMap(({ name, fallback }) => {
      const value = raw[name]?.trim() || fallback;
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function readAtStart(values: RawSettings): RawSettings {
  const names = describeSettings().flatMap(({ name, takesEffect }) =>
    takesEffect === "next start" ? [name] : [],
  );
  return Object.fromEntries(Object.entries(values).filter(([name]) => names.includes(name)));
}

function waiting(wanted: RawSettings, values: RawSettings): SettingsProblem[] {
  return Object.keys(wanted)
    .filter((name) => wanted[name] !== values[name])
    .map((name) => ({
      code: "settings-next-start",
      sentence: `${name}=${JSON.stringify(wanted[name])} takes effect at the next start of the daemon; until then ${JSON.stringify(values[name])} stays in force`,
    }));
}
