/**
 * A daemon's socket for tests of the wire: the real server on verbs that the test gives, in a folder of its own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { type Logger, pino } from "pino";
import type { Verbs } from "../../cni/command.ts";
import { podResult } from "../../cni/result.ts";
import { systemClock } from "../../common/clock.ts";
import { parseMac } from "../../common/ids.ts";
import { IpAddress } from "../../common/ip.ts";
import { kernelPeerCredentials } from "../../common/kernel/peer-credentials.ts";
import { CniServer, type CniServerOptions } from "../../ipamd/server.ts";

/** A folder that is removed at the end of the scope. */
export function temporaryFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "causeway-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A logger that keeps its lines, as objects. */
export function memoryLog(): { readonly log: Logger; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  return { log: pino({ level: "trace" }, stream), lines };
}

/** ADD gives 10.0.0.5 and 2001:db8::5; the others do nothing. */
export const simpleVerbs: Verbs = {
  ADD: async (request) =>
    podResult(
      {
        attachment: request.attachment,
        pod: request.pod,
        ipv4: IpAddress.parse("10.0.0.5"),
        ipv6: IpAddress.parse("2001:db8::5"),
        mtuBytes: 9001,
      },
      { name: "cw0123456789ab", mac: parseMac("02:00:00:00:00:0a") },
      { name: request.attachment.ifname, mac: parseMac("02:00:00:00:00:0b"), netns: request.netns },
    ),
  DEL: async () => undefined,
  CHECK: async () => undefined,
  GC: async () => undefined,
  STATUS: async () => undefined,
};

/** Serves at `folder/run/ipamd.sock`. */
export async function startServer(
  folder: string,
  verbs: Verbs = simpleVerbs,
  changes: Partial<CniServerOptions> = {},
): Promise<CniServer & AsyncDisposable> {
  const server = await CniServer.start({
    path: socketIn(folder),
    verbs,
    peers: kernelPeerCredentials(),
    clock: systemClock,
    log: pino({ level: "silent" }),
    ...changes,
  });
  return Object.assign(server, { [Symbol.asyncDispose]: async () => void (await server.stop(1000)) });
}

export function socketIn(folder: string): string {
  return join(folder, "run", "ipamd.sock");
}
