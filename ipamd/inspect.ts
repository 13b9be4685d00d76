/**
 * A read-only view over HTTP on loopback: `/healthz` (can pods be served), `/livez` (is the daemon there), `/metrics` (Prometheus text), `/pool`
 * (JSON). Nothing here changes anything.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Problem } from "./problems.ts";

export type InspectSources = {
  /** The worst first. */
  readonly problems: () => readonly Problem[];
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
    // what a restart could cure: that the event loop answers at all
    case "/livez":
      return { status: 200, type: "text/plain", body: "ok\n" };
    case "/metrics":
      return { status: 200, type: "text/plain; version=0.0.4", body: sources.metrics() };
    case "/pool":
      return {
        status: 200,
        type: "application/json",
        body: `${JSON.stringify(sources.pool(), undefined, 2)}\n`,
      };
    default:
      return { status: 404, type: "text/plain", body: "served here: /healthz, /livez, /metrics, /pool\n" };
  }
}

/** 503 while pods cannot be served as they must be. What is merely worth knowing is told, and changes nothing. */
function health(problems: readonly Problem[]): Page {
  const isRefused = problems.some(({ severity }) => severity === "refused");
  const lines = [
    isRefused ? "not ok" : "ok",
    ...problems.map(({ severity, code, sentence }) => `${severity}: ${code}: ${sentence}`),
  ];
  return { status: isRefused ? 503 : 200, type: "text/plain", body: `${lines.join("\n")}\n` };
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
