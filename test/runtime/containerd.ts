/** One real containerd in a node's network namespace, with folders, plugins and control groups of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { runIn } from "../cloudsim/vpc/commands.ts";
import { SHIM } from "../cluster/runtime.ts";
import { until } from "../shim/waiting.ts";
import { cgroupParent, removeGroups, removeStaleGroups } from "./cgroups.ts";
import { Cri } from "./cri.ts";
import { type Edition, expectInstalled } from "./editions.ts";
import { endAllBelow } from "./leftovers.ts";
import { PAUSE_IMAGE, writePauseImage } from "./pause-image.ts";

const REFERENCE_PLUGINS = "/usr/lib/cni";
const START_MS = 30_000;
/** Parts of containerd that no test needs; some would write outside the folder. */
const DISABLED = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.restart",
  "io.containerd.monitor.container.v1.restart",
  "io.containerd.nri.v1.nri",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
  "io.containerd.image-verifier.v1.bindir",
];

export type ContainerdSpec = {
  readonly edition: Edition;
  /** Where it runs. */
  readonly netnsPath: string;
  /** Its net.d. */
  readonly confDir: string;
  /** Of the daemon: plugins inherit the runtime's environment. */
  readonly daemonSocket: string;
};

export class Containerd implements AsyncDisposable {
  readonly spec: ContainerdSpec;
  /** Everything that it writes is below. */
  readonly folder: string;
  readonly binDir: string;
  readonly cri: Cri;
  private child: ChildProcess | undefined;

  private constructor(spec: ContainerdSpec) {
    this.spec = spec;
    this.folder = mkdtempSync("/run/ctd-");
    this.binDir = path.join(this.folder, "bin");
    this.cri = new Cri(this.socketPath);
  }

  /** Resolves once it answers and has the image of sandboxes. */
  static async start(spec: ContainerdSpec): Promise<Containerd> {
    expectInstalled(spec.edition);
    removeStaleGroups();
    const containerd = new Containerd(spec);
    containerd.writeFiles();
    await containerd.launch();
    await containerd.importImage();
    return containerd;
  }

  /** A name for its groups. */
  get name(): string {
    return path.basename(this.folder);
  }

  get cgroupParent(): string {
    return cgroupParent(this.name);
  }

  /** Of the namespaces that it makes for sandboxes. */
  get netnsDir(): string {
    return path.join(this.folder, "state/io.containerd.grpc.v1.cri/netns");
  }

  get isRunning(): boolean {
    return this.child?.exitCode === null && this.child.signalCode === null;
  }

  /** Starts it over what the last one left; resolves once it answers. */
  async launch(): Promise<void> {
    const log = openSync(this.logPath, "a");
    const command = [
      `--net=${this.spec.netnsPath}`,
      "containerd",
      "--config",
      path.join(this.folder, "config.toml"),
    ];
    this.child = spawn("nsenter", command, {
      env: { PATH: this.searchPath, CAUSEWAY_SOCKET: this.spec.daemonSocket },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    const isServing = () =>
      this.cri.network().then(
        () => true,
        () => false,
      );
    await until("containerd answers", isServing, START_MS).catch((error: unknown) => {
      throw new Error(`containerd did not start:\n${this.logTail()}`, { cause: error });
    });
  }

  /** Ends containerd alone, and waits for its end: sandboxes and running plugins live on. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    if (this.child === undefined || !this.isRunning) return;
    const ended = once(this.child, "exit");
    this.child.kill(signal);
    await ended;
  }

  async restart(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.stop(signal);
    await this.launch();
  }

  logTail(lines = 40): string {
    return readFileSync(this.logPath, "utf8").split("\n").slice(-lines).join("\n");
  }

  private get socketPath(): string {
    return path.join(this.folder, "containerd.sock");
  }

  private get logPath(): string {
    return path.join(this.folder, "log");
  }

  private get searchPath(): string {
    return [...this.spec.edition.path, process.env.PATH].join(":");
  }

  private writeFiles(): void {
    mkdirSync(this.binDir);
    symlinkSync(path.join(REFERENCE_PLUGINS, "loopback"), path.join(this.binDir, "loopback"));
    copyFileSync(SHIM, path.join(this.binDir, "causeway"));
    const config = `${this.spec.edition.configure({ bin: this.binDir, net: this.spec.confDir })}
[grpc]
address = "${this.socketPath}"`;
    // tables come after the bare keys, and the version is one of these
    const bare = `root = "${this.folder}/root"
state = "${this.folder}/state"
disabled_plugins = ${JSON.stringify(DISABLED)}
`;
    writeFileSync(path.join(this.folder, "config.toml"), bare + config);
  }

  private async importImage(): Promise<void> {
    const archive = path.join(this.folder, "pause.tar");
    writePauseImage(archive);
    const ctr = ["ctr", "-a", this.socketPath, "-n", "k8s.io", "images", "import", archive];
    runIn(this.spec.netnsPath, ["env", `PATH=${this.searchPath}`, ...ctr]);
    await until("the image is known to CRI", () => this.cri.hasImage(PAUSE_IMAGE));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cri[Symbol.dispose]();
    await this.stop("SIGKILL");
    endAllBelow(this.folder);
    removeGroups(this.name);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
