import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const PINS = new URL("requirements.txt", import.meta.url).pathname;
const STARTER = new URL("start.py", import.meta.url).pathname;

/** On two cores that others use too; alone it takes 7 s. */
const START_MS = 90_000;
const STOP_MS = 15_000;

/**
 * One LocalStack process with EC2 alone, on a port of its own. It listens on every address whatever it is told, so it runs only where
 * the network namespace is our own; its files are in that run's private /run, and it dies with the process that started it.
 */
export class LocalStack {
  readonly endpoint: string;
  /** Its files. */
  readonly root: string;
  private readonly child: ChildProcess;

  private constructor(endpoint: string, child: ChildProcess, root: string) {
    this.endpoint = endpoint;
    this.child = child;
    this.root = root;
  }

  /** Resolves once it answers. Throws when it is not installed, or ends, or does not answer in time; then nothing stays. */
  static async start(): Promise<LocalStack> {
    if (process.env.CAUSEWAY_IN_NAMESPACES !== "1") {
      throw new Error("LocalStack runs only in a network namespace of its own: sh test/in-namespaces.sh");
    }
    const root = mkdtempSync("/run/localstack-");
    const port = await freePort();
    const started = new LocalStack(`http://127.0.0.1:${port}`, launch(root, port), root);
    try {
      await started.ready();
    } catch (error) {
      const log = readFileSync(path.join(root, "log"), "utf8").slice(-2_000);
      await started.stop();
      throw new Error(`LocalStack did not start: ${log}`, { cause: error });
    }
    return started;
  }

  /** Ends it by its process id, by force when it does not end by itself, and removes its files. Repeatable. */
  async stop(): Promise<void> {
    const exited = once(this.child, "exit");
    if (this.isRunning) {
      this.child.kill("SIGTERM");
      await Promise.race([exited, delay(STOP_MS, undefined, { ref: false })]);
    }
    if (this.isRunning) {
      this.child.kill("SIGKILL");
      await exited;
    }
    rmSync(this.root, { recursive: true, force: true });
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  private get isRunning(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  private async ready(): Promise<void> {
    const deadline = Date.now() + START_MS;
    while (Date.now() < deadline) {
      if (!this.isRunning) throw new Error(`it ended with ${this.child.exitCode ?? this.child.signalCode}`);
      const reply = await fetch(`${this.endpoint}/_localstack/health`, {
        signal: AbortSignal.timeout(2_000),
      }).catch(() => undefined);
      if (reply?.ok === true) return;
      await delay(100);
    }
    throw new Error(`no answer after ${START_MS} ms`);
  }
}

/** Where deploy/dev/localstack.sh puts it. */
function python(): string {
  const cache = process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache");
  const pins = createHash("sha256").update(readFileSync(PINS)).digest("hex").slice(0, 12);
  const found = path.join(cache, "causeway", `localstack-4.14.0-${pins}`, "bin/python");
  if (!existsSync(found)) throw new Error(`${found} is missing: sh deploy/dev/localstack.sh`);
  return found;
}

function launch(root: string, port: number): ChildProcess {
  const log = openSync(path.join(root, "log"), "a");
  // -P: a file of the working directory is never taken for a module
  return spawn("setpriv", ["--pdeathsig", "KILL", python(), "-P", STARTER], {
    cwd: root,
    stdio: ["ignore", log, log],
    env: {
      PATH: process.env.PATH ?? "",
      HOME: root,
      TMPDIR: root,
      PYTHONDONTWRITEBYTECODE: "1",
      FILESYSTEM_ROOT: root,
      OVERRIDE_IN_DOCKER: "0",
      GATEWAY_LISTEN: `127.0.0.1:${port}`,
      GATEWAY_SERVER: "twisted",
      SERVICES: "ec2,sts",
      EAGER_SERVICE_LOADING: "0",
      DNS_ADDRESS: "0",
      DISABLE_EVENTS: "1",
      SKIP_SSL_CERT_DOWNLOAD: "1",
      MOTO_EC2_LOAD_DEFAULT_AMIS: "false",
    },
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return address.port;
}
