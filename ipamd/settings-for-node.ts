/** Pure: what a document of settings means on one node, while it runs. */
import type { Labels } from "./kube/selector.ts";
import { DEFAULT_SETTINGS, parseSettings, type RawSettings, type Settings } from "./settings.ts";
import { type SettingsDocument, settingsFor } from "./settings-document.ts";
import { describeSettings } from "./settings-schema.ts";
import type { SettingsProblem, SettingsStatus } from "./settings-source.ts";

export type NodeSettings = { readonly settings: Settings; readonly status: SettingsStatus };

/** What holds where nobody has written anything. */
export const DEFAULT_NODE_SETTINGS: NodeSettings = {
  settings: DEFAULT_SETTINGS,
  status: { values: withDefaults({}), overrides: [], problems: [] },
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
  const { raw, overrides } = settingsFor(document, labels);
  const wanted = withDefaults(raw);
  const values = started === undefined ? wanted : { ...wanted, ...readAtStart(started) };
  const parsed = parseSettings(values);
  if ("problems" in parsed) return parsed;
  return { settings: parsed.settings, status: { values, overrides, problems: waiting(wanted, values) } };
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
