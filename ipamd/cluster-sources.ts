/** What stands for the cluster until the API server does: settings, the node, its pods, and where events go, as the configuration names them. */
import type { Clock } from "../common/clock.ts";
import type { Logger } from "../common/log.ts";
import { type Config, settingsFiles } from "./config.ts";
import { LogEvents } from "./kube/events-log.ts";
import type { KubeSide } from "./kube/kube-side.ts";
import { FileNode } from "./kube/node-file.ts";
import { MemoryNode } from "./kube/node-memory.ts";
import { FilePods } from "./kube/pods-file.ts";
import { MemoryPods } from "./kube/pods-memory.ts";
import { FileSettings } from "./settings-file.ts";
import { FileLastGood } from "./settings-last-good.ts";
import { MemorySettings } from "./settings-memory.ts";
import { FileSettingsReport } from "./settings-report.ts";
import type { SettingsSource } from "./settings-source.ts";

export type ClusterSources = {
  readonly settings: SettingsSource;
  readonly kube: KubeSide;
};

/** Watches files until the process ends. Throws Error that names what is wrong with the settings, when no earlier ones can stand in. */
export function openClusterSources(config: Config, clock: Clock, log: Logger): ClusterSources {
  const { settingsPath, podsPath, nodePath } = config;
  const node = nodePath === undefined ? new MemoryNode() : new FileNode({ path: nodePath, clock, log });
  const files = settingsFiles(config);
  const settings =
    settingsPath === undefined
      ? new MemorySettings()
      : FileSettings.open({
          path: settingsPath,
          node,
          lastGood: new FileLastGood(files.lastGood, log),
          clock,
          log,
        });
  settings.reportTo(new FileSettingsReport(files.status, log));
  const pods = podsPath === undefined ? new MemoryPods() : new FilePods({ path: podsPath, clock, log });
  return { settings, kube: { pods, node, events: new LogEvents({ clock, log }) } };
}
