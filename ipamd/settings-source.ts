import type { Settings } from "./settings.ts";

/** The settings in force, which may change at any time. */
export interface SettingsSource {
  readonly current: Settings;
  /** Calls back behind every change that differs from what was in force. */
  subscribe(listener: (settings: Settings) => void): Disposable;
}
