/**
 * The CNI_* variables (CNI specification 1.1.0, section 2, "Parameters"), checked as the specification's own libraries do (skel, libcni):
 * every missing one is named at once, then every one that is wrong, with its value.
 */
import type { Attachment, ContainerId, PodUid } from "../common/ids.ts";
import { CniError } from "./errors.ts";
import type { PodRef } from "./ipam.ts";
import { containerIdRoom } from "./lease-alias.ts";
import { IDENTIFIER, quote } from "./netconf.ts";

export type Variables = ReadonlyMap<string, string>;

export const COMMANDS = ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"] as const;
export type Command = (typeof COMMANDS)[number];

const REQUIRED: Readonly<Record<Command, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
  GC: ["CNI_PATH"],
  STATUS: [],
  VERSION: [],
};

/** No container id that has been added is longer; requireRoom() says what an ADD takes. DEL of a longer one finds nothing. */
export const CONTAINER_ID_MAX = 200;
/** Kubernetes' UIDs have 32 or 36 characters; the kernel keeps one beside the container id. */
const POD_UID_MAX = 64;
/** IFNAMSIZ - 1, linux/if.h. */
const IFNAME_BYTES_MAX = 15;

/** Throws CniError 4 for no command or one that the specification does not know. */
export function parseCommand(variables: Variables): Command {
  const text = variables.get("CNI_COMMAND") ?? "";
  const command = COMMANDS.find((known) => known === text);
  if (command === undefined) throw new CniError("invalidVariable", `unknown CNI_COMMAND: ${quote(text)}`);
  return command;
}

/** Throws CniError 4 naming every required variable that is missing or empty. */
export function requireVariables(command: Command, variables: Variables): void {
  const missing = REQUIRED[command].filter((name) => (variables.get(name) ?? "") === "");
  if (missing.length > 0) {
    throw new CniError(
      "invalidVariable",
      `${command}: required environment variables missing: ${missing.join(", ")}`,
    );
  }
}

/** Container id and ifname. Throws CniError 4. */
export function parseAttachment(command: Command, variables: Variables): Attachment {
  const containerId = variables.get("CNI_CONTAINERID") ?? "";
  const ifname = variables.get("CNI_IFNAME") ?? "";
  const problems: string[] = [];
  if (!IDENTIFIER.test(containerId)) problems.push(`CNI_CONTAINERID is not valid: ${quote(containerId)}`);
  if (command !== "DEL" && containerId.length > CONTAINER_ID_MAX) {
    problems.push(
      `CNI_CONTAINERID has ${containerId.length} characters, at most ${CONTAINER_ID_MAX}: ${quote(containerId)}`,
    );
  }
  if (!isInterfaceName(ifname)) problems.push(`CNI_IFNAME is not valid: ${quote(ifname)}`);
  if (problems.length > 0) throw new CniError("invalidVariable", `${command}: ${problems.join("; ")}`);
  return { containerId: containerId as ContainerId, ifname };
}

/** The namespace's path, as the runtime sees it. Throws CniError 4 for one that is not absolute. */
export function parseNetns(command: Command, variables: Variables): string {
  const path = variables.get("CNI_NETNS") ?? "";
  if (!path.startsWith("/")) {
    throw new CniError("invalidVariable", `${command}: CNI_NETNS is not an absolute path: ${quote(path)}`);
  }
  return path;
}

/** `K=V;K2=V2`. Keys that we do not know are kept, whatever IgnoreUnknown says. Throws CniError 4 for a part without `=`. */
export function parseArgs(variables: Variables): ReadonlyMap<string, string> {
  const parts = (variables.get("CNI_ARGS") ?? "").split(";").filter((part) => part !== "");
  return new Map(
    parts.map((part) => {
      const equals = part.indexOf("=");
      if (equals < 1)
        throw new CniError("invalidVariable", `CNI_ARGS has a part that is not K=V: ${quote(part)}`);
      return [part.slice(0, equals), part.slice(equals + 1)] as const;
    }),
  );
}

/** As podOf(). Throws CniError 4 for a UID that cannot be recorded. */
export function parsePod(command: Command, args: ReadonlyMap<string, string>): PodRef {
  const uid = args.get("K8S_POD_UID") ?? "";
  if (uid.length > POD_UID_MAX) {
    throw new CniError(
      "invalidVariable",
      `${command}: K8S_POD_UID has ${uid.length} characters, at most ${POD_UID_MAX}: ${quote(uid)}`,
    );
  }
  return podOf(args);
}

/**
 * The kernel keeps an attachment in its link's alias. Throws CniError 4 when that has no room for these names beside the longest addresses: an ADD
 * must not depend on which address it gets.
 */
export function requireRoom(command: Command, { containerId, ifname }: Attachment, pod: PodRef): void {
  const uid = pod.uid ?? "";
  const room = containerIdRoom(ifname, uid);
  if (containerId.length <= room) return;
  throw new CniError(
    "invalidVariable",
    `${command}: CNI_CONTAINERID has ${containerId.length} characters, at most ${room} with CNI_IFNAME ${quote(ifname)} ` +
      `and K8S_POD_UID ${quote(uid)}: ${quote(containerId)}`,
  );
}

/** Who the pod is, as kubelet's runtimes tell it in CNI_ARGS. */
export function podOf(args: ReadonlyMap<string, string>): PodRef {
  const namespace = args.get("K8S_POD_NAMESPACE");
  const name = args.get("K8S_POD_NAME");
  const uid = args.get("K8S_POD_UID") as PodUid | undefined;
  return {
    ...(namespace && { namespace }),
    ...(name && { name }),
    ...(uid && { uid }),
  };
}

/** `%` is no part of a name but asks the kernel for a number (net/core/dev.c, dev_alloc_name). */
function isInterfaceName(name: string): boolean {
  const bytes = Buffer.byteLength(name);
  return bytes > 0 && bytes <= IFNAME_BYTES_MAX && name !== "." && name !== ".." && !/[/:%\s]/.test(name);
}
