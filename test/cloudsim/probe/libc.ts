/** The socket calls of libc as probes need them, and addresses in their binary form (bits/socket.h, netinet/in.h). */
import koffi from "koffi";
import { type Family, IpAddress } from "../../../common/ip.ts";

const libc = koffi.load(null);

export const sys = {
  socket: libc.func("int socket(int domain, int type, int protocol)"),
  bind: libc.func("int bind(int fd, const void *address, uint32_t length)"),
  connect: libc.func("int connect(int fd, const void *address, uint32_t length)"),
  listen: libc.func("int listen(int fd, int backlog)"),
  accept4: libc.func("int accept4(int fd, _Out_ void *address, _Inout_ uint32_t *length, int flags)"),
  send: libc.func("long send(int fd, const void *data, size_t length, int flags)"),
  sendto: libc.func(
    "long sendto(int fd, const void *data, size_t length, int flags, const void *address, uint32_t addressLength)",
  ),
  recvfrom: libc.func(
    "long recvfrom(int fd, _Out_ void *data, size_t length, int flags, _Out_ void *address, _Inout_ uint32_t *addressLength)",
  ),
  setsockopt: libc.func("int setsockopt(int fd, int level, int name, const void *value, uint32_t length)"),
  getsockopt: libc.func(
    "int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)",
  ),
  close: libc.func("int close(int fd)"),
} as const;

export const AF = { 4: 2, 6: 10 } as const;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK_CLOEXEC = 0x80800;
export const EINPROGRESS = 115;
export const EAGAIN = 11;
export const EMSGSIZE = 90;

/** An address and port as a socket has them; `scopeId` is the link's index, for IPv6 link-local ones. */
export type Endpoint = { readonly address: IpAddress; readonly port: number; readonly scopeId?: number };

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28): family in host order, port in network order. */
export function encodeEndpoint(endpoint: Endpoint): Buffer {
  const { address, port } = endpoint;
  const bytes = Buffer.alloc(address.family === 4 ? 16 : 28);
  bytes.writeUInt16LE(AF[address.family], 0);
  bytes.writeUInt16BE(port, 2);
  address.toBytes().copy(bytes, address.family === 4 ? 4 : 8);
  if (address.family === 6) bytes.writeUInt32LE(endpoint.scopeId ?? 0, 24);
  return bytes;
}

/** The inverse of encodeEndpoint(). */
export function decodeEndpoint(bytes: Buffer): Endpoint {
  const family: Family = bytes.readUInt16LE(0) === AF[4] ? 4 : 6;
  const raw = family === 4 ? bytes.subarray(4, 8) : bytes.subarray(8, 24);
  return { address: IpAddress.fromBytes(raw), port: bytes.readUInt16BE(2) };
}
