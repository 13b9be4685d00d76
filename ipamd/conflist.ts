/**
 * The network configuration list that makes a runtime use the plugin. Its presence is what a runtime takes for readiness, so it is
 * written last; it stays when the daemon stops, because without it the runtime cannot DEL; and after a reboot the one of the boot before
 * is removed until the daemon serves.
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { syncFolder, writeFileAtomically } from "../common/atomic-file.ts";

export const CONFLIST_NAME = "10-causeway.conflist";
export const NETWORK = "causeway";
/** CIS Kubernetes Benchmark 1.11, 1.1.9: 600 or stricter for CNI files. */
const MODE = 0o600;
/** What runtimes older than CNI 1.1 look at; newer ones choose from `cniVersions`. */
export const COMMON_VERSION = "1.0.0";
/** Offered from here on: every runtime in support knows it, and it is the first with CHECK. */
export const OLDEST_OFFERED = "0.4.0";

export type ConflistOptions = {
  /** The runtime's folder, usually /etc/cni/net.d; made when it is missing. */
  readonly folder: string;
  /** /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
};

/** One plugin of a list, as the specification has it; `type` is its executable's name. */
export type PluginConf = { readonly type: string; readonly [key: string]: unknown };

/** Removes a list that an earlier boot has left, or that cannot be read as ours. Call it at start. Repeatable; true when one was removed. */
export async function removeStaleConflist({ folder, bootId }: ConflistOptions): Promise<boolean> {
  const path = join(folder, CONFLIST_NAME);
  const text = await readOrNothing(path);
  if (text === undefined || bootOf(text) === bootId) return false;
  await rm(path, { force: true });
  await syncFolder(dirname(path));
  return true;
}

/**
 * Writes the list for the versions that all its plugins support (oldest first); `chained` are those behind ours, by default none. Call it once the daemon serves. Repeatable; false when it was
 * there already, word for word. Throws the system's error, or `file-not-kept`.
 */
export async function writeConflist(
  { folder, bootId, chained = [] }: ConflistOptions & { readonly chained?: readonly PluginConf[] },
  supportedVersions: readonly string[],
): Promise<boolean> {
  const path = join(folder, CONFLIST_NAME);
  const text = printConflist(bootId, supportedVersions, chained);
  if ((await readOrNothing(path)) === text) return false;
  await mkdir(folder, { recursive: true });
  await writeFileAtomically(path, text, { mode: MODE });
  return true;
}

/** Runtimes ignore keys that they do not know: `causewayBoot` is ours. */
function printConflist(
  bootId: string,
  supportedVersions: readonly string[],
  chained: readonly PluginConf[],
): string {
  const list = {
    cniVersion: COMMON_VERSION,
    cniVersions: supportedVersions.slice(supportedVersions.indexOf(OLDEST_OFFERED)),
    name: NETWORK,
    causewayBoot: bootId,
    plugins: [{ type: "causeway" }, ...chained],
  };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

function bootOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { causewayBoot?: unknown } | null)?.causewayBoot;
  } catch {
    return undefined;
  }
}

async function readOrNothing(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
