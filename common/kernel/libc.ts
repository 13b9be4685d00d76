/**
 * The one door to libc: sockets, setns and peer credentials, called synchronously through koffi. A call made asynchronously would run on
 * another thread, with another network namespace: there is none here.
 */
import { constants } from "node:os";
import koffi from "koffi";
import { KernelError } from "./errors.ts";

const libc = koffi.load(null);
const calls = {
  socket: libc.func("int socket(int domain, int type, int protocol)"),
  bind: libc.func("int bind(int fd, const void *address, uint32_t length)"),
  getsockname: libc.func("int getsockname(int fd, void *address, void *length)"),
  send: libc.func("int64_t send(int fd, const void *bytes, size_t length, int flags)"),
  recv: libc.func("int64_t recv(int fd, void *bytes, size_t length, int flags)"),
  setsockopt: libc.func("int setsockopt(int fd, int level, int name, const void *value, uint32_t length)"),
  getsockopt: libc.func("int getsockopt(int fd, int level, int name, void *value, void *length)"),
  attachFilter: libc.func("setsockopt", "int", [
    "int",
    "int",
    "int",
    // struct sock_fprog of linux/filter.h
    koffi.pointer(koffi.struct({ length: "uint16_t", filter: "const void *" })),
    "uint32_t",
  ]),
  ioctl: libc.func("int ioctl(int fd, unsigned long request)"),
  close: libc.func("int close(int fd)"),
  setns: libc.func("int setns(int fd, int kind)"),
};

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0x80000;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_PEERCRED = 17;
const SO_ATTACH_FILTER = 26;
const [FILTER_STEP_BYTES, FILTER_POINTER_BYTES] = [8, 16];
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const CLONE_NEWNET = 0x40000000;
/** linux/nsfs.h; since Linux 4.11. */
const NS_GET_NSTYPE = 0xb703;

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** `EEXIST` for 17; the number as text when it has no name here. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `errno-${errno}`;
}

/** The result when it is not negative; else throws KernelError of errno, saying what was being done. */
function checked(result: number, doing: string): number {
  if (result >= 0) return result;
  const code = errnoName(koffi.errno());
  throw new KernelError(code, `${doing}: ${code}`);
}

/** A bound netlink socket of the calling thread's namespace: its descriptor, and its port, which events name as sender. */
export function openNetlink(protocol: number): { readonly fd: number; readonly port: number } {
  const fd = checked(calls.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "open a netlink socket");
  // struct sockaddr_nl: family u16, pad u16, port u32, groups u32, in host order; port 0 lets the kernel choose
  const words = new Uint32Array(3);
  const address = Buffer.from(words.buffer);
  new Uint16Array(words.buffer)[0] = AF_NETLINK;
  const length = Buffer.from(Uint32Array.of(address.length).buffer);
  try {
    checked(calls.bind(fd, address, address.length), "bind a netlink socket");
    checked(calls.getsockname(fd, address, length), "read a netlink socket's port");
  } catch (error) {
    close(fd);
    throw error;
  }
  return { fd, port: words[1] ?? 0 };
}

/** Sets an integer socket option. Throws KernelError. */
export function setSocketOption(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.from(Int32Array.of(value).buffer);
  checked(
    calls.setsockopt(fd, level, name, bytes, bytes.length),
    `set socket option ${level}/${name} to ${value}`,
  );
}

/** Sets both buffers of a socket past the machine's limit; in a user namespace, where that is not allowed, up to the limit. */
export function setBuffers(fd: number, bytes: number): void {
  try {
    setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes);
    setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== "EPERM") throw error;
    setSocketOption(fd, SOL_SOCKET, SO_RCVBUF, bytes);
    setSocketOption(fd, SOL_SOCKET, SO_SNDBUF, bytes);
  }
}

/** Has the kernel drop what that program of classic BPF drops, from now on and in place of an earlier one. Throws KernelError. */
export function attachFilter(fd: number, filter: Buffer): void {
  const program = { length: filter.length / FILTER_STEP_BYTES, filter };
  checked(
    calls.attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, FILTER_POINTER_BYTES),
    "attach a socket filter",
  );
}

/** Sends one datagram. Netlink requests are carried out inside this call. Throws KernelError. */
export function send(fd: number, bytes: Uint8Array): void {
  checked(Number(calls.send(fd, bytes, bytes.length, 0)), "send to the kernel");
}

// synchronous and copied at once, so one buffer serves every socket of the thread; the kernel fills at most 32 KiB of a dump at a time
const received = Buffer.alloc(1 << 17);

/** One waiting datagram, or undefined when none waits. Throws KernelError `ENOBUFS` once after messages were lost. */
export function receive(fd: number): Buffer | undefined {
  const length = Number(calls.recv(fd, received, received.length, MSG_DONTWAIT));
  if (length < 0 && koffi.errno() === constants.errno.EAGAIN) return undefined;
  return Buffer.from(received.subarray(0, checked(length, "receive from the kernel")));
}

/** Closes a descriptor. */
export function close(fd: number): void {
  checked(calls.close(fd), `close descriptor ${fd}`);
}

/** True for a descriptor of a network namespace, and of nothing else. */
export function isNetns(fd: number): boolean {
  return calls.ioctl(fd, NS_GET_NSTYPE) === CLONE_NEWNET;
}

/** Moves the calling thread, and no other, into a network namespace. Throws KernelError. */
export function setNetns(fd: number): void {
  checked(calls.setns(fd, CLONE_NEWNET), "enter a network namespace");
}

/** Who is at the other end of a connected unix socket (SO_PEERCRED), as of when it connected. Throws KernelError. */
export function peerCredentials(fd: number): {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
} {
  const value = new Int32Array(3);
  const length = Buffer.from(Uint32Array.of(value.byteLength).buffer);
  checked(
    calls.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, Buffer.from(value.buffer), length),
    "read peer credentials",
  );
  const [pid = -1, uid = -1, gid = -1] = value;
  return { pid, uid, gid };
}

/** Calls back whenever the descriptor can be read, until closed. Keeps the process alive no longer than its other work does. */
export function pollReadable(fd: number, onReadable: () => void): Poll {
  let closed = false;
  // koffi 3.3.4 passes (status, events), though its types leave the status out
  const onPoll = (status: unknown) => {
    // koffi calls back outside of Node's callback scope: promises settled there would wait for some other event of the loop, and errors
    // thrown there are lost. An immediate runs in the same turn of the loop, within the scope.
    setImmediate(() => {
      if (closed) return;
      // a negative status comes after an overflow, and has stopped the handle: without another start no call would come again
      if (typeof status === "number" && status < 0) handle.start({ readable: true }, onPoll);
      onReadable();
    });
  };
  const handle = koffi.node.poll(fd, { readable: true }, onPoll);
  handle.unref();
  return {
    pause: () => handle.stop(),
    resume: () => {
      if (!closed) handle.start({ readable: true }, onPoll);
    },
    close: () => {
      closed = true;
      handle.close();
    },
  };
}

export type Poll = {
  /** No callback comes until resume(). */
  pause(): void;
  resume(): void;
  close(): void;
};

/** Gives memory that is free in the C library back to the system (malloc_trim(3), glibc); does nothing where it does not exist. */
export function trimMemory(): void {
  mallocTrim?.(0);
}

const mallocTrim = findMallocTrim();

function findMallocTrim(): ((pad: number) => number) | undefined {
  try {
    return libc.func("int malloc_trim(size_t pad)");
  } catch {
    return undefined;
  }
}
