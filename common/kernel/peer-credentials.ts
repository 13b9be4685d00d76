import type { Socket } from "node:net";
import koffi from "koffi";
import { KernelError } from "./errors.ts";

/** Who was at the other end of a unix socket when it was connected. */
export type Peer = { readonly pid: number; readonly uid: number; readonly gid: number };

export interface PeerCredentials {
  /** Asks the kernel. Call it in the `connection` event: a socket that has been closed has no descriptor. Throws KernelError. */
  of(socket: Socket): Peer;
  /** True when the other end has closed or shut down its side, also when Node has not read that far yet. */
  hasHungUp(socket: Socket): boolean;
}

/* asm-generic/socket.h; struct ucred of linux/socket.h is pid, uid, gid, 4 bytes each in the machine's order. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const UCRED_BYTES = 12;
const [MSG_PEEK, MSG_DONTWAIT] = [0x02, 0x40];

/** SO_PEERCRED by libc's getsockopt. */
export function kernelPeerCredentials(): PeerCredentials {
  const getsockopt = koffi
    .load("libc.so.6")
    .func("int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)");
  const recv = koffi.load("libc.so.6").func("int64_t recv(int fd, void *bytes, size_t length, int flags)");
  const byte = Buffer.alloc(1);
  return {
    hasHungUp(socket) {
      const fd = findDescriptor(socket);
      return fd === undefined || Number(recv(fd, byte, byte.length, MSG_PEEK | MSG_DONTWAIT)) === 0;
    },
    of(socket) {
      const credentials = new Uint32Array(UCRED_BYTES / 4);
      const fd = descriptorOf(socket);
      if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, [UCRED_BYTES]) !== 0) {
        throw new KernelError(
          "peer-unknown",
          `SO_PEERCRED of descriptor ${fd} failed, errno ${koffi.errno()}`,
        );
      }
      const [pid = 0, uid = 0, gid = 0] = credentials;
      return { pid, uid, gid };
    },
  };
}

function descriptorOf(socket: Socket): number {
  const fd = findDescriptor(socket);
  if (fd !== undefined) return fd;
  throw new KernelError("peer-unknown", "the socket was closed before its peer could be asked for");
}

/** Node has no public way to a socket's descriptor; `_handle.fd` has been there since Node 0.10 and is null once closed. */
function findDescriptor(socket: Socket): number | undefined {
  const fd = (socket as { _handle?: { fd?: unknown } | null })._handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}
