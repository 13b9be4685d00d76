/**
 * Checks an AWS Signature Version 4 by computing it again, without the SDK's own signer, so that neither can excuse the other.
 * Steps: IAM User Guide, "Create a signed AWS API request".
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { Ec2Error } from "../model/ec2-error.ts";

export type SignedRequest = {
  readonly method: string;
  /** Path and query as sent. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
};

export type KeyPair = {
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Temporary keys past their end. */
  readonly isExpired: boolean;
};

const CLOCK_SKEW_MS = 5 * 60_000;
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/ec2\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;

const authFailure = () =>
  new Ec2Error("AuthFailure", "AWS was not able to validate the provided access credentials", 401);

/** The access key id of a request that is signed right, now, by a key that `findKey` knows. Throws Ec2Error for any other. */
export function verifySignature(
  request: SignedRequest,
  findKey: (accessKeyId: string) => KeyPair | undefined,
  now: number,
): string {
  const authorization = header(request, "authorization");
  if (authorization === "") {
    throw new Ec2Error("MissingAuthenticationToken", "Request is missing Authentication Token", 403);
  }
  const match = AUTHORIZATION.exec(authorization);
  if (match === null) throw new Ec2Error("IncompleteSignature", "The request signature is not complete", 400);
  const [, accessKeyId = "", date = "", region = "", signedHeaders = "", signature = ""] = match;
  const key = findKey(accessKeyId);
  if (key === undefined) throw authFailure();
  checkTime(request, date, key, now);
  if ((key.sessionToken ?? "") !== header(request, "x-amz-security-token")) throw authFailure();
  const expected = sign(request, key.secretAccessKey, { date, region, signedHeaders });
  if (!timingSafeEqual(Buffer.from(expected, "hex"), Buffer.from(signature, "hex"))) {
    throw new Ec2Error(
      "SignatureDoesNotMatch",
      "The request signature we calculated does not match the signature you provided.",
      403,
    );
  }
  return accessKeyId;
}

function checkTime(request: SignedRequest, date: string, key: KeyPair, now: number): void {
  const stamp = header(request, "x-amz-date");
  const time = Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  const isSkewed = Number.isNaN(time) || !stamp.startsWith(date) || Math.abs(now - time) > CLOCK_SKEW_MS;
  if (isSkewed || key.isExpired) {
    throw new Ec2Error("RequestExpired", "Request has expired.", 400);
  }
}

type Scope = { readonly date: string; readonly region: string; readonly signedHeaders: string };

function sign(request: SignedRequest, secret: string, scope: Scope): string {
  const scopeText = `${scope.date}/${scope.region}/ec2/aws4_request`;
  const toSign = [
    "AWS4-HMAC-SHA256",
    header(request, "x-amz-date"),
    scopeText,
    sha256(canonicalRequest(request, scope.signedHeaders)),
  ].join("\n");
  const key = scopeText
    .split("/")
    .reduce<Buffer | string>((parent, part) => hmac(parent, part), `AWS4${secret}`);
  return hmac(key, toSign).toString("hex");
}

function canonicalRequest(request: SignedRequest, signedHeaders: string): string {
  const url = new URL(request.url, "http://unused");
  const query = [...url.searchParams].map(([name, value]) => `${uri(name)}=${uri(value)}`).sort();
  const headers = signedHeaders
    .split(";")
    .map((name) => `${name}:${header(request, name).trim().replace(/ +/g, " ")}\n`);
  return [
    request.method,
    url.pathname,
    query.join("&"),
    headers.join(""),
    signedHeaders,
    sha256(request.body),
  ].join("\n");
}

function uri(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function header({ headers }: SignedRequest, name: string): string {
  const value = headers[name];
  return typeof value === "string" ? value : (value ?? []).join(",");
}

const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string) => createHmac("sha256", key).update(data).digest();
