import { isDeepStrictEqual } from "node:util";
import { Listeners } from "../common/listeners.ts";
import type { Settings } from "./settings.ts";
import type { NodeSettings } from "./settings-for-node.ts";
import type { SettingsReport, SettingsSource, SettingsStatus } from "./settings-source.ts";

/** What is in force, and who is told of a change. Where it comes from is for those who extend it. */
export abstract class SettingsInForce implements SettingsSource {
  protected inForce: NodeSettings;
  private readonly listeners = new Listeners<[settings: Settings]>();
  private readonly reports: SettingsReport[] = [];

  constructor(inForce: NodeSettings) {
    this.inForce = inForce;
  }

  get current(): Settings {
    return this.inForce.settings;
  }

  get status(): SettingsStatus {
    return this.inForce.status;
  }

  subscribe(listener: (settings: Settings) => void): Disposable {
    return this.listeners.add(listener);
  }

  reportTo(report: SettingsReport): void {
    this.reports.push(report);
    report.tell(this.status);
  }

  /** Tells reports of a status that differs, and then listeners of settings that do. */
  protected put(next: NodeSettings): void {
    const before = this.inForce;
    const isChange = !isDeepStrictEqual(next.settings, before.settings);
    this.inForce = isChange ? next : { ...next, settings: before.settings };
    if (!isDeepStrictEqual(next.status, before.status))
      for (const report of this.reports) report.tell(next.status);
    if (isChange) this.listeners.tell(next.settings);
  }
}
