import type { IpAddress } from "../../../common/ip.ts";
import { SOCK_RAW } from "./libc.ts";
import { ProbeSocket, SocketError } from "./socket.ts";

const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const ECHO = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;

let nextId = process.pid & 0xffff;

/** One ICMP echo. `sizeBytes` counts the payload, default 8. */
export type Ping = {
  readonly to: IpAddress;
  readonly from?: IpAddress | undefined;
  readonly sizeBytes?: number | undefined;
  readonly timeoutMs?: number | undefined;
};

/** True when the echo was answered in time. Nothing is sent twice. */
export async function ping(netnsPath: string, spec: Ping): Promise<boolean> {
  const family = spec.to.family;
  using socket = ProbeSocket.open(netnsPath, family, SOCK_RAW, family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  nextId = (nextId + 1) & 0xffff;
  const id = nextId;
  try {
    if (spec.from !== undefined) socket.bind({ address: spec.from, port: 0 });
    socket.connect({ address: spec.to, port: 0 });
    socket.send(echoRequest(family, id, spec.sizeBytes ?? 8));
    return await answered(socket, id, Date.now() + (spec.timeoutMs ?? 900));
  } catch (error) {
    if (error instanceof SocketError) return false;
    throw error;
  }
}

/** A raw socket hears every ICMP message of its peer: look for ours among them. */
async function answered(socket: ProbeSocket, id: number, deadline: number): Promise<boolean> {
  const offset = socket.family === 4 ? 20 : 0;
  while (await socket.wait("readable", Math.max(1, deadline - Date.now()))) {
    const packet = socket.receive()?.data;
    if (packet === undefined) continue;
    if (packet[offset] === ECHO[socket.family].reply && packet.readUInt16BE(offset + 4) === id) return true;
  }
  return false;
}

function echoRequest(family: 4 | 6, id: number, sizeBytes: number): Buffer {
  const packet = Buffer.alloc(8 + sizeBytes);
  packet[0] = ECHO[family].request;
  packet.writeUInt16BE(id, 4);
  packet.writeUInt16BE(1, 6);
  // the kernel sums ICMPv6 itself, it needs the pseudo header
  if (family === 4) packet.writeUInt16BE(internetChecksum(packet), 2);
  return packet;
}

/** RFC 1071; the field itself must be zero while it is computed. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) {
    sum += ((bytes[index] ?? 0) << 8) + (bytes[index + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
