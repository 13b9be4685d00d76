import { IpAddress } from "../../common/ip.ts";
import { ProbeSocket } from "../cloudsim/probe/socket.ts";

const SOCK_STREAM = 1;
const DEADLINE_MS = 5_000;
const LOOPBACK = IpAddress.parse("127.0.0.1");

/** What `/pool` of a daemon says. */
export type PoolPage = {
  readonly uplinks: readonly {
    readonly slot: number;
    readonly link: string;
    readonly interfaceId: string;
    readonly own: readonly string[];
    readonly units: readonly string[];
    readonly setAside: readonly string[];
    readonly releasing: readonly string[];
    readonly families: readonly {
      readonly family: 4 | 6;
      readonly free: number;
      readonly leased: number;
      readonly cooling: number;
    }[];
  }[];
  readonly leases: readonly {
    readonly containerId: string;
    readonly ifname: string;
    readonly name?: string;
    readonly addresses: readonly string[];
    readonly slot?: number;
  }[];
  readonly cooling: readonly string[];
  readonly waiting: number;
  readonly limit?: string;
  readonly problems: readonly {
    readonly code: string;
    readonly severity: string;
    readonly sentence: string;
  }[];
};

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
