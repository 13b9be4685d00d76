/**
 * The daemon's unix socket: checks who connects, reads one request frame within its limits, runs the verb, answers, closes. One
 * connection is one execution of the plugin.
 */
import { createServer, type Server, type Socket } from "node:net";
import { clientGone } from "../cni/add.ts";
import { failure, type Outcome, runCommand, type Verbs } from "../cni/command.ts";
import { type AnswerFrame, encodeAnswer, type RequestFrame, requestReader } from "../cni/frame.ts";
import type { Clock } from "../common/clock.ts";
import { CodedError } from "../common/errors.ts";
import type { PeerCredentials } from "../common/kernel/peer-credentials.ts";
import type { Logger } from "../common/log.ts";
import { claimSocket, type SocketClaim } from "./socket-claim.ts";

/** One finished request, for metrics. */
export type Served = { readonly command: string; readonly exitCode: number; readonly durationMs: number };

export type CniServerOptions = {
  /** Absolute, at most 98 bytes; its folder is made and is the daemon's own. */
  readonly path: string;
  readonly verbs: Verbs;
  readonly peers: PeerCredentials;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onServed?: (served: Served) => void;
  /** How long a client may take for its frame; default 5000. */
  readonly readDeadlineMs?: number;
};

const READ_DEADLINE_MS = 5000;

/** How long verbs that stop() has aborted get to undo what they began. */
const UNDO_DEADLINE_MS = 2000;

export class CniServer {
  private readonly options: CniServerOptions;
  private readonly server: Server;
  private claim: SocketClaim | undefined;
  private readonly running = new Map<Promise<void>, AbortController>();

  private constructor(options: CniServerOptions) {
    this.options = options;
    // half open, so that a client that has shut down its sending side is still told what was wrong
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.accept(socket));
    this.server.on("error", (err) => options.log.error({ err }, "the CNI socket failed"));
  }

  /** Serves from now on. Throws what claimSocket() throws, `another-daemon` among it. */
  static async start(options: CniServerOptions): Promise<CniServer> {
    const server = new CniServer(options);
    server.claim = await claimSocket(server.server, options.path);
    return server;
  }

  /** Requests that are being read or served. */
  get runningCount(): number {
    return this.running.size;
  }

  /**
   * Takes the socket away, lets running requests end, and aborts those that have not ended after `deadlineMs`. Clients that come later
   * wait for the next daemon. Resolves with the number of requests that did not end at all.
   */
  async stop(deadlineMs: number): Promise<number> {
    this.claim?.release();
    this.server.close();
    await this.waitForRunning(deadlineMs);
    if (this.running.size > 0) {
      this.abortRunning();
      await this.waitForRunning(UNDO_DEADLINE_MS);
    }
    return this.running.size;
  }

  private async waitForRunning(deadlineMs: number): Promise<void> {
    const done = new AbortController();
    const deadline = this.options.clock.sleep(deadlineMs, done.signal).catch(() => undefined);
    await Promise.race([Promise.all(this.running.keys()), deadline]);
    done.abort();
  }

  private abortRunning(): void {
    for (const controller of this.running.values()) {
      controller.abort(new CodedError("stopping", "the causeway daemon is stopping", { retry: "soon" }));
    }
  }

  private accept(socket: Socket): void {
    const controller = new AbortController();
    socket.on("error", () => undefined); // "close" follows and says all there is to say
    const work = this.serve(socket, controller).finally(() => this.running.delete(work));
    this.running.set(work, controller);
  }

  /** Never rejects. */
  private async serve(socket: Socket, controller: AbortController): Promise<void> {
    const { log } = this.options;
    let answer: AnswerFrame;
    try {
      this.checkPeer(socket);
      const frame = await this.readFrame(socket, controller.signal);
      answer = await this.run(frame, socket, controller);
    } catch (err) {
      log.warn({ err }, "a client of the CNI socket was refused");
      answer = failure(err);
    }
    await finish(socket, answer);
  }

  private checkPeer(socket: Socket): void {
    const { pid, uid } = this.options.peers.of(socket);
    if (uid === 0 || uid === process.getuid?.()) return;
    throw new CodedError("peer-not-allowed", `user ${uid} (process ${pid}) may not use the CNI socket`);
  }

  /** Throws FrameError, CodedError `request-incomplete`, or the signal's reason. */
  private async readFrame(socket: Socket, signal: AbortSignal): Promise<RequestFrame> {
    const deadlineMs = this.options.readDeadlineMs ?? READ_DEADLINE_MS;
    const reader = requestReader();
    const { promise, resolve, reject } = Promise.withResolvers<RequestFrame>();
    const incomplete = (why: string) =>
      reject(new CodedError("request-incomplete", `no whole request: ${why}`, { retry: "soon" }));
    const timer = setTimeout(() => incomplete(`nothing more came within ${deadlineMs} ms`), deadlineMs);
    socket.on("data", (chunk: Buffer) => {
      try {
        const frame = reader.push(chunk);
        if (frame !== undefined) resolve(frame);
      } catch (error) {
        reject(error);
      }
    });
    socket.once("end", () => incomplete("the client ended it"));
    socket.once("close", () => incomplete("the client is gone"));
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    return promise.finally(() => {
      clearTimeout(timer);
      socket.removeAllListeners("data").removeAllListeners("end").removeAllListeners("close");
    });
  }

  private async run(frame: RequestFrame, socket: Socket, controller: AbortController): Promise<AnswerFrame> {
    const startedAt = this.options.clock.now();
    const gone = () => controller.abort(clientGone());
    // A shim keeps its side open until it has the answer: an end is a process that was killed. Data is read only to see it.
    socket.resume().once("end", gone).once("close", gone);
    const isAbandoned = () => this.options.peers.hasHungUp(socket);
    const outcome = await runCommand({ ...frame, isAbandoned }, this.options.verbs, controller.signal);
    socket.removeListener("end", gone).removeListener("close", gone);
    this.report(outcome, this.options.clock.now() - startedAt);
    return outcome.answer;
  }

  /** The request's configuration and arguments stay out of the log: they may carry secrets of other plugins. */
  private report({ command, request, error, answer }: Outcome, durationMs: number): void {
    const fields = {
      command,
      ...(request !== undefined && "attachment" in request && { ...request.attachment, pod: request.pod }),
      durationMs,
    };
    // runtimes ask for STATUS every few seconds, and its reason has been told where it was found
    const failed = command === "STATUS" ? "debug" : "warn";
    if (error === undefined) this.options.log.debug(fields, "CNI request served");
    else this.options.log[failed]({ ...fields, err: error }, "CNI request failed");
    this.options.onServed?.({ command, exitCode: answer.exitCode, durationMs });
  }
}

/** Sends the answer and closes; a client that is gone, or does not read, is left behind. */
function finish(socket: Socket, answer: AnswerFrame): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.setTimeout(READ_DEADLINE_MS, () => socket.destroy());
  socket.once("close", () => resolve());
  if (socket.destroyed) resolve();
  socket.resume(); // a client that still sends must not be stuck in it
  socket.end(encodeAnswer(answer), () => socket.destroySoon());
  return promise;
}
