/**
 * Requests to the kernel over netlink, answered before the call returns. The kernel handles a request inside send(): afterwards every
 * answer waits in the socket (of a dump, each receive makes the next part). So no event loop, no timeout, no promise is needed.
 */
import { KernelError } from "./errors.ts";
import { close, errnoName, openNetlink, receive, send, setBuffers, setSocketOption } from "./libc.ts";
import { Attributes } from "./netlink-codec.ts";
import {
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HEADER_BYTES,
  parseMessages,
  readHostS32,
} from "./netlink-message.ts";
import { borrowWriter, type MessageWriter, returnWriter } from "./netlink-writer.ts";

export type NetlinkRequest = {
  readonly type: number;
  /** Flags beside REQUEST and ACK, which every request carries. */
  readonly flags?: number;
  /** Writes what follows the message's header. */
  readonly write: (out: MessageWriter) => void;
  /** For the error's message: `add route 10.0.0.1/32`. */
  readonly doing: () => string;
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
  readonly doing: () => string;
  messages: NetlinkMessage[];
  done: boolean;
};

const SOL_NETLINK = 270;
const [CAP_ACK, EXT_ACK, GET_STRICT_CHK] = [10, 11, 12];
/** NLMSGERR_ATTR_MSG and NLMSGERR_ATTR_OFFS of linux/netlink.h. */
const [ERROR_TEXT, ERROR_OFFSET] = [1, 2];
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_DUMP_INTR = 0x10;
const [BATCH_BEGIN, BATCH_END] = [0x10, 0x11];
/** Acknowledgements wait in the receive buffer: 110 fit its default size. */
const REQUESTS_PER_SEND_MAX = 64;
const DUMP_ATTEMPTS_MAX = 20;

/**
 * A netlink socket for requests, of the namespace it was opened in, whichever the thread is in later. One caller at a time, which
 * synchronous calls give by themselves; never subscribed to events. All calls throw KernelError.
 */
export class NetlinkSocket implements Disposable {
  /** What events name as the sender of changes made through this socket. */
  readonly port: number;
  private fd: number;
  private sequence = 0;
  private gathered: Outgoing | undefined;

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
    using gathered = new Outgoing();
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

  private sendAll(outgoing: Outgoing): void {
    for (let from = 0; from < outgoing.count; from += REQUESTS_PER_SEND_MAX) {
      const to = Math.min(from + REQUESTS_PER_SEND_MAX, outgoing.count);
      const last = outgoing.acknowledge(to - 1);
      this.send(outgoing.bytes(from, to));
      this.collect(outgoing.pending, [last]);
    }
    for (const { refusal } of outgoing.pending.values()) if (refusal !== undefined) throw refusal;
  }

  /** One request; gives the messages of the answer. */
  ask(request: NetlinkRequest): readonly NetlinkMessage[] {
    if (this.gathered !== undefined) {
      this.gathered.add(request, this.nextSequence());
      return [];
    }
    const [answer] = this.exchange([request]);
    if (answer?.refusal !== undefined) throw answer.refusal;
    return answer?.messages ?? [];
  }

  /** A whole list; repeated while the kernel says that a change disturbed it (`EINTR` when that does not end). */
  dump(request: NetlinkRequest): readonly NetlinkMessage[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS_MAX; attempt += 1) {
      const [answer] = this.exchange([{ ...request, flags: NLM_F_DUMP }]);
      if (answer?.refusal !== undefined && answer.refusal.code !== "EINTR") throw answer.refusal;
      if (answer !== undefined && answer.refusal === undefined && !answer.interrupted) return answer.messages;
    }
    throw new KernelError("EINTR", `${request.doing()}: disturbed by changes ${DUMP_ATTEMPTS_MAX} times`);
  }

  /** Several requests in one send, at most 64: each is carried out, also after one that was refused. Answers in their order. */
  exchange(requests: readonly NetlinkRequest[]): readonly NetlinkAnswer[] {
    if (requests.length > REQUESTS_PER_SEND_MAX)
      throw new RangeError(`${requests.length} requests in one send`);
    using outgoing = new Outgoing();
    for (const request of requests) outgoing.add(request, this.nextSequence(), NLM_F_ACK);
    this.send(outgoing.bytes());
    const answers = [...outgoing.pending.values()];
    this.collect(outgoing.pending, answers);
    return answers;
  }

  /**
   * Requests between batch markers, as nfnetlink wants them of a subsystem: all or nothing. Gives a request's answer at its index where the kernel
   * refused it, so an empty map is success.
   */
  batch(subsystem: number, requests: readonly NetlinkRequest[]): ReadonlyMap<number, NetlinkAnswer> {
    using outgoing = new Outgoing();
    outgoing.mark(BATCH_BEGIN, subsystem, this.nextSequence());
    for (const request of requests) outgoing.add(request, this.nextSequence());
    outgoing.acknowledge(requests.length - 1);
    outgoing.mark(BATCH_END, subsystem, this.nextSequence());
    this.send(outgoing.bytes());
    const { pending } = outgoing;
    for (let bytes = receive(this.fd); bytes !== undefined; bytes = receive(this.fd)) record(pending, bytes);
    return new Map([...[...pending.values()].entries()].filter(([, answer]) => answer.refusal !== undefined));
  }

  /** Repeatable. Requests afterwards throw `EBADF`. */
  [Symbol.dispose](): void {
    if (this.fd >= 0) close(this.fd);
    this.fd = -1;
  }

  private send(bytes: Uint8Array): void {
    if (this.fd < 0) throw new KernelError("EBADF", "this netlink socket was closed");
    send(this.fd, bytes);
  }

  /** Until those are answered. Of others the kernel tells what it refused, and before. */
  private collect(pending: ReadonlyMap<number, Pending>, waitedFor: readonly Pending[]): void {
    for (const answer of waitedFor) {
      while (!answer.done) {
        const bytes = receive(this.fd);
        if (bytes === undefined)
          throw new KernelError("EAGAIN", `${answer.doing()}: the kernel gave no answer`);
        record(pending, bytes);
      }
    }
  }

  private nextSequence(): number {
    this.sequence = (this.sequence + 1) >>> 0 || 1;
    return this.sequence;
  }
}

/** Requests as bytes, and what has been answered of them, by sequence number. */
class Outgoing implements Disposable {
  readonly pending = new Map<number, Pending>();
  private readonly writer = borrowWriter();
  private readonly starts: number[] = [];
  private readonly answers: Pending[] = [];

  get count(): number {
    return this.answers.length;
  }

  add({ type, flags = 0, write, doing }: NetlinkRequest, sequence: number, ack = 0): void {
    this.writer.begin(type, flags | ack, sequence);
    write(this.writer);
    this.starts.push(this.writer.finish());
    const answer: Pending = { doing, messages: NONE, interrupted: false, done: false };
    this.pending.set(sequence, answer);
    this.answers.push(answer);
  }

  /** struct nfgenmsg: family u8, version u8, resource id u16 in network order, here the subsystem. */
  mark(type: number, subsystem: number, sequence: number): void {
    this.writer.begin(type, 0, sequence);
    this.writer.four(0, 0, subsystem >> 8, subsystem & 0xff);
    this.writer.finish();
  }

  /** Of the others refusals come unasked, and few answers are quick to read. */
  acknowledge(index: number): Pending {
    const [start, answer] = [this.starts[index], this.answers[index]];
    if (start === undefined || answer === undefined) throw new RangeError(`there is no request ${index}`);
    this.writer.addFlags(start, NLM_F_ACK);
    return answer;
  }

  /** Of requests from the one to before the other; of everything. */
  bytes(from?: number, to?: number): Buffer {
    const start = from === undefined ? 0 : this.starts[from];
    const end = to === undefined ? undefined : this.starts[to];
    return this.writer.slice(start ?? 0, end ?? this.writer.length);
  }

  [Symbol.dispose](): void {
    returnWriter(this.writer);
  }
}

// most answers are acknowledgements
const NONE: NetlinkMessage[] = [];

/** Adds what arrived to the requests it answers; answers to anything else are left over from a call that failed. */
function record(pending: ReadonlyMap<number, Pending>, bytes: Buffer): void {
  for (const message of parseMessages(bytes)) {
    const answer = pending.get(message.sequence);
    if (answer === undefined) continue;
    if ((message.flags & NLM_F_DUMP_INTR) !== 0) answer.interrupted = true;
    if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) finish(answer, message);
    else if (answer.messages === NONE) answer.messages = [message];
    else answer.messages.push(message);
  }
}

function finish(answer: Pending, { type, flags, data }: NetlinkMessage): void {
  answer.done = true;
  const errno = data.length >= 4 ? -readHostS32(data) : 0;
  if (errno <= 0) return;
  const headerBytes = type === NLMSG_ERROR ? 4 + NLMSG_HEADER_BYTES : 4;
  const extra = (flags & NLM_F_ACK_TLVS) !== 0 ? new Attributes(data, headerBytes) : undefined;
  const code = errnoName(errno);
  const words = extra?.text(ERROR_TEXT);
  answer.refusal = new KernelError(
    code,
    `${answer.doing()}: ${code}${words === undefined ? "" : `, ${words}`}`,
  );
  const offset = extra?.u32(ERROR_OFFSET);
  if (offset !== undefined) answer.refusedOffset = offset;
}
