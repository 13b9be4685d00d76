import { readFileSync } from "node:fs";
import type { Logger } from "../common/log.ts";
import { replaceRunFile } from "../common/run-file.ts";

/** The last document that could be used, for a daemon that starts while the operator's file cannot. */
export interface LastGood {
  /** Undefined when there is none. */
  read(): string | undefined;
  /** Never throws. */
  keep(text: string): void;
}

/** In /run: a node that boots anew has nothing that must go on as it was. */
export class FileLastGood implements LastGood {
  private readonly file: string;
  private readonly log: Logger;
  private kept: string | undefined;

  constructor(file: string, log: Logger) {
    this.file = file;
    this.log = log;
    this.kept = this.read();
  }

  read(): string | undefined {
    try {
      return readFileSync(this.file, "utf8");
    } catch {
      return undefined;
    }
  }

  keep(text: string): void {
    if (text === this.kept) return;
    this.kept = text;
    try {
      replaceRunFile(this.file, text);
    } catch (err) {
      this.log.warn({ err, file: this.file }, "the settings in force cannot be kept for the next start");
    }
  }
}
