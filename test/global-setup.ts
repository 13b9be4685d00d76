import { execFileSync } from "node:child_process";

/** Tests of the whole run what users run: the bundle of now, and the static shim. */
export function setup(): void {
  execFileSync("sh", ["deploy/dev/setup.sh"], { stdio: "inherit" });
  execFileSync(process.execPath, ["deploy/dev/bundle.ts"], { stdio: "inherit" });
}
