import { Worker } from "node:worker_threads";
import type { IpAddress } from "../ip.ts";
import { KernelError } from "./errors.ts";
import type { SlowKernel } from "./kernel.ts";
import { trimMemory } from "./libc.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "./netlink-message.ts";
import type { OwnPorts } from "./own-ports.ts";
import type { SlowAnswer, SlowJob, SlowReady, SlowRequest, SlowStart } from "./slow-protocol.ts";

type Settle = { readonly resolve: (removed: number) => void; readonly reject: (error: Error) => void };

/** The worker's file stands beside this one, or beside the chunk that this one was bundled into, and ends as it does. */
const workerFile = new URL(
  `./slow-worker${/\.[a-z]+$/.exec(import.meta.url)?.[0] ?? ".js"}`,
  import.meta.url,
);

/** A thread without a job costs 12 MB: it ends after this long, and the next job starts another (about 50 ms, for which nobody waits). */
const IDLE_MS = 5_000;

const WORKER_LIMITS = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32, stackSizeMb: 1 } as const;

/** Blocking kernel work on a thread of its own, which is there while there are jobs. */
export class WorkerKernel implements SlowKernel {
  private readonly own: OwnPorts;
  private readonly start: SlowStart;
  private readonly waiting = new Map<number, Settle>();
  private worker: Promise<Worker> | undefined;
  private idle: NodeJS.Timeout | undefined;
  private lastId = 0;
  private closed = false;

  /** @param netnsPath the namespace it works in, when that is not this process's own */
  constructor(own: OwnPorts, netnsPath?: string) {
    this.own = own;
    this.start = netnsPath === undefined ? {} : { netnsPath };
  }

  async removeLinkGroup(group: number, namePrefix: string): Promise<{ readonly removed: number }> {
    return { removed: await this.run({ kind: "remove-link-group", group, namePrefix }) };
  }

  async forgetConnections(addresses: readonly IpAddress[]): Promise<{ readonly removed: number }> {
    const job = { kind: "forget-connections", addresses: addresses.map(String) } as const;
    return { removed: await this.run(job) };
  }

  /** Ends the thread; jobs that wait, and later ones, are rejected. Repeatable. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.idle);
    const worker = await this.worker?.catch(() => undefined);
    await worker?.terminate();
  }

  private async run(job: SlowJob): Promise<number> {
    if (this.closed) throw new KernelError("EBADF", "the thread for slow kernel work was closed");
    clearTimeout(this.idle);
    this.worker ??= this.startWorker();
    const worker = await this.worker;
    clearTimeout(this.idle);
    this.lastId += 1;
    const request: SlowRequest = { id: this.lastId, job };
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.waiting.set(request.id, { resolve, reject });
    // only a job that somebody waits for keeps the process alive
    worker.ref();
    worker.postMessage(request);
    return promise;
  }

  /** Resolves when the thread's ports are known as ours: no event of its work can be taken for somebody else's. */
  private startWorker(): Promise<Worker> {
    const { promise, resolve, reject } = Promise.withResolvers<Worker>();
    const worker = new Worker(workerFile, { workerData: this.start, resourceLimits: WORKER_LIMITS });
    worker.on("message", (answer: SlowAnswer) => {
      if (answer.kind === "ready") {
        this.ownPortsOf(worker, answer);
        resolve(worker);
      } else {
        this.settle(worker, answer);
      }
    });
    const end = (cause?: unknown) => {
      const error = new KernelError("EIO", "the thread for slow kernel work ended", { cause });
      reject(error);
      // another has taken its place: the jobs that wait are that one's
      if (this.worker !== undefined && this.worker !== promise) return;
      this.worker = undefined;
      for (const { reject: rejectJob } of this.waiting.values()) rejectJob(error);
      this.waiting.clear();
    };
    worker.once("error", end);
    worker.once("exit", () => end());
    return promise;
  }

  private ownPortsOf(worker: Worker, { routePort, netfilterPort }: SlowReady): void {
    const ports = [
      [NETLINK_ROUTE, routePort],
      [NETLINK_NETFILTER, netfilterPort],
    ] as const;
    for (const [protocol, port] of ports) this.own.add(protocol, port);
    // another may get them then
    worker.once("exit", () => {
      for (const [protocol, port] of ports) this.own.remove(protocol, port);
    });
  }

  private rest(worker: Worker): void {
    worker.unref();
    this.idle = setTimeout(() => {
      this.worker = undefined;
      void worker.terminate().then(trimMemory);
    }, IDLE_MS).unref();
  }

  private settle(worker: Worker, answer: Exclude<SlowAnswer, { kind: "ready" }>): void {
    const settle = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (this.waiting.size === 0) this.rest(worker);
    if (answer.kind === "done") settle?.resolve(answer.removed);
    else settle?.reject(new KernelError(answer.code, answer.message));
  }
}
