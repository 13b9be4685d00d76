import { IpAddress } from "../../../common/ip.ts";
import { SOCK_DGRAM, SOCK_STREAM } from "./libc.ts";
import { ProbeSocket, SocketError } from "./socket.ts";

/** What an echo server answers: who it is, and the source it saw. */
export type EchoAnswer = {
  readonly server: string;
  readonly seenSource: IpAddress;
  readonly seenPort: number;
};

/** The text on the wire of an answer: `name address port`. */
export function encodeAnswer(server: string, address: IpAddress, port: number): Buffer {
  return Buffer.from(`${server} ${address} ${port}\n`);
}

/** Throws RangeError for anything that no echo server of ours sent. */
export function decodeAnswer(data: Buffer): EchoAnswer {
  const [server, address, port] = data.toString().split("\n")[0]?.split(" ") ?? [];
  if (server === undefined || address === undefined || port === undefined) {
    throw new RangeError(`not an echo answer: ${JSON.stringify(data.toString())}`);
  }
  return { server, seenSource: IpAddress.parse(address), seenPort: Number(port) };
}

/** Where a server listens and the name that it answers with. */
export type EchoSpec = {
  readonly netnsPath: string;
  readonly address: IpAddress;
  readonly port: number;
  readonly name: string;
};

/**
 * A TCP server that answers every chunk it reads with its name and the client's address. It serves until disposed;
 * connections that are open then end.
 */
export function tcpEcho(spec: EchoSpec): Disposable {
  const listener = ProbeSocket.open(spec.netnsPath, spec.address.family, SOCK_STREAM);
  const open = new Set<ProbeSocket>();
  listener.bind(spec);
  listener.listen();
  listener.onReadable(() => {
    for (let next = listener.accept(); next !== undefined; next = listener.accept()) {
      const { socket, from } = next;
      open.add(socket);
      socket.onReadable(() => {
        if (!answerStream(socket, encodeAnswer(spec.name, from.address, from.port))) {
          open.delete(socket);
          socket.close();
        }
      });
    }
  });
  return {
    [Symbol.dispose]: () => {
      listener.close();
      for (const socket of open) socket.close();
    },
  };
}

/** False when the connection has ended. */
function answerStream(socket: ProbeSocket, answer: Buffer): boolean {
  try {
    const chunk = socket.receive();
    if (chunk === undefined) return true;
    if (chunk.data.length === 0) return false;
    socket.send(answer);
    return true;
  } catch (error) {
    if (error instanceof SocketError) return false;
    throw error;
  }
}

/** As tcpEcho(), for datagrams. */
export function udpEcho(spec: EchoSpec): Disposable {
  const socket = ProbeSocket.open(spec.netnsPath, spec.address.family, SOCK_DGRAM);
  socket.bind(spec);
  socket.onReadable(() => {
    try {
      for (let next = socket.receive(); next !== undefined; next = socket.receive()) {
        socket.send(encodeAnswer(spec.name, next.from.address, next.from.port), next.from);
      }
    } catch (error) {
      // an ICMP error of an earlier answer; the next datagram is another matter
      if (!(error instanceof SocketError)) throw error;
    }
  });
  return socket;
}
