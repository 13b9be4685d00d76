/**
 * What a runtime has on the machine, looked for without asking it: processes, control groups, mounts, namespaces, cached results. One that
 * no sandbox explains is left over.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { run } from "../cloudsim/vpc/commands.ts";
import { groupsOf, removeGroup } from "./cgroups.ts";
import type { Containerd } from "./containerd.ts";

/** libcni's, at its one fixed place; test/global-setup.ts has made it private. */
const RESULTS = "/var/lib/cni/results";

/** In the order in which they can be removed. */
export const KINDS = ["shim", "group", "mount", "namespace", "result"] as const;

export type Thing = {
  readonly kind: (typeof KINDS)[number];
  /** Holds the id of its sandbox, or the name of its namespace's file. */
  readonly name: string;
  /** Does to it what a reboot does. */
  remove(): void;
};

/** Everything of that runtime but containerd itself, in the order of KINDS. */
export function thingsOf({ folder, name, netnsDir }: Containerd): Thing[] {
  return [
    ...processesOf(folder)
      .filter(({ command }) => command.includes("containerd-shim"))
      .map(({ pid, command }) => thing("shim", command, () => killIfThere(pid))),
    ...groupsOf(name).map((group) => thing("group", group, () => removeGroup(name, group))),
    ...mountsBelow(folder).map((point) => thing("mount", point, () => run(["umount", "--lazy", point]))),
    ...filesIn(netnsDir).map((file) => thing("namespace", file, () => rmSync(path.join(netnsDir, file)))),
    ...filesIn(RESULTS)
      .map((file) => path.join(RESULTS, file))
      // a result names the namespace of its sandbox
      .filter((file) => readOrNothing(file).includes(`${folder}/`))
      .map((file) => thing("result", file, () => rmSync(file))),
  ];
}

/** How many of each kind. */
export function countKinds(things: readonly Thing[]): Readonly<Record<Thing["kind"], number>> {
  const count = (wanted: Thing["kind"]) => things.filter(({ kind }) => kind === wanted).length;
  return Object.fromEntries(KINDS.map((kind) => [kind, count(kind)])) as Record<Thing["kind"], number>;
}

/** The files in which libcni remembers what plugins answered for a sandbox. */
export function resultsOf(id: string): string[] {
  return filesIn(RESULTS)
    .filter((name) => name.includes(id))
    .map((name) => path.join(RESULTS, name));
}

/** libcni writes its records in place and does not sync them: one whose writer was killed may be empty, or half. */
export function isCutShort(file: string): boolean {
  try {
    JSON.parse(readFileSync(file, "utf8"));
    return false;
  } catch (error) {
    return error instanceof SyntaxError;
  }
}

/** Ends every process of that runtime and unmounts what it has mounted. */
export function endAllBelow(folder: string): void {
  for (const { pid } of processesOf(folder)) killIfThere(pid);
  for (const point of mountsBelow(folder)) run(["umount", "--lazy", point]);
}

function thing(kind: Thing["kind"], name: string, remove: () => unknown): Thing {
  return { kind, name, remove: () => void remove() };
}

/** The living whose command line names the folder: containerd itself, and a shim for each sandbox. */
function processesOf(folder: string): { readonly pid: number; readonly command: string }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({
      pid: Number(pid),
      command: readOrNothing(`/proc/${pid}/cmdline`).replaceAll("\0", " "),
    }))
    .filter(({ command }) => command.includes(`${folder}/`));
}

/** The last one first. */
function mountsBelow(folder: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${folder}/`))
    .reverse();
}

/** Empty when the folder is not there. */
function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** What is gone by now has nothing to say. */
function readOrNothing(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
