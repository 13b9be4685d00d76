/**
 * The instance metadata service, version 2 only (docs.aws.amazon.com, "Use the Instance Metadata Service", read 2026-11-25). What it
 * says is a hint: it identifies the instance and gives credentials, and it never adds an address to a pool. Each value is
 * checked by its type, since proxies answer with HTML and values appear one by one.
 */
import { request } from "node:http";
import type { Clock } from "../../common/clock.ts";
import { type InstanceId, parseMac } from "../../common/ids.ts";
import { retry } from "../../common/retry.ts";
import { CloudError } from "../errors.ts";
import type { NodeIdentity } from "../provider.ts";

export const IMDS_ENDPOINT = "http://169.254.169.254";

const TOKEN_TTL_SECONDS = 21_600;
/** A fresh token well before the old one ends. */
const TOKEN_USE_MS = TOKEN_TTL_SECONDS * 900;

export type ImdsOptions = {
  /** Default 169.254.169.254. */
  readonly endpoint?: string;
  readonly clock: Clock;
  /** For one HTTP exchange. Default 2,000: the service is one hop away, or not there. */
  readonly timeoutMs?: number;
  /** Exchanges for one value, a token renewal not counted. Default 3. */
  readonly attemptsMax?: number;
};

type Answer = { readonly status: number; readonly body: string };

export class Imds {
  private readonly endpoint: string;
  private readonly options: ImdsOptions;
  private token: { readonly text: string; readonly until: number } | undefined;
  private renewal: Promise<string> | undefined;

  constructor(options: ImdsOptions) {
    this.options = options;
    this.endpoint = (options.endpoint ?? IMDS_ENDPOINT).replace(/\/$/, "");
  }

  /** Who this instance is. Throws CloudError: `unavailable` (no service, not yet all values), `unauthorized` (v2 refused). */
  async identity(signal: AbortSignal): Promise<NodeIdentity> {
    const [instanceId, instanceType, region, zone, primaryMac] = await Promise.all([
      this.get("meta-data/instance-id", matching<InstanceId>(/^i-[0-9a-f]{8,}$/), signal),
      this.get("meta-data/instance-type", matching(/^[a-z0-9-]+\.[a-z0-9-]+$/), signal),
      this.get("meta-data/placement/region", matching(/^[a-z]{2,}(-[a-z]+)+-\d+$/), signal),
      this.get("meta-data/placement/availability-zone", matching(/^[a-z]{2,}(-[a-z0-9]+)+$/), signal),
      this.get("meta-data/mac", parseMac, signal),
    ]);
    return { instanceId, instanceType, region, zone, primaryMac };
  }

  /** As find(), but a value that is not there is an error. */
  async get<T>(path: string, parse: (text: string) => T, signal: AbortSignal): Promise<T> {
    const value = await this.find(path, parse, signal);
    if (value === undefined) throw failure(path, "it has no such value");
    return value;
  }

  /**
   * Reads `/latest/<path>`, without its last newline. Undefined: 404. `parse` throws for a value of another type, which then
   * counts as no answer. Bounded: attempts, and a time limit for each.
   */
  async find<T>(path: string, parse: (text: string) => T, signal: AbortSignal): Promise<T | undefined> {
    const policy = { clock: this.options.clock, attemptsMax: this.options.attemptsMax ?? 3, delayMs: 50 };
    try {
      return await retry((inner) => this.read(path, parse, inner), policy, signal);
    } catch (error) {
      throw error instanceof CloudError ? error : failure(path, "given up", error);
    }
  }

  private async read<T>(
    path: string,
    parse: (text: string) => T,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    let answer = await this.exchange("GET", path, await this.currentToken(signal), signal);
    if (answer.status === 401) {
      this.token = undefined;
      answer = await this.exchange("GET", path, await this.currentToken(signal), signal);
    }
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw failure(path, `it answered ${answer.status}`);
    try {
      return parse(answer.body.trimEnd());
    } catch (error) {
      throw failure(path, `not a value of its type: ${quoted(path, answer.body)}`, error);
    }
  }

  /** One renewal at a time, shared by all readers. There is no way back to version 1. */
  private async currentToken(signal: AbortSignal): Promise<string> {
    if (this.token !== undefined && this.options.clock.now() < this.token.until) return this.token.text;
    this.renewal ??= this.renew(signal).finally(() => {
      this.renewal = undefined;
    });
    return this.renewal;
  }

  private async renew(signal: AbortSignal): Promise<string> {
    const until = this.options.clock.now() + TOKEN_USE_MS;
    const { status, body } = await this.exchange("PUT", "api/token", undefined, signal);
    if (status === 403 || status === 405) {
      throw new CloudError("unauthorized", `metadata: version 2 is refused (${status})`, {
        operation: "metadata api/token",
      });
    }
    // a token is opaque, but it travels in a header and is never a page
    if (status !== 200 || !/^[\x21-\x7e]{1,1024}$/.test(body.trim()) || body.includes("<")) {
      throw failure("api/token", `it answered ${status}, which is no token`);
    }
    this.token = { text: body.trim(), until };
    return this.token.text;
  }

  private exchange(
    method: "GET" | "PUT",
    path: string,
    token: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const headers =
      token === undefined
        ? { "x-aws-ec2-metadata-token-ttl-seconds": String(TOKEN_TTL_SECONDS) }
        : { "x-aws-ec2-metadata-token": token };
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(this.options.timeoutMs ?? 2_000)]);
    const answer = send(`${this.endpoint}/latest/${path}`, method, headers, bounded);
    return answer.catch((error: unknown) => {
      throw failure(path, "no answer", error);
    });
  }
}

/** A text of that form; throws RangeError for any other. */
export function matching<T extends string = string>(pattern: RegExp): (text: string) => T {
  return (text) => {
    if (!pattern.test(text))
      throw new RangeError(`${JSON.stringify(text.slice(0, 80))} does not match ${pattern}`);
    return text as T;
  };
}

/** The begin of an answer, but nothing that may be a secret. */
function quoted(path: string, body: string): string {
  return path.includes("security-credentials/") ? "(not shown)" : JSON.stringify(body.slice(0, 80));
}

function failure(path: string, what: string, cause?: unknown): CloudError {
  const operation = `metadata ${path}`;
  return new CloudError("unavailable", `${operation}: ${what}`, { operation, cause });
}

/** At most 64 KiB of body: the longest real value is a few hundred bytes. */
function send(
  url: string,
  method: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(url, { method, headers, signal, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
        if (body.length > 65_536) response.destroy(new Error("the answer is too long"));
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.on("error", reject);
    });
    call.on("error", reject);
    call.end();
  });
}
