import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { IpAddress } from "../../common/ip.ts";
import { ProbeSocket } from "../cloudsim/probe/socket.ts";

const SOCK_STREAM = 1;
const LOOPBACK = IpAddress.parse("127.0.0.1");

/**
 * Lets an HTTP server of this process be reached on loopback inside a network namespace as well; gives its URL there. Ends with the
 * server: `onClose` gets what else must be closed.
 */
export async function serveInNetns(
  server: Server,
  netnsPath: string,
  port: number,
  onClose: (door: Server) => void,
): Promise<string> {
  const socket = ProbeSocket.open(netnsPath, 4, SOCK_STREAM);
  socket.bind({ address: LOOPBACK, port });
  socket.listen();
  const door = createServer((connection) => server.emit("connection", connection));
  onClose(door);
  door.listen({ fd: socket.fd });
  await once(door, "listening");
  return `http://127.0.0.1:${port}`;
}
