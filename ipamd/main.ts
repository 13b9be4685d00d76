/** The daemon's process: reads its configuration, builds the parts, runs until a signal, and exits with a code. */
import { systemClock } from "../common/clock.ts";
import { describeError } from "../common/errors.ts";
import { noFaultPoints } from "../common/fault-points.ts";
import { previewNft } from "../common/kernel/nft-preview.ts";
import { kernelPeerCredentials } from "../common/kernel/peer-credentials.ts";
import { missingPrograms } from "../common/kernel/processes.ts";
import { openKernel } from "../common/kernel/real-kernel.ts";
import { ProgramXtables } from "../common/kernel/xtables.ts";
import { buildLogger, type Logger } from "../common/log.ts";
import { Metrics } from "../common/metrics.ts";
import { openCloud } from "../providers/registry.ts";
import { openClusterSources } from "./cluster-sources.ts";
import { hostBeforeFile, readConfig } from "./config.ts";
import { crashingPoints } from "./crash-points.ts";
import { Daemon } from "./daemon.ts";
import { FileBeforeBook } from "./host-network/before.ts";
import { KernelHostNetwork } from "./host-network/kernel-host-network.ts";
import { HostSurvey } from "./host-network/survey.ts";

async function main(): Promise<void> {
  const config = readConfig();
  const log = buildLogger({ level: config.logLevel });
  const sources = openClusterSources(config, systemClock, log);
  const settings = () => sources.settings.current;
  log.info({ config, settings: sources.settings.status.values }, "starting");
  const metrics = new Metrics();
  const kernel = await openKernel();
  const xtables = new ProgramXtables();
  const { families } = settings();
  const { cloud, clusterName: cluster, cloudApi } = config;
  const daemon = new Daemon({
    ...sources,
    config,
    kernel,
    peers: kernelPeerCredentials(),
    network: await openCloud(cloud, { cluster, ...cloudApi, clock: systemClock, log, metrics }),
    hostNetwork: new KernelHostNetwork({
      kernel,
      xtables,
      settings,
      before: new FileBeforeBook(hostBeforeFile(config), kernel.bootId, log),
      log,
    }),
    survey: new HostSurvey({ kernel, xtables, preview: previewNft, missingPrograms, families }),
    clock: systemClock,
    log,
    metrics,
    points: config.crashAt === undefined ? noFaultPoints : crashingPoints(config.crashAt),
  });
  await daemon.start();
  const signal = await nextSignal();
  log.info({ signal }, "stopping");
  await daemon.stop();
}

function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}

/** A bug must end the process: the kernel keeps everything, and a fresh start is what has been tested. */
function endOnBugs(log: Logger): void {
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (err: unknown) => {
      log.error({ err }, "a bug; the process ends");
      process.exit(70);
    });
  }
}

endOnBugs(buildLogger());
try {
  await main();
  process.exit(0);
} catch (error) {
  buildLogger().error({ err: error }, describeError(error));
  process.exit(1);
}
