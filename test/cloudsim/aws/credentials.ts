import { ALLOW_ALL, type CallerContext, type PolicyDocument } from "./iam.ts";
import type { Account } from "./model/account.ts";
import type { Instance } from "./model/resources.ts";
import type { KeyPair } from "./wire/sigv4.ts";

/** As the SDKs take them. */
export type Credentials = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
};

export type Principal = KeyPair & { readonly policy: PolicyDocument; readonly caller: CallerContext };

type Entry = Omit<Principal, "isExpired"> & { readonly expiresAt: number };

const SESSION_MS = 6 * 3_600_000;

/** The keys that EC2 accepts here: one administrator's, and temporary ones for the role of each instance. */
export class KeyRing {
  private readonly principals = new Map<string, Entry>();
  private readonly account: Account;
  private readonly rolePolicy: PolicyDocument;

  constructor(account: Account, rolePolicy: PolicyDocument) {
    this.account = account;
    this.rolePolicy = rolePolicy;
  }

  find(accessKeyId: string): Principal | undefined {
    const found = this.principals.get(accessKeyId);
    return found && { ...found, isExpired: this.account.timers.now() >= found.expiresAt };
  }

  /** Keys that may do everything and do not end: for what people and other tools do beside us. */
  newAdministrator(): Credentials {
    const keys = { accessKeyId: this.newKeyId("AKIA"), secretAccessKey: this.account.random.hex(40) };
    this.principals.set(keys.accessKeyId, {
      ...keys,
      expiresAt: Number.POSITIVE_INFINITY,
      policy: ALLOW_ALL,
      caller: new Map(),
    });
    return keys;
  }

  /** Temporary keys of an instance's role, which may do what the policy under test says. */
  newSession(instance: Instance, durationMs = SESSION_MS): Required<Credentials> {
    const expiresAt = this.account.timers.now() + durationMs;
    const keys = {
      accessKeyId: this.newKeyId("ASIA"),
      secretAccessKey: this.account.random.hex(40),
      sessionToken: this.account.random.hex(64),
    };
    const { region, ownerId } = this.account;
    const arn = `arn:aws:ec2:${region}:${ownerId}:instance/${instance.id}`;
    const caller = new Map([["ec2:SourceInstanceARN", [arn]]]);
    this.principals.set(keys.accessKeyId, { ...keys, expiresAt, policy: this.rolePolicy, caller });
    return { ...keys, expiration: new Date(expiresAt) };
  }

  private newKeyId(prefix: string): string {
    return prefix + this.account.random.hex(16).toUpperCase();
  }
}
