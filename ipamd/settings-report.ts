import type { Logger } from "../common/log.ts";
import { replaceRunFile } from "../common/run-file.ts";
import type { ProblemBoard } from "./problems.ts";
import type { SettingsReport, SettingsStatus } from "./settings-source.ts";

/** A file that says what is in force and what is not: what the ConfigMap's status would be. */
export class FileSettingsReport implements SettingsReport {
  private readonly file: string;
  private readonly log: Logger;

  constructor(file: string, log: Logger) {
    this.file = file;
    this.log = log;
  }

  tell(status: SettingsStatus): void {
    try {
      replaceRunFile(this.file, `${JSON.stringify(status, undefined, 1)}\n`);
    } catch (err) {
      this.log.warn({ err, file: this.file }, "the status of the settings cannot be written");
    }
  }
}

/** Problems of the settings are problems of the node, in log, /healthz and metrics. */
export function boardReport(board: ProblemBoard): SettingsReport {
  return {
    tell: ({ problems }) =>
      board.report(
        "settings",
        problems.map((problem) => ({ ...problem, severity: "warning" })),
      ),
  };
}
