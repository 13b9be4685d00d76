import { request } from "node:http";
import { Socket } from "node:net";
import { IpAddress } from "../../common/ip.ts";
import { ProbeSocket } from "../cloudsim/probe/socket.ts";

const SOCK_STREAM = 1;

/** Gets a page of a server on loopback inside a network namespace. Throws when it is not there. */
export async function fetchIn(
  netnsPath: string,
  port: number,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> {
  const socket = ProbeSocket.open(netnsPath, 4, SOCK_STREAM);
  socket.connect({ address: IpAddress.parse("127.0.0.1"), port });
  await socket.wait("writable", 1_000);
  if (socket.takeError() !== 0) throw new Error(`nothing listens on port ${port} in ${netnsPath}`);
  const connection = new Socket({ fd: socket.fd });
  return new Promise((resolve, reject) => {
    const asked = request({ path, method: "GET", createConnection: () => connection }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.once("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.once("error", reject);
    asked.end();
  });
}
