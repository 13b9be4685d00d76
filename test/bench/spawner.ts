import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** One execution of a plugin, as a runtime makes it. */
export type Execution = {
  readonly plugin: string;
  readonly stdin: string;
  readonly environment: Readonly<Record<string, string>>;
  /** A namespace that is taken away behind it, and a link of the host whose end is waited for: both are part of the time. */
  readonly removeNetns?: string;
  readonly untilGone?: string;
};

export type Timed = { readonly exitCode: number; readonly ms: number; readonly stdout: string };

/** The C program that executes plugins and times them (spawn.c), in one network namespace. Not for concurrent callers. */
export class Spawner implements Disposable {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  /** @param netnsPath where the plugins run: the node's namespace */
  constructor(netnsPath: string) {
    this.child = spawn("nsenter", [`--net=${netnsPath}`, "dist/bench/spawn"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    if (this.child.stdout === null) throw new Error("no pipe to the spawner");
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** A namespace for a pod, kept at that path, whose folder must be there. */
  async makeNetns(netnsPath: string): Promise<void> {
    await this.command("make", netnsPath);
  }

  async removeNetns(netnsPath: string): Promise<void> {
    await this.command("remove", netnsPath);
  }

  /** All of them at once. Results in their order; throws when one fails, with what it printed. */
  async run(executions: readonly Execution[]): Promise<Timed[]> {
    const queued = executions.map(({ plugin, stdin, removeNetns = "-", untilGone = "-", environment }) => {
      const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
      return `${["run", plugin, stdin, removeNetns, untilGone, ...variables].join("\t")}\n`;
    });
    this.child.stdin?.write(`${queued.join("")}go\n`);
    const results: Timed[] = [];
    for (const _ of executions) results.push(parse(await this.line()));
    const failed = results.find(({ exitCode }) => exitCode !== 0);
    if (failed === undefined) return results;
    throw new Error(`${executions[results.indexOf(failed)]?.plugin} failed: ${failed.stdout}`);
  }

  [Symbol.dispose](): void {
    this.child.kill();
  }

  private async command(verb: string, path: string): Promise<void> {
    this.child.stdin?.write(`${verb}\t${path}\n`);
    const answer = await this.line();
    if (answer !== "ok") throw new Error(`${verb} ${path}: ${answer}`);
  }

  private async line(): Promise<string> {
    const { value, done } = await this.lines.next();
    if (done === true) throw new Error("the spawner has ended");
    return value;
  }
}

function parse(line: string): Timed {
  const [exitCode, nanoseconds, stdout = ""] = line.split("\t");
  return { exitCode: Number(exitCode), ms: Number(nanoseconds) / 1e6, stdout };
}
