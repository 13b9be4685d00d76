import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";

/** Tests of the whole run what users run: the bundle of now, and the static shim. */
export function setup(): void {
  execFileSync("sh", ["deploy/dev/setup.sh"], { stdio: "inherit" });
  execFileSync(process.execPath, ["deploy/dev/bundle.ts"], { stdio: "inherit" });
  if (process.env.CAUSEWAY_IN_NAMESPACES === "1") hideVarLib();
}

/** Container runtimes keep results of plugins in /var/lib/cni, whatever their configuration: what is written below /var/lib goes with the run. */
function hideVarLib(): void {
  const folder = "/run/var-lib";
  for (const name of ["upper", "work"]) mkdirSync(`${folder}/${name}`, { recursive: true });
  const options = `lowerdir=/var/lib,upperdir=${folder}/upper,workdir=${folder}/work`;
  execFileSync("mount", ["-t", "overlay", "-o", options, "overlay", "/var/lib"], { stdio: "inherit" });
}
