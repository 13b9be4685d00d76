/**
 * Requests to the kernel over netlink, answered before the call returns. The kernel handles a request inside send(): afterwards every
 * answer waits in the socket (of a dump, each receive makes the next part). So no event loop, no timeout, no promise is needed.
 */
import { Flags, FlagsGet, MessageType, Protocol } from "netlink/dist/constants.js";
import { formatMessage, type NetlinkMessage, parseMessages } from "netlink/dist/structs.js";
import { KernelError } from "./errors.ts";
import { close, errnoName, openNetlink, receive, send, setBuffers, setSocketOption } from "./libc.ts";
import { decodeAttributes, readHostS32, textOf } from "./netlink-codec.ts";

export type NetlinkRequest = {
  readonly type: number;
  /** Flags beside REQUEST and ACK, which every request carries. */
  readonly flags?: number;
  readonly body: Uint8Array;
  /** For the error's message: `add route 10.0.0.1/32`. */
  readonly doing: string;
};

/** What the kernel said to one request: messages, and why it refused, if it did. */
export type NetlinkAnswer = {
  readonly messages: readonly NetlinkMessage[];
  readonly refusal?: KernelError;
  /** Where in the request, headers included, the attribute is that the kernel objected to. */
  readonly refusedOffset?: number;
  /** The dump was disturbed by a change and may lack entries. */
  readonly interrupted: boolean;
};

type Pending = { -readonly [Key in keyof NetlinkAnswer]: NetlinkAnswer[Key] } & {
  readonly doing: string;
  readonly messages: NetlinkMessage[];
  done: boolean;
};

const SOL_NETLINK = 270;
const [CAP_ACK, EXT_ACK, GET_STRICT_CHK] = [10, 11, 12];
const NLMSG_HEADER_BYTES = 16;
/** NLMSGERR_ATTR_MSG and NLMSGERR_ATTR_OFFS of linux/netlink.h. */
const [ERROR_TEXT, ERROR_OFFSET] = [1, 2];
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_DUMP_INTR = 0x10;
/** Acknowledgements wait in the receive buffer: 110 fit its default size. */
const REQUESTS_PER_SEND_MAX = 64;
const DUMP_ATTEMPTS_MAX = 20;

/** NETLINK_ROUTE and NETLINK_NETFILTER. */
export const NETLINK_ROUTE = Protocol.ROUTE;
export const NETLINK_NETFILTER = Protocol.NETFILTER;

/**
 * A netlink socket for requests, of the namespace it was opened in, whichever the thread is in later. One caller at a time, which
 * synchronous calls give by themselves; never subscribed to events. All calls throw KernelError.
 */
export class NetlinkSocket implements Disposable {
  /** What events name as the sender of changes made through this socket. */
  readonly port: number;
  private fd: number;
  private sequence = 0;
  private gathered: NetlinkRequest[] | undefined;

  private constructor(fd: number, port: number) {
    this.fd = fd;
    this.port = port;
  }

  /** Opens one in the namespace that the calling thread is in. */
  static open(protocol: number): NetlinkSocket {
    const { fd, port } = openNetlink(protocol);
    // refusals in words; answers without a copy of the request; dumps filtered by the kernel, or refused
    for (const option of [EXT_ACK, CAP_ACK, GET_STRICT_CHK]) setSocketOption(fd, SOL_NETLINK, option, 1);
    return new NetlinkSocket(fd, port);
  }

  /** Makes room for larger requests and answers than the default 208 KiB. */
  enlarge(bytes: number): void {
    setBuffers(this.fd, bytes);
  }

  /**
   * What is asked within `work` is sent together at its end, in order, in as few sends as can be: each ask() gives no messages and refuses nothing. All are
   * carried out, also behind one that was refused; then the first refusal is thrown. When `work` throws, nothing was sent. Only for changes.
   */
  together<T>(work: () => T): T {
    if (this.gathered !== undefined) return work();
    const gathered: NetlinkRequest[] = [];
    this.gathered = gathered;
    let result: T;
    try {
      result = work();
    } finally {
      this.gathered = undefined;
    }
    this.sendAll(gathered);
    return result;
  }

  private sendAll(requests: readonly NetlinkRequest[]): void {
    let refusal: KernelError | undefined;
    for (let from = 0; from < requests.length; from += REQUESTS_PER_SEND_MAX) {
      const pending = new Map<number, Pending>();
      this.send(
        frameAll(requests.slice(from, from + REQUESTS_PER_SEND_MAX), pending, () => this.nextSequence()),
      );
      this.collect(pending, [...pending.values()].at(-1));
      for (const answer of pending.values()) refusal ??= answer.refusal;
    }
    if (refusal !== undefined) throw refusal;
  }

  /** One request; gives the messages of the answer. */
  ask(request: NetlinkRequest): readonly NetlinkMessage[] {
    if (this.gathered !== undefined) {
      this.gathered.push(request);
      return [];
    }
    const [answer] = this.exchange([request]);
    if (answer?.refusal !== undefined) throw answer.refusal;
    return answer?.messages ?? [];
  }

  /** A whole list; repeated while the kernel says that a change disturbed it (`EINTR` when that does not end). */
  dump(request: NetlinkRequest): readonly NetlinkMessage[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS_MAX; attempt += 1) {
      const [answer] = this.exchange([{ ...request, flags: FlagsGet.DUMP }]);
      if (answer?.refusal !== undefined && answer.refusal.code !== "EINTR") throw answer.refusal;
      if (answer !== undefined && answer.refusal === undefined && !answer.interrupted) return answer.messages;
    }
    throw new KernelError("EINTR", `${request.doing}: disturbed by changes ${DUMP_ATTEMPTS_MAX} times`);
  }

  /** Several requests in one send, at most 64: each is carried out, also after one that was refused. Answers in their order. */
  exchange(requests: readonly NetlinkRequest[]): readonly NetlinkAnswer[] {
    if (requests.length > REQUESTS_PER_SEND_MAX)
      throw new RangeError(`${requests.length} requests in one send`);
    const pending = new Map<number, Pending>();
    const parts: Uint8Array[] = [];
    for (const { type, flags = 0, body, doing } of requests) {
      const seq = this.nextSequence();
      pending.set(seq, { doing, messages: [], interrupted: false, done: false });
      parts.push(...frame(type, Flags.REQUEST | Flags.ACK | flags, seq, body));
    }
    this.send(parts);
    this.collect(pending);
    return [...pending.values()];
  }

  /**
   * Requests between batch markers, as nfnetlink wants them: all or nothing. Gives a request's answer at its index where the kernel
   * refused it, so an empty map is success.
   */
  batch(
    begin: Uint8Array,
    end: Uint8Array,
    requests: readonly NetlinkRequest[],
  ): ReadonlyMap<number, NetlinkAnswer> {
    const pending = new Map<number, Pending>();
    const parts = [...frame(0x10, Flags.REQUEST, this.nextSequence(), begin)];
    parts.push(...frameAll(requests, pending, () => this.nextSequence()));
    parts.push(...frame(0x11, Flags.REQUEST, this.nextSequence(), end));
    this.send(parts);
    for (let bytes = receive(this.fd); bytes !== undefined; bytes = receive(this.fd)) record(pending, bytes);
    return new Map([...[...pending.values()].entries()].filter(([, answer]) => answer.refusal !== undefined));
  }

  /** Repeatable. Requests afterwards throw `EBADF`. */
  [Symbol.dispose](): void {
    if (this.fd >= 0) close(this.fd);
    this.fd = -1;
  }

  private send(parts: readonly Uint8Array[]): void {
    if (this.fd < 0) throw new KernelError("EBADF", "this netlink socket was closed");
    send(this.fd, Buffer.concat(parts));
  }

  /** Until all are answered; with a last one, only until that is: of the others the kernel tells what it refused, and before. */
  private collect(pending: Map<number, Pending>, last?: Pending): void {
    const waitedFor = last === undefined ? [...pending.values()] : [last];
    while (waitedFor.some((answer) => !answer.done)) {
      const bytes = receive(this.fd);
      if (bytes === undefined) {
        const silent = waitedFor.find((answer) => !answer.done);
        throw new KernelError("EAGAIN", `${silent?.doing}: the kernel gave no answer`);
      }
      record(pending, bytes);
    }
  }

  private nextSequence(): number {
    this.sequence = (this.sequence + 1) >>> 0 || 1;
    return this.sequence;
  }
}

/** Several requests for one send, of which the last is acknowledged: refusals come unasked, and few answers are quick to read. */
function frameAll(
  requests: readonly NetlinkRequest[],
  pending: Map<number, Pending>,
  nextSequence: () => number,
): Uint8Array[] {
  return requests.flatMap(({ type, flags = 0, body, doing }, index) => {
    const seq = nextSequence();
    pending.set(seq, { doing, messages: [], interrupted: false, done: false });
    const ack = index === requests.length - 1 ? Flags.ACK : 0;
    return frame(type, Flags.REQUEST | ack | flags, seq, body);
  });
}

function frame(type: number, flags: number, seq: number, body: Uint8Array): Uint8Array[] {
  const padding = Buffer.alloc(-body.length & 3);
  return [...formatMessage({ type, flags, seq, port: 0, data: body }), padding];
}

/** Adds what arrived to the requests it answers; answers to anything else are left over from a call that failed. */
function record(pending: ReadonlyMap<number, Pending>, bytes: Buffer): void {
  for (const message of parseMessages(bytes)) {
    const answer = pending.get(message.seq);
    if (answer === undefined) continue;
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) answer.interrupted = true;
    if (message.type === MessageType.ERROR || message.type === MessageType.DONE) finish(answer, message);
    else answer.messages.push(message);
  }
}

function finish(answer: Pending, { type, flags, data }: NetlinkMessage): void {
  answer.done = true;
  const errno = data.length >= 4 ? -readHostS32(data) : 0;
  if (errno <= 0) return;
  const headerLength = type === MessageType.ERROR ? 4 + NLMSG_HEADER_BYTES : 4;
  const extra = (flags & NLM_F_ACK_TLVS) !== 0 ? decodeAttributes(data, headerLength) : new Map();
  const code = errnoName(errno);
  const words = textOf(extra, ERROR_TEXT);
  answer.refusal = new KernelError(
    code,
    `${answer.doing}: ${code}${words === undefined ? "" : `, ${words}`}`,
  );
  const offset = extra.get(ERROR_OFFSET);
  if (offset !== undefined) answer.refusedOffset = offset.readUInt32LE();
}
