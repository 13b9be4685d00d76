import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** Gives the reply's body as the client is to see it. */
export type Rewrite = (action: string, body: string) => string;

/** A proxy before an embedded EC2 that changes its replies: what other implementations answer, and answers of an earlier time. */
export class RewritingProxy {
  readonly endpoint: string;
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(target: string, rewrite: Rewrite): Promise<RewritingProxy> {
    const server = createServer(
      (request, response) => void pass(target, rewrite, request, response).catch(() => response.destroy()),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new RewritingProxy(server);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

async function pass(
  target: string,
  rewrite: Rewrite,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = Buffer.concat(await request.toArray()).toString();
  const action = new URLSearchParams(body).get("Action") ?? "";
  const reply = await forward(target, request, body);
  const text = Buffer.concat(await reply.toArray()).toString();
  response.writeHead(reply.statusCode ?? 502, { "content-type": "text/xml" });
  response.end(rewrite(action, text));
}

/** All headers go through as they are: the client signed its own idea of the host. */
function forward(target: string, { headers }: IncomingMessage, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(target, { method: "POST", headers }, resolve);
    call.on("error", reject);
    call.end(body);
  });
}
