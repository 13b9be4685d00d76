/** The control groups of test sandboxes. They are the machine's, so no namespace takes them along: each runtime has a parent of its own. */
import { readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import path from "node:path";

const ROOT = "/sys/fs/cgroup";
const PREFIX = "causeway-test-";
const STALE_MS = 3_600_000;
const REMOVAL_MS = 1_000;

/** What CRI calls `cgroup_parent`. */
export function cgroupParent(runtime: string): string {
  return `/${PREFIX}${runtime}`;
}

/** The groups of its sandboxes, each once, whatever the number of hierarchies. */
export function groupsOf(runtime: string): string[] {
  return [...new Set(parentsOf(runtime).flatMap(children))];
}

/** Kills what is in one of them and removes it. */
export function removeGroup(runtime: string, group: string): void {
  for (const parent of parentsOf(runtime)) endTree(path.join(parent, group));
}

/** All of them. Call it once the runtime is dead. */
export function removeGroups(runtime: string): void {
  for (const parent of parentsOf(runtime)) endTree(parent);
}

/** Removes what runs that were killed have left. */
export function removeStaleGroups(): void {
  const isStale = (folder: string) => Date.now() - statSync(folder).mtimeMs > STALE_MS;
  const ours = hierarchies().flatMap((root) =>
    children(root)
      .filter((name) => name.startsWith(PREFIX))
      .map((name) => path.join(root, name)),
  );
  for (const parent of ours) if (isStale(parent)) endTree(parent);
}

function parentsOf(runtime: string): string[] {
  return hierarchies()
    .map((root) => path.join(root, cgroupParent(runtime)))
    .filter((folder) => isThere(folder));
}

/** The root itself (cgroup v2), or one below it for each controller (v1). */
function hierarchies(): string[] {
  return [ROOT, ...children(ROOT).map((name) => path.join(ROOT, name))];
}

function children(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

/** From the leaves. Its runtime may be removing it as well. A group whose processes have not ended in time stays, for a later run. */
function endTree(folder: string): void {
  if (!isThere(folder)) return;
  for (const name of unlessGone(() => children(folder), [])) endTree(path.join(folder, name));
  const end = performance.now() + REMOVAL_MS;
  while (isThere(folder)) {
    killAll(path.join(folder, "cgroup.procs"));
    try {
      rmdirSync(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EBUSY" || performance.now() > end) return;
    }
  }
}

/** One that has ended meanwhile is no matter. A process of another PID namespace reads as 0, which would be ourselves. */
function killAll(file: string): void {
  for (const pid of unlessGone(() => readFileSync(file, "utf8"), "")
    .split("\n")
    .map(Number)
    .filter((number) => number > 0)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** A group that goes between two calls is no file (ENOENT), or one without a device behind it. */
function unlessGone<T>(read: () => T, gone: T): T {
  try {
    return read();
  } catch (error) {
    if (["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return gone;
    throw error;
  }
}

function isThere(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
