import { setTimeout as delay } from "node:timers/promises";
import type { IpAddress } from "../../common/ip.ts";
import { type Reply, TcpFlow, tcpEcho, udpAsk, udpEcho } from "../cloudsim/probe/index.ts";

/** One end of a flow. */
export type FlowEnd = { readonly name: string; readonly netnsPath: string };

let nextPort = 7000;
const EVERY_MS = 20;
/** Long beside the pauses of a busy machine. Nothing but TCP sends anything twice. */
const TIMEOUT_MS = 2_000;

type Ask = () => Promise<Reply>;

/**
 * Traffic between two pods that runs while something happens: a datagram and a question on one open TCP connection, again and again. Every one must
 * be answered.
 */
export class Flow implements AsyncDisposable {
  asked = 0;
  readonly lost: string[] = [];
  private readonly echoes: readonly Disposable[];
  private readonly ended = new AbortController();
  private readonly running: Promise<unknown>;

  private constructor(asks: readonly (readonly [what: string, ask: Ask])[], echoes: readonly Disposable[]) {
    this.echoes = echoes;
    this.running = Promise.all(asks.map(([what, ask]) => this.repeat(what, ask)));
  }

  static async start(from: FlowEnd, to: FlowEnd, address: IpAddress): Promise<Flow> {
    nextPort += 1;
    const port = nextPort;
    const server = { netnsPath: to.netnsPath, address, port, name: to.name };
    const echoes = [tcpEcho(server), udpEcho(server)];
    const connection = await TcpFlow.open(from.netnsPath, { to: address, port });
    const datagram = { to: address, port, timeoutMs: TIMEOUT_MS };
    return new Flow(
      [
        [`datagram ${from.name} to ${to.name}`, () => udpAsk(from.netnsPath, datagram)],
        [`connection ${from.name} to ${to.name}`, () => connection.ask(TIMEOUT_MS)],
      ],
      [...echoes, connection],
    );
  }

  /** Ends it; gives every question that had no answer. Repeatable. */
  async stop(): Promise<readonly string[]> {
    this.ended.abort();
    await this.running;
    for (const end of this.echoes) end[Symbol.dispose]();
    return this.lost;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  private async repeat(what: string, ask: Ask): Promise<void> {
    while (!this.ended.signal.aborted) {
      this.asked += 1;
      const reply = await ask();
      if (!reply.ok) this.lost.push(`${what}: ${reply.reason}`);
      await delay(EVERY_MS);
    }
  }
}
