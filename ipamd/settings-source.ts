import type { RawSettings, Settings } from "./settings.ts";

/** The settings in force, which may change at any time. */
export interface SettingsSource {
  readonly current: Settings;
  readonly status: SettingsStatus;
  /** Calls back behind every change that differs from what was in force. */
  subscribe(listener: (settings: Settings) => void): Disposable;
  /** Tells now, and whenever something else is to be told. */
  reportTo(report: SettingsReport): void;
}

/** What became of what the operator wrote. */
export type SettingsStatus = {
  /** Every setting in force, defaults included, as it would be written; those that nothing stands for are left out. */
  readonly values: RawSettings;
  /** Where each of them comes from: `default`, `file`, `override NAME`; or `start`, of one that the document has changed and that is read at start only. */
  readonly origins: Readonly<Record<string, string>>;
  /** Names of the overrides that apply to this node, in order. */
  readonly overrides: readonly string[];
  /** What of the document is not in force, and why. Empty when all of it is. */
  readonly problems: readonly SettingsProblem[];
};

export type SettingsProblem = {
  /** `settings-invalid`: the document is refused, and the last good one stays. `settings-next-start`: this key waits for the next start. */
  readonly code: "settings-invalid" | "settings-next-start";
  readonly sentence: string;
};

/** A place where the operator reads it. Never throws and never waits. */
export interface SettingsReport {
  tell(status: SettingsStatus): void;
}
