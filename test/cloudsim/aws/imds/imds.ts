import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Credentials } from "../credentials.ts";
import type { Account } from "../model/account.ts";
import type { Instance } from "../model/resources.ts";
import { ImdsFaults } from "./imds-faults.ts";
import { lookUp, type MetadataTree, metadataTree, ROLE_NAME } from "./tree.ts";

const TOKEN_TTL_MAX_S = 21_600;
const TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER = "x-aws-ec2-metadata-token";
const CREDENTIALS = "meta-data/iam/security-credentials/";

type Answer = { readonly status: number; readonly body: string; readonly headers?: Record<string, string> };

/** The metadata service of one instance, version 2 only: a token by PUT, then GETs that carry it. */
export class Imds {
  readonly faults = new ImdsFaults();
  /** Paths of all requests below `latest/`, in order. */
  readonly requests: string[] = [];
  private readonly account: Account;
  private readonly instance: Instance;
  private readonly newKeys: () => Required<Credentials>;
  private readonly tokens = new Map<string, number>();
  /** What was true when, oldest first. */
  private history: { readonly at: number; readonly tree: MetadataTree }[] = [];

  constructor(account: Account, instance: Instance, newKeys: () => Required<Credentials>) {
    this.account = account;
    this.instance = instance;
    this.newKeys = newKeys;
    this.record();
    account.watch(() => this.record());
  }

  /** All tokens are forgotten, as after a restart of the service: every GET answers 401 until a new PUT. */
  expireTokens(): void {
    this.tokens.clear();
  }

  readonly listener: RequestListener = (request, response) => {
    const path = (request.url ?? "").replace(/^\/latest\//, "");
    this.requests.push(path);
    const fault = this.faults.take(path);
    if (fault?.kind === "hang") return;
    if (fault?.kind === "answer") {
      send(response, fault);
      return;
    }
    const answer = this.answer(request, path);
    send(response, fault === undefined ? answer : { ...answer, body: answer.body + fault.text });
  };

  private answer(request: IncomingMessage, path: string): Answer {
    if (path === "api/token") return this.putToken(request);
    const expiresAt = this.tokens.get(String(request.headers[TOKEN_HEADER]));
    if (expiresAt === undefined || expiresAt <= this.account.timers.now()) {
      return { status: 401, body: "<html><body><h1>401 Unauthorized</h1></body></html>" };
    }
    if (request.method !== "GET") return { status: 405, body: "" };
    const body = this.value(path);
    return body === undefined ? { status: 404, body: "404 - Not Found" } : { status: 200, body };
  }

  private putToken(request: IncomingMessage): Answer {
    if (request.method !== "PUT") return { status: 405, body: "" };
    if (request.headers["x-forwarded-for"] !== undefined) return { status: 403, body: "" };
    const ttl = String(request.headers[TTL_HEADER]);
    if (!/^\d+$/.test(ttl) || Number(ttl) < 1 || Number(ttl) > TOKEN_TTL_MAX_S) {
      return { status: 400, body: "400 - Bad Request" };
    }
    const token = this.account.random.hex(56);
    this.tokens.set(token, this.account.timers.now() + Number(ttl) * 1000);
    return { status: 200, body: token, headers: { [TTL_HEADER]: ttl } };
  }

  private value(path: string): string | undefined {
    if (path === CREDENTIALS) return ROLE_NAME;
    if (path === CREDENTIALS + ROLE_NAME)
      return credentialsDocument(this.newKeys(), this.account.timers.now());
    return lookUp(this.visibleTree(), path);
  }

  /** The newest tree that is at least the lag old; the first one when all are younger. */
  private visibleTree(): MetadataTree {
    const until = this.account.timers.now() - this.faults.lagMs;
    const found = this.history.findLast(({ at }) => at <= until) ?? this.history[0];
    if (found === undefined) throw new Error("the metadata has no history");
    return found.tree;
  }

  private record(): void {
    if (this.instance.state !== "running") return;
    this.history.push({ at: this.account.timers.now(), tree: metadataTree(this.account, this.instance) });
    this.history = this.history.slice(-200);
  }
}

function credentialsDocument(keys: Required<Credentials>, now: number): string {
  return JSON.stringify({
    Code: "Success",
    LastUpdated: new Date(now).toISOString(),
    Type: "AWS-HMAC",
    AccessKeyId: keys.accessKeyId,
    SecretAccessKey: keys.secretAccessKey,
    Token: keys.sessionToken,
    Expiration: keys.expiration.toISOString(),
  });
}

function send(response: ServerResponse, { status, body, headers }: Answer): void {
  response.writeHead(status, { "content-type": "text/plain", ...headers });
  response.end(body);
}
