import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
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
  exec(
    command: string,
    sandbox: Sandbox,
    changes: { readonly env?: Readonly<Record<string, string | undefined>>; readonly stdin?: string } = {},
  ): Promise<PluginRun> {
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
    return execute(env, changes.stdin ?? JSON.stringify(CONFIG));
  }
}

function execute(env: Readonly<Record<string, string | undefined>>, stdin: string): Promise<PluginRun> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const child = spawn(SHIM, { env, stdio: "pipe" });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk;
    });
    child.once("error", reject);
    // a plugin that ends without reading all of stdin is its own business
    child.stdin.on("error", () => undefined);
    child.stdin.end(stdin);
    child.once("close", (exitCode) =>
      resolve({ exitCode, stdout, stderr, durationMs: performance.now() - startedAt }),
    );
  });
}
