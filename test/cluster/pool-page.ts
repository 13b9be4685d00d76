import { IpAddress } from "../../common/ip.ts";
import type { PoolView } from "../../ipamd/pool-view.ts";
import { ProbeSocket } from "../cloudsim/probe/socket.ts";

const SOCK_STREAM = 1;
const DEADLINE_MS = 5_000;
const LOOPBACK = IpAddress.parse("127.0.0.1");

/** What `/pool` of a daemon says. */
export type PoolPage = PoolView;

/** Reads it inside the daemon's network namespace. Throws when nobody answers there. */
export async function readPoolPage(netnsPath: string, port = 9197): Promise<PoolPage> {
  const { body } = await readPage(netnsPath, "/pool", port);
  return JSON.parse(body) as PoolPage;
}

/** What a daemon answers to a GET of that path, asked inside its network namespace. Throws when nobody answers there. */
export async function readPage(
  netnsPath: string,
  page: "/healthz" | "/livez" | "/metrics" | "/pool",
  port = 9197,
): Promise<{ readonly status: number; readonly body: string }> {
  using socket = ProbeSocket.open(netnsPath, 4, SOCK_STREAM);
  socket.connect({ address: LOOPBACK, port });
  if (!(await socket.wait("writable", DEADLINE_MS)) || socket.takeError() !== 0)
    throw new Error(`nobody answers at 127.0.0.1:${port} of ${netnsPath}`);
  socket.send(Buffer.from(`GET ${page} HTTP/1.0\r\n\r\n`));
  const answer = await readToEnd(socket);
  const [head = "", ...body] = answer.split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), body: body.join("\r\n\r\n") };
}

async function readToEnd(socket: ProbeSocket): Promise<string> {
  const chunks: Buffer[] = [];
  while (await socket.wait("readable", DEADLINE_MS)) {
    const chunk = socket.receive();
    if (chunk !== undefined && chunk.data.length === 0) return Buffer.concat(chunks).toString();
    if (chunk !== undefined) chunks.push(chunk.data);
  }
  throw new Error(`the answer did not end within ${DEADLINE_MS} ms`);
}
