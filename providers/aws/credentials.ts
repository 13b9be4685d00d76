import type { CloudCredentials } from "../options.ts";
import { type Imds, matching } from "./imds.ts";

/** What the SDK signs with; it asks again shortly before the expiration. */
export type AwsKeys = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
};

const ROLE_PATH = "meta-data/iam/security-credentials/";

/** A source of keys that does nothing, and loads nothing, before it is first asked. */
export function credentialSource(credentials: CloudCredentials, imds: Imds): () => Promise<AwsKeys> {
  switch (credentials.from) {
    case "keys": {
      const { from: _, ...keys } = credentials;
      return async () => keys;
    }
    case "instance":
      return () => instanceKeys(imds);
    case "default-chain": {
      let chain: Promise<() => Promise<AwsKeys>> | undefined;
      return async () => {
        // a large part of the SDK, needed by few: not loaded by the others
        chain ??= import("@aws-sdk/credential-providers").then((module) => module.fromNodeProviderChain());
        return (await chain)();
      };
    }
  }
}

async function instanceKeys(imds: Imds): Promise<AwsKeys> {
  const signal = AbortSignal.timeout(10_000);
  const role = await imds.get(ROLE_PATH, matching(/^[\w+=,.@-]{1,128}$/), signal);
  return imds.get(ROLE_PATH + role, parseKeys, signal);
}

function parseKeys(text: string): AwsKeys {
  const reply = JSON.parse(text) as Record<string, unknown>;
  const field = (name: string): string => {
    const value = reply[name];
    // never the value: it may be a secret under the wrong name
    if (typeof value !== "string" || value === "") throw new RangeError(`credentials without ${name}`);
    return value;
  };
  const expiration = new Date(field("Expiration"));
  if (Number.isNaN(expiration.getTime())) throw new RangeError("credentials with a bad Expiration");
  return {
    accessKeyId: field("AccessKeyId"),
    secretAccessKey: field("SecretAccessKey"),
    sessionToken: field("Token"),
    expiration,
  };
}
