import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { lookUp } from "../cloudsim/aws/imds/tree.ts";

const TOKEN = "a-token-of-the-metadata";
const TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds";

/** A metadata service (version 2) with these values, paths below `latest/`: LocalStack has none. */
export class FixedMetadata {
  readonly endpoint: string;
  private readonly server: Server;

  private constructor(endpoint: string, server: Server) {
    this.endpoint = endpoint;
    this.server = server;
  }

  static async start(values: ReadonlyMap<string, string>): Promise<FixedMetadata> {
    const server = createServer((request, response) => {
      const path = (request.url ?? "").replace(/^\/latest\//, "");
      const isToken = path === "api/token" && request.method === "PUT";
      const known = isToken || request.headers["x-aws-ec2-metadata-token"] === TOKEN;
      const body = isToken ? TOKEN : lookUp(values, path);
      response.writeHead(known ? (body === undefined ? 404 : 200) : 401, { [TTL_HEADER]: "21600" });
      response.end(known ? body : "");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new FixedMetadata(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, server);
  }

  async close(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    if (this.server.listening) await once(this.server, "close");
  }
}
