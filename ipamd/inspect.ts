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

type Page = { readonly status: number; readonly type: string; readonly body: string };

function answer(request: IncomingMessage, response: ServerResponse, sources: InspectSources): void {
  const { status, type, body } = page(request.method, request.url?.split("?")[0], sources);
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function page(method: string | undefined, path: string | undefined, sources: InspectSources): Page {
  if (method !== "GET" && method !== "HEAD")
    return { status: 405, type: "text/plain", body: "only GET is served\n" };
  switch (path) {
    case "/healthz":
      return health(sources.problems());
    case "/metrics":
      return { status: 200, type: "text/plain; version=0.0.4", body: sources.metrics() };
    case "/pool":
      return {
        status: 200,
        type: "application/json",
        body: `${JSON.stringify(sources.pool(), undefined, 2)}\n`,
      };
    default:
      return { status: 404, type: "text/plain", body: "served here: /healthz, /metrics, /pool\n" };
  }
}

function health(problems: readonly string[]): Page {
  if (problems.length === 0) return { status: 200, type: "text/plain", body: "ok\n" };
  return { status: 503, type: "text/plain", body: `${problems.join("\n")}\n` };
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
