import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { IpAddress } from "../../common/ip.ts";

/** What came of one execution of the plugin. */
export type PluginRun = {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From fork to exit. */
  readonly durationMs: number;
};

/** A pod as a runtime sees it. */
export type Sandbox = {
  readonly name: string;
  readonly containerId: string;
  readonly netnsPath: string;
  readonly ifname: string;
};

export type AddedSandbox = Sandbox & {
  readonly ipv4?: IpAddress;
  readonly ipv6?: IpAddress;
  readonly hostLink: string;
};

export const SHIM = "dist/causeway";
const CONFIG = { cniVersion: "1.0.0", name: "causeway", type: "causeway" };

/** Plays the container runtime of one node: executes the real plugin as containerd does. */
export class Runtime {
  private readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** A sandbox that no ADD has seen yet; its namespace must be there. */
  sandbox(name: string, netnsPath: string): Sandbox {
    return { name, containerId: randomBytes(32).toString("hex"), netnsPath, ifname: "eth0" };
  }

  /** Throws with the plugin's own words when it fails. */
  async add(sandbox: Sandbox): Promise<AddedSandbox & { readonly durationMs: number }> {
    const run = await this.exec("ADD", sandbox);
    if (run.exitCode !== 0) throw new Error(`ADD of ${sandbox.name} failed: ${run.stdout}${run.stderr}`);
    const result = JSON.parse(run.stdout) as {
      readonly ips: readonly { readonly address: string }[];
      readonly interfaces: readonly { readonly name: string }[];
    };
    const addresses = result.ips.map(({ address }) => IpAddress.parse(address.split("/")[0] ?? ""));
    const [ipv4, ipv6] = [4, 6].map((family) => addresses.find((address) => address.family === family));
    return {
      ...sandbox,
      ...(ipv4 === undefined ? {} : { ipv4 }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      hostLink: result.interfaces[0]?.name ?? "",
      durationMs: run.durationMs,
    };
  }

  async del(sandbox: Sandbox): Promise<{ readonly durationMs: number }> {
    const run = await this.exec("DEL", sandbox);
    if (run.exitCode !== 0) throw new Error(`DEL of ${sandbox.name} failed: ${run.stdout}${run.stderr}`);
    return run;
  }

  /** Executes the plugin, whatever comes of it. Changed or removed (undefined) variables and another stdin are a test's to give. */
  exec(command: string, sandbox: Sandbox, changes: PluginChanges = {}): Promise<PluginRun> {
    return this.start(command, sandbox, changes).run;
  }

  /** As exec(), for a plugin that is looked at or killed while it runs. */
  start(command: string, sandbox: Sandbox, changes: PluginChanges = {}): RunningPlugin {
    const env = {
      PATH: process.env.PATH,
      CAUSEWAY_SOCKET: this.socketPath,
      CNI_COMMAND: command,
      CNI_CONTAINERID: sandbox.containerId,
      CNI_NETNS: sandbox.netnsPath,
      CNI_IFNAME: sandbox.ifname,
      CNI_PATH: "/opt/cni/bin",
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=${sandbox.name};K8S_POD_UID=uid-${sandbox.name}`,
      ...changes.env,
    };
    return startPlugin(env, changes.stdin ?? JSON.stringify(CONFIG));
  }
}

/** What a test gives in place of what a runtime does. */
export type PluginChanges = {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: string;
};

/** A plugin that has not ended yet. */
export type RunningPlugin = {
  readonly run: Promise<PluginRun>;
  /** True once the daemon has the whole request, or will have it when it goes on, and the plugin sleeps. */
  isWaiting(): boolean;
  /** SIGKILL, as a runtime does at its deadline. */
  kill(): void;
};

function startPlugin(env: Readonly<Record<string, string | undefined>>, stdin: string): RunningPlugin {
  const startedAt = performance.now();
  const child = spawn(SHIM, { env, stdio: "pipe" });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk;
  });
  // a plugin that ends without reading all of stdin is its own business
  child.stdin.on("error", () => undefined);
  child.stdin.end(stdin);
  const run = new Promise<PluginRun>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode) =>
      resolve({ exitCode, stdout, stderr, durationMs: performance.now() - startedAt }),
    );
  });
  return { run, isWaiting: () => isWaiting(child.pid ?? 0), kill: () => void child.kill("SIGKILL") };
}

/** It opens its socket only once it has all of stdin, and sleeps then only for the answer. */
function isWaiting(pid: number): boolean {
  try {
    const sockets = readdirSync(`/proc/${pid}/fd`).filter(
      (fd) => Number(fd) > 2 && readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:"),
    );
    return sockets.length > 0 && /\) S /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
