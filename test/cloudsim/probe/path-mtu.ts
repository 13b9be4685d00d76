import type { IpAddress } from "../../../common/ip.ts";
import { EMSGSIZE, SOCK_DGRAM } from "./libc.ts";
import { ProbeSocket, SocketError } from "./socket.ts";

/** linux/in.h, in6.h: level, MTU_DISCOVER, MTU. The value 2 is DO: never fragment. */
const OPTIONS = {
  4: { level: 0, discover: 10, mtu: 14 },
  6: { level: 41, discover: 23, mtu: 24 },
} as const;
const DO = 2;

/**
 * The MTU that a namespace has learned towards a destination after one unfragmentable datagram of `sizeBytes` (whole
 * packet) was sent there: smaller than the link's only if a "packet too big" came back in time.
 */
export async function learnedMtu(
  netnsPath: string,
  probe: {
    readonly to: IpAddress;
    readonly port: number;
    readonly sizeBytes: number;
    readonly timeoutMs?: number;
  },
): Promise<number> {
  const family = probe.to.family;
  const option = OPTIONS[family];
  using socket = ProbeSocket.open(netnsPath, family, SOCK_DGRAM);
  socket.setOption(option.level, option.discover, DO);
  socket.connect({ address: probe.to, port: probe.port });
  try {
    socket.send(Buffer.alloc(probe.sizeBytes - (family === 4 ? 28 : 48)));
    // an answer, or an error, makes it readable
    await socket.wait("readable", probe.timeoutMs ?? 900);
  } catch (error) {
    if (!(error instanceof SocketError && error.errno === EMSGSIZE)) throw error;
  }
  return socket.getOption(option.level, option.mtu);
}
