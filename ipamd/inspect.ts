/**
 * A read-only view over HTTP on loopback: `/healthz`, `/metrics` (Prometheus text), `/pool` (JSON). Nothing here changes anything.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type InspectSources = {
  /** Problems of the daemon; none means healthy. */
  readonly problems: () => readonly string[];
  readonly metrics: () => string;
  readonly pool: () => unknown;
};

export type Inspect = { readonly host: string; readonly port: number; close(): Promise<void> };

/** Listens; port 0 takes a free one. Throws the system's error (EADDRINUSE). */
export async function startInspect(
  address: { readonly host: string; readonly port: number },
  sources: InspectSources,
): Promise<Inspect> {
  const server = createServer((request, response) => answer(request, response, sources));
  // a client that says nothing must not hold a connection for ever
  server.requestTimeout = 5_000;
  await listening(server, address);
  const { port } = server.address() as AddressInfo;
  return {
    host: address.host,
    port,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, sources: InspectSources): void {
  if (request.method !== "GET" && request.method !== "HEAD")
    return send(response, 405, "text/plain", "only GET is served\n");
  switch (request.url?.split("?")[0]) {
    case "/healthz": {
      const problems = sources.problems();
      const text = problems.length === 0 ? "ok\n" : `${problems.join("\n")}\n`;
      return send(response, problems.length === 0 ? 200 : 503, "text/plain", text);
    }
    case "/metrics":
      return send(response, 200, "text/plain; version=0.0.4", sources.metrics());
    case "/pool":
      return send(response, 200, "application/json", `${JSON.stringify(sources.pool(), undefined, 2)}\n`);
    default:
      return send(response, 404, "text/plain", "served here: /healthz, /metrics, /pool\n");
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function listening(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host, port }, () => {
    server.off("error", reject);
    resolve();
  });
  return promise;
}
