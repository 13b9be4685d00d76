/**
 * What the host was before we changed it, so that `causewayctl host-network remove` can leave it as it was. A file in /run: kernel parameters go
 * back at a reboot, and so does it. Nothing that the daemon does depends on it.
 */
import { readFileSync, rmSync } from "node:fs";
import { z } from "zod";
import { UPLINK_GROUP } from "../../common/constants.ts";
import type { Link } from "../../common/kernel/links.ts";
import type { NetworkStack } from "../../common/kernel/netns.ts";
import type { Logger } from "../../common/log.ts";
import { replaceRunFile } from "../../common/run-file.ts";
import { parseUplinkAlias } from "../uplink.ts";

const recordSchema = z.object({
  bootId: z.string(),
  /** Values by path, in the order in which they were changed. */
  sysctls: z.array(z.tuple([z.string(), z.string()])),
  /** By name and index: an index is not used again within a boot, a name may be. */
  links: z.array(
    z.object({ name: z.string(), index: z.number(), up: z.boolean(), group: z.number(), alias: z.string() }),
  ),
});

export type HostBefore = z.infer<typeof recordSchema>;

/** Takes note of what is about to be changed. Repeatable: the first note of a thing is the one that stays. */
export interface BeforeBook {
  /** With every parameter that the kernel will change along with it. */
  sysctl(host: NetworkStack, path: string): void;
  link(link: Link): void;
}

/** For a host that nobody is going to leave. */
export const noBeforeBook: BeforeBook = { sysctl: () => undefined, link: () => undefined };

/**
 * A record of another boot counts as none. Never throws: pods do not wait for a folder that can be written to. What could not be written is kept,
 * told once, and written with the next note.
 */
export class FileBeforeBook implements BeforeBook {
  private readonly file: string;
  private readonly log: Logger;
  private record: HostBefore;
  private isUnwritten = false;

  constructor(file: string, bootId: string, log: Logger) {
    this.file = file;
    this.log = log;
    const found = readHostBefore(file);
    this.record = found?.bootId === bootId ? found : { bootId, sysctls: [], links: [] };
  }

  sysctl(host: NetworkStack, changed: string): void {
    const known = new Set(this.record.sysctls.map(([other]) => other));
    const added = [changed, ...changedAlong(host, changed)]
      .filter((one) => !known.has(one))
      .flatMap((one): [string, string][] => {
        const value = host.sysctl.get(one);
        return value === undefined ? [] : [[one, value]];
      });
    if (added.length > 0) this.record = { ...this.record, sysctls: [...this.record.sysctls, ...added] };
    this.keep(added.length > 0);
  }

  link({ name, index, up, group, alias = "" }: Link): void {
    const isNew = !this.record.links.some((other) => other.index === index);
    // marked by a daemon that took no notes yet
    const was = group === UPLINK_GROUP || parseUplinkAlias(alias) !== undefined;
    const noted = { name, index, up, group: was ? 0 : group, alias: was ? "" : alias };
    if (isNew) this.record = { ...this.record, links: [...this.record.links, noted] };
    this.keep(isNew);
  }

  private keep(isNew: boolean): void {
    if (!isNew && !this.isUnwritten) return;
    try {
      replaceRunFile(this.file, `${JSON.stringify(this.record, undefined, 1)}\n`);
      this.isUnwritten = false;
    } catch (err) {
      if (!this.isUnwritten) {
        const what = "what the host was cannot be noted: host-network remove will not put it back";
        this.log.warn({ err, file: this.file }, what);
      }
      this.isUnwritten = true;
    }
  }
}

/** Undefined when there is none, or it cannot be read as one. */
export function readHostBefore(file: string): HostBefore | undefined {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return undefined;
  }
}

/** Puts parameters and links back, as far as they are still there; gives what it wrote. Repeatable. */
export function restoreHost(host: NetworkStack, before: HostBefore): string[] {
  const written = before.links.flatMap((was) => {
    const link = host.links.find(was.index);
    if (link === undefined || link.name !== was.name) return [];
    if (link.up === was.up && link.group === was.group && (link.alias ?? "") === was.alias) return [];
    host.links.change(was.index, { up: was.up, group: was.group, alias: was.alias });
    return [`link: ${was.name} as it was`];
  });
  for (const [parameter, value] of before.sysctls) {
    const now = host.sysctl.get(parameter);
    if (now === undefined || now === value) continue;
    host.sysctl.set(parameter, value);
    written.push(`sysctl: ${parameter} = ${value}`);
  }
  return written;
}

export function forgetHostBefore(file: string): void {
  rmSync(file, { force: true });
}

/**
 * What the kernel sets when forwarding is switched: every link's own, and for IPv4 whether redirects are heeded
 * (net/ipv4/devinet.c inet_forward_change, net/ipv6/addrconf.c addrconf_fixup_forwarding).
 */
function changedAlong(host: NetworkStack, changed: string): string[] {
  const family = { "net/ipv4/ip_forward": "ipv4", "net/ipv6/conf/all/forwarding": "ipv6" }[changed];
  if (family === undefined) return [];
  const places = ["default", "all", ...host.links.list().map(({ name }) => name)];
  const forwarding = places.map((place) => `net/${family}/conf/${place}/forwarding`);
  return family === "ipv4" ? ["net/ipv4/conf/all/accept_redirects", ...forwarding] : forwarding;
}
