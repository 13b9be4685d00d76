import koffi from "koffi";
import type { Family } from "../../../common/ip.ts";
import {
  AF,
  decodeEndpoint,
  EAGAIN,
  EINPROGRESS,
  type Endpoint,
  encodeEndpoint,
  SOCK_NONBLOCK_CLOEXEC,
  sys,
} from "./libc.ts";
import { inNetns } from "./netns-window.ts";

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const SO_BINDTODEVICE = 25;
const PACKET_BYTES_MAX = 65_536;

/** A system call that failed; `errno` is the kernel's number. */
export class SocketError extends Error {
  readonly errno: number;

  constructor(call: string, errno: number) {
    super(`${call}: errno ${errno}`);
    this.errno = errno;
  }
}

type PollCallback = (status: number, events: { readable: boolean; writable: boolean }) => void;
type PollHandle = { start(options: object, callback: PollCallback): void; stop(): void; close(): void };

/**
 * A non-blocking socket born in any network namespace and used from this one process. Reading and writing are the
 * kernel's own calls; only waiting is asynchronous. Close it (or `using`), or it keeps its namespace alive.
 */
export class ProbeSocket implements Disposable {
  readonly fd: number;
  readonly family: Family;
  #poll: PollHandle | undefined;
  #closed = false;

  private constructor(fd: number, family: Family) {
    this.fd = fd;
    this.family = family;
  }

  /** Opens a socket of that SOCK_* type in the namespace. Throws SocketError. */
  static open(netnsPath: string, family: Family, type: number, protocol = 0): ProbeSocket {
    const fd = inNetns(netnsPath, () => sys.socket(AF[family], type | SOCK_NONBLOCK_CLOEXEC, protocol));
    if (fd < 0) throw new SocketError("socket", koffi.errno());
    return new ProbeSocket(fd, family);
  }

  /** Also bound with SO_REUSEADDR, so that a listener can come back at once. */
  bind(endpoint: Endpoint): void {
    this.setOption(SOL_SOCKET, SO_REUSEADDR, 1);
    // `::` is every IPv6 address, and leaves the IPv4 ones to a socket of their own
    if (endpoint.address.toString() === "::") this.setOption(IPPROTO_IPV6, IPV6_V6ONLY, 1);
    const address = encodeEndpoint(endpoint);
    if (sys.bind(this.fd, address, address.length) !== 0) throw new SocketError("bind", koffi.errno());
  }

  bindToDevice(linkName: string): void {
    const name = Buffer.from(`${linkName}\0`);
    if (sys.setsockopt(this.fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length) !== 0) {
      throw new SocketError("SO_BINDTODEVICE", koffi.errno());
    }
  }

  setOption(level: number, name: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    if (sys.setsockopt(this.fd, level, name, bytes, 4) !== 0) {
      throw new SocketError(`setsockopt ${level}/${name}`, koffi.errno());
    }
  }

  getOption(level: number, name: number): number {
    const bytes = Buffer.alloc(4);
    if (sys.getsockopt(this.fd, level, name, bytes, [4]) !== 0) {
      throw new SocketError(`getsockopt ${level}/${name}`, koffi.errno());
    }
    return bytes.readInt32LE();
  }

  /** Begins; wait for writable(), then look at takeError(). Throws SocketError when it is refused at once. */
  connect(endpoint: Endpoint): void {
    const address = encodeEndpoint(endpoint);
    if (sys.connect(this.fd, address, address.length) === 0) return;
    const errno = koffi.errno();
    if (errno !== EINPROGRESS) throw new SocketError("connect", errno);
  }

  listen(): void {
    if (sys.listen(this.fd, 512) !== 0) throw new SocketError("listen", koffi.errno());
  }

  /** The next waiting connection, or undefined. */
  accept(): { readonly socket: ProbeSocket; readonly from: Endpoint } | undefined {
    const address = Buffer.alloc(28);
    const fd = sys.accept4(this.fd, address, [28], SOCK_NONBLOCK_CLOEXEC);
    if (fd < 0) return undefined;
    return { socket: new ProbeSocket(fd, this.family), from: decodeEndpoint(address) };
  }

  /** To the connected peer, or to `to`. Throws SocketError. */
  send(data: Uint8Array, to?: Endpoint): void {
    const address = to === undefined ? undefined : encodeEndpoint(to);
    const MSG_NOSIGNAL = 0x4000;
    const sent =
      address === undefined
        ? sys.send(this.fd, data, data.length, MSG_NOSIGNAL)
        : sys.sendto(this.fd, data, data.length, MSG_NOSIGNAL, address, address.length);
    if (Number(sent) < 0) throw new SocketError("send", koffi.errno());
  }

  /** What has arrived; undefined when nothing has. An empty buffer is the end of a stream. Throws SocketError. */
  receive(): { readonly data: Buffer; readonly from: Endpoint } | undefined {
    const address = Buffer.alloc(28);
    const size = Number(sys.recvfrom(this.fd, receiveBuffer, PACKET_BYTES_MAX, 0, address, [28]));
    if (size < 0) {
      const errno = koffi.errno();
      if (errno === EAGAIN) return undefined;
      throw new SocketError("recv", errno);
    }
    return { data: Buffer.from(receiveBuffer.subarray(0, size)), from: decodeEndpoint(address) };
  }

  /** SO_ERROR, which reading clears; 0 is none. */
  takeError(): number {
    return this.getOption(SOL_SOCKET, SO_ERROR);
  }

  /** Calls back on the event loop whenever there is something to read, until close(). */
  onReadable(callback: () => void): void {
    this.#startPoll({ readable: true }, callback);
  }

  /** True once readable or writable (an error counts as both), false at the deadline. One waiter at a time. */
  wait(what: "readable" | "writable", timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (ready: boolean): void => {
        clearTimeout(timer);
        if (!this.#closed) this.#poll?.stop();
        resolve(ready);
      };
      const timer = setTimeout(() => done(false), timeoutMs);
      // promises are not continued after this kind of callback until some other event comes: make one
      this.#startPoll({ [what]: true }, () => setImmediate(done, true));
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    sys.close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #startPoll(options: { readable?: boolean; writable?: boolean }, callback: () => void): void {
    // the shipped type of the callback lacks its first argument, the status
    const onEvent: PollCallback = () => callback();
    if (this.#poll === undefined) {
      this.#poll = (koffi.node.poll as unknown as PollStarter)(this.fd, options, onEvent);
    } else {
      this.#poll.start(options, onEvent);
    }
  }
}

type PollStarter = (fd: number, options: object, callback: PollCallback) => PollHandle;

const receiveBuffer = Buffer.alloc(PACKET_BYTES_MAX);
