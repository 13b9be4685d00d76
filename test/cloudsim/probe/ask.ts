import { IpAddress } from "../../../common/ip.ts";
import { decodeAnswer } from "./echo.ts";
import { SOCK_DGRAM, SOCK_STREAM } from "./libc.ts";
import { ProbeSocket, SocketError } from "./socket.ts";

/** A question to an echo server. */
export type Question = {
  readonly to: IpAddress;
  readonly port: number;
  /** The source address; default: the kernel's choice. */
  readonly from?: IpAddress | undefined;
  /** Default: any free port. */
  readonly fromPort?: number | undefined;
  /** SO_BINDTODEVICE. */
  readonly device?: string | undefined;
  /** SO_MARK, as a proxy on the node sets it. */
  readonly mark?: number | undefined;
  /** IP_TRANSPARENT: the source may be an address that is not the node's. */
  readonly transparent?: boolean | undefined;
  /** Bytes that are sent. Default 1. */
  readonly sizeBytes?: number | undefined;
  /** Default 900: below the first retransmission of a SYN, so that a lost packet is a failure. */
  readonly timeoutMs?: number | undefined;
};

/** What came of a question. `seenSource` is the address that the server saw. */
export type Reply =
  | {
      readonly ok: true;
      readonly server: string;
      readonly seenSource: IpAddress;
      readonly seenPort: number;
    }
  | { readonly ok: false; readonly reason: string };

const TIMEOUT_MS = 900;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const TRANSPARENT = { 4: { level: 0, name: 19 }, 6: { level: 41, name: 75 } } as const;

/** One TCP connection, one question, one answer. Never rejects for what the network does. */
export async function tcpAsk(netnsPath: string, question: Question): Promise<Reply> {
  try {
    using flow = await TcpFlow.open(netnsPath, question);
    return await flow.ask();
  } catch (error) {
    return refusal(error);
  }
}

/** One datagram and its answer; nothing is sent twice. Never rejects for what the network does. */
export async function udpAsk(netnsPath: string, question: Question): Promise<Reply> {
  try {
    using socket = openFor(netnsPath, question, SOCK_DGRAM);
    socket.connect({ address: question.to, port: question.port });
    socket.send(Buffer.alloc(question.sizeBytes ?? 1));
    return await answerOf(socket, question.timeoutMs ?? TIMEOUT_MS);
  } catch (error) {
    return refusal(error);
  }
}

/** An open TCP connection, to see whether it lives through a change. */
export class TcpFlow implements Disposable {
  readonly #socket: ProbeSocket;
  readonly #question: Question;

  private constructor(socket: ProbeSocket, question: Question) {
    this.#socket = socket;
    this.#question = question;
  }

  /** Throws SocketError when it cannot be had before the deadline. */
  static async open(netnsPath: string, question: Question): Promise<TcpFlow> {
    const socket = openFor(netnsPath, question, SOCK_STREAM);
    try {
      socket.connect({ address: question.to, port: question.port });
      if (!(await socket.wait("writable", question.timeoutMs ?? TIMEOUT_MS)))
        throw new SocketError("connect", ETIMEDOUT);
      const errno = socket.takeError();
      if (errno !== 0) throw new SocketError("connect", errno);
      return new TcpFlow(socket, question);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** Asks once more. Never rejects for what the network does. */
  async ask(timeoutMs = this.#question.timeoutMs ?? TIMEOUT_MS): Promise<Reply> {
    try {
      this.#socket.send(Buffer.alloc(this.#question.sizeBytes ?? 1));
      return await answerOf(this.#socket, timeoutMs);
    } catch (error) {
      return refusal(error);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

function openFor(netnsPath: string, question: Question, type: number): ProbeSocket {
  const family = question.to.family;
  const socket = ProbeSocket.open(netnsPath, family, type);
  try {
    if (question.device !== undefined) socket.bindToDevice(question.device);
    if (question.mark !== undefined) socket.setOption(SOL_SOCKET, SO_MARK, question.mark);
    if (question.transparent === true)
      socket.setOption(TRANSPARENT[family].level, TRANSPARENT[family].name, 1);
    if (question.from !== undefined || question.fromPort !== undefined) {
      const any = IpAddress.parse(family === 4 ? "0.0.0.0" : "::");
      socket.bind({ address: question.from ?? any, port: question.fromPort ?? 0 });
    }
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

async function answerOf(socket: ProbeSocket, timeoutMs: number): Promise<Reply> {
  if (!(await socket.wait("readable", timeoutMs))) return { ok: false, reason: "no answer" };
  const chunk = socket.receive();
  if (chunk === undefined || chunk.data.length === 0) return { ok: false, reason: "closed" };
  return { ok: true, ...decodeAnswer(chunk.data) };
}

const ETIMEDOUT = 110;
/** Numbers of asm-generic/errno.h that probes meet. */
const REASONS: ReadonlyMap<number, string> = new Map([
  [1, "not permitted"],
  [90, "message too long"],
  [99, "address not available"],
  [101, "network unreachable"],
  [104, "connection reset"],
  [ETIMEDOUT, "no answer"],
  [111, "connection refused"],
  [113, "host unreachable"],
]);

function refusal(error: unknown): Reply {
  if (!(error instanceof SocketError)) throw error;
  return { ok: false, reason: REASONS.get(error.errno) ?? error.message };
}
