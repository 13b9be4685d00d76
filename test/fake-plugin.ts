import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

const VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/** One call of it: its CNI_ variables and what it read. */
export type FakeCall = { readonly variables: Readonly<Record<string, string>>; readonly conf: unknown };

/** A CNI plugin, as a script, that notes its calls and does as it is told. */
export class FakePlugin {
  readonly file: string;

  /** Installs it in that folder. */
  constructor(folder: string, type: string, versions: readonly string[] = VERSIONS) {
    this.file = path.join(folder, type);
    const answer = JSON.stringify({ cniVersion: "1.0.0", supportedVersions: versions });
    const script = [
      "#!/bin/sh",
      `[ "$CNI_COMMAND" = VERSION ] && { echo VERSION >>"$0.versions"; echo '${answer}'; exit 0; }`,
      'echo "$(env | grep ^CNI_ | sort | tr "\\n" ";")|$(cat)" >>"$0.calls"',
      'if [ -e "$0.does" ]; then . "$0.does"; fi',
      "",
    ];
    writeFileSync(`${this.file}.new`, script.join("\n"));
    chmodSync(`${this.file}.new`, 0o755);
    renameSync(`${this.file}.new`, this.file);
  }

  /** Shell that its calls run, after they are noted. */
  does(script: string): void {
    writeFileSync(`${this.file}.does`, script);
  }

  /** All but those for its versions. */
  calls(): FakeCall[] {
    return this.lines("calls").map((line) => {
      const [variables = "", conf = ""] = line.split("|");
      const pairs = variables.split(";").filter((pair) => pair !== "");
      return {
        variables: Object.fromEntries(pairs.map((pair) => pair.split("="))) as Record<string, string>,
        conf: JSON.parse(conf) as unknown,
      };
    });
  }

  /** How often it was asked for its versions. */
  versionCalls(): number {
    return this.lines("versions").length;
  }

  private lines(kind: "calls" | "versions"): string[] {
    const file = `${this.file}.${kind}`;
    if (!existsSync(file)) return [];
    return readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  }
}
