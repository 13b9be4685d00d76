/**
 * Plays the runtime for the plugins behind ours when a pod's DEL was lost: its namespace is gone and nobody calls DEL, or not for long. portmap's
 * rules of that pod stand before the next pod's of the same host port, which then leads nowhere. What is run is those plugins' own DEL.
 *
 * Ours is the first plugin of the list: ADD makes our lease before any rule of theirs, and DEL runs theirs before it ends our lease. So a container with
 * such rules has a lease, unless its DEL was lost; that tells, after a start, for whom this is still to be done.
 */
import type { Clock } from "../common/clock.ts";
import type { Attachment, ContainerId } from "../common/ids.ts";
import type { IpAddress } from "../common/ip.ts";
import type { Logger } from "../common/log.ts";
import { retry } from "../common/retry.ts";
import { COMMON_VERSION, NETWORK, type PluginConf } from "./conflist.ts";
import { hostPortOwners, listHostPortRules, type PortmapBackend } from "./host-ports.ts";
import { callPlugin } from "./plugin-call.ts";

export type LostDelsOptions = {
  /** The runtime's folder of plugins. */
  readonly pluginDir: string;
  /** The plugins behind ours, in the order of the list. */
  readonly plugins: () => Promise<readonly PluginConf[]>;
  /** True while a container has a lease. */
  readonly hasLease: (containerId: ContainerId) => boolean;
  /** True while the pod link of an attachment is there. */
  readonly hasLink: (attachment: Attachment) => boolean;
  /** True for an address that pods may have. */
  readonly isOfPool: (address: IpAddress) => boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Kills what runs, and starts no other. After the next start, addForgotten() finds what is left. */
  readonly stopping: AbortSignal;
};

const ATTEMPTS = { attemptsMax: 3, delayMs: 1_000 } as const;
/** The interface of every pod in Kubernetes. portmap and bandwidth go by the container alone, but a DEL must name one. */
const IFNAME = "eth0";
/**
 * portmap does nothing without a mapping, and takes away all that it has of the container with any (cmdDel and unforwardPorts of
 * plugins/meta/portmap): which ones the runtime gave it, we are not told.
 */
const ANY_MAPPING = { portMappings: [{ hostPort: 1, containerPort: 1, protocol: "tcp" }] };

export class LostDels {
  private readonly options: LostDelsOptions;
  private tail: Promise<void> = Promise.resolve();

  constructor(options: LostDelsOptions) {
    this.options = options;
  }

  /**
   * The lease of this attachment has ended without a DEL. Returns at once; one after the other is done behind it. Repeatable. `backend` is where
   * portmap's rules are known to be; it decides itself when left out.
   */
  add(attachment: Attachment, backend?: PortmapBackend): void {
    this.tail = this.tail.then(() => this.play(attachment, backend));
  }

  /** Those that were lost while no daemon ran, by the rules that portmap has of them. Call it when leases are known. Never rejects. */
  async addForgotten(list = listHostPortRules): Promise<void> {
    const { plugins, hasLease, hasLink, isOfPool, log } = this.options;
    if (!(await plugins()).some(({ type }) => type === "portmap")) return;
    try {
      // leases are looked at after the rules: an ADD of meanwhile has made its own before them
      for (const { containerId, backend } of hostPortOwners(await list(), isOfPool)) {
        const attachment = { containerId, ifname: IFNAME };
        // a link whose alias others have damaged is no lease, and may be a living pod's
        if (!hasLease(containerId) && !hasLink(attachment)) this.add(attachment, backend);
      }
    } catch (err) {
      log.warn({ err }, "host ports of pods that went while no daemon ran were not looked for");
    }
  }

  /** Resolves when nothing is left to do. */
  done(): Promise<void> {
    return this.tail;
  }

  /** Backwards, as a runtime does. One that fails keeps no other from its DEL. Never rejects. */
  private async play(attachment: Attachment, backend?: PortmapBackend): Promise<void> {
    const { plugins, hasLease, stopping, log } = this.options;
    const ended: string[] = [];
    for (const plugin of (await plugins()).toReversed()) {
      // the same container again: its next DEL is the runtime's
      if (stopping.aborted || hasLease(attachment.containerId)) return;
      if (await this.del(toldMore(plugin, backend), attachment)) ended.push(plugin.type);
    }
    if (ended.length > 0) log.info({ ...attachment, plugins: ended }, "DELs done in the runtime's place");
  }

  private async del(plugin: PluginConf, attachment: Attachment): Promise<boolean> {
    const { pluginDir: folder, clock, stopping, log } = this.options;
    const conf = { ...plugin, cniVersion: COMMON_VERSION, name: NETWORK };
    const variables = {
      CNI_COMMAND: "DEL",
      CNI_CONTAINERID: attachment.containerId,
      CNI_IFNAME: attachment.ifname,
      CNI_NETNS: "",
    };
    const call = (signal: AbortSignal) => callPlugin({ folder, conf, variables, signal });
    try {
      await retry(call, { clock, ...ATTEMPTS }, stopping);
      return true;
    } catch (err) {
      if (!stopping.aborted)
        log.warn({ ...attachment, plugin: plugin.type, err }, "a DEL in the runtime's place failed");
      return false;
    }
  }
}

/** What a plugin must be told beside its part of the list. A portmap before 1.6 knows no `backend`, and passes over it. */
function toldMore(plugin: PluginConf, backend: PortmapBackend | undefined): PluginConf {
  if (plugin.type !== "portmap") return plugin;
  return { ...plugin, ...(backend && { backend }), runtimeConfig: ANY_MAPPING };
}
