/**
 * An embedded EC2 for tests and the demo: one VPC in one account, spoken to by the official SDK over HTTP, strict where EC2 is, with a
 * metadata service for each instance. model/ decides (pure), wire/ speaks Query and XML, imds/ the metadata service.
 */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type DataPlane, type NetworkSpec, noDataPlane } from "../data-plane.ts";
import { CallLog } from "./call-log.ts";
import { type Credentials, KeyRing } from "./credentials.ts";
import { Faults } from "./faults.ts";
import { checkPolicy, type PolicyDocument, readPolicy } from "./iam.ts";
import { Imds } from "./imds/imds.ts";
import { Account } from "./model/account.ts";
import { type LaunchRequest, launchInstance, terminateInstance } from "./model/launch.ts";
import type { Instance } from "./model/resources.ts";
import type { Staleness } from "./model/staleness.ts";
import { RealTimers, type Timers } from "./model/timers.ts";
import { OutsideHand } from "./outside-hand.ts";
import { RateLimiter, type RateLimits } from "./rate-limits.ts";
import { accountView } from "./view.ts";
import { ec2Handler } from "./wire/ec2-server.ts";

/** Whose server it is, so that a listener can put it into the right network namespace. */
export type Role = { readonly kind: "ec2" } | { readonly kind: "imds"; readonly instance: Instance };

/** Makes a server listen, anywhere, and gives the URL that reaches it, without a slash at the end. */
export type Listen = (server: Server, role: Role) => Promise<string>;

export type Ec2Options = {
  readonly network: NetworkSpec;
  readonly dataPlane?: DataPlane;
  /** Two clouds with one seed choose alike. */
  readonly seed?: number;
  /** What the instances' role may do. Default: deploy/aws/iam-policy.json. */
  readonly policy?: PolicyDocument;
  /** Default: 127.0.0.1, any free port. */
  readonly listen?: Listen;
  readonly timers?: Timers;
  /** How many calls of each API the account may make. Default: any number; EC2_RATE_LIMITS is the real thing. */
  readonly rateLimits?: RateLimits;
  /** How long a link takes to show after attaching, and to go after detaching. Default 20 ms each; EC2 takes one to ten seconds. */
  readonly attachMs?: number;
  readonly detachMs?: number;
};

export type Ec2 = {
  /** For `endpoint` of an EC2Client, or AWS_ENDPOINT_URL_EC2. */
  readonly endpoint: string;
  readonly region: string;
  /** May do everything. */
  readonly administrator: Credentials;
  /** The state itself, for tests that look or meddle. */
  readonly account: Account;
  readonly faults: Faults;
  readonly calls: CallLog;
  /** How far describes are behind; off at first. The metadata has its own lag: imds(instance).faults.lagMs. */
  readonly staleness: Staleness;
  /** Whoever else may change the account. */
  readonly outsideHand: OutsideHand;
  /** Starts an instance, its primary interface and its metadata service. */
  addInstance(request: LaunchRequest): Promise<Instance>;
  terminateInstance(instance: Instance): void;
  /** For AWS_EC2_METADATA_SERVICE_ENDPOINT. Throws for an instance that is not of this cloud. */
  imdsEndpoint(instance: Instance): string;
  imds(instance: Instance): Imds;
  /** New temporary keys of the instance's role. */
  credentialsOf(instance: Instance): Credentials;
  /** What there is, as text for people and for comparing. */
  view(): string;
  /** Ends all servers and connections, hanging ones too. Repeatable. */
  close(): Promise<void>;
};

const POLICY_FILE = new URL("../../../deploy/aws/iam-policy.json", import.meta.url);

/** Starts an EC2 with one VPC and no instance. */
export async function startEc2(options: Ec2Options): Promise<Ec2> {
  const policy = options.policy ?? readPolicy(POLICY_FILE.pathname);
  checkPolicy(policy);
  const timers = options.timers ?? new RealTimers();
  const account = new Account({
    network: options.network,
    dataPlane: options.dataPlane ?? noDataPlane,
    timers,
    seed: options.seed ?? 1,
    attachMs: options.attachMs ?? 20,
    detachMs: options.detachMs ?? 20,
  });
  const keys = new KeyRing(account, policy);
  const faults = new Faults(timers);
  const calls = new CallLog();
  const limiter = new RateLimiter(options.rateLimits, timers);
  const servers = new Servers(options.listen ?? listenOnLoopback);
  const handle = ec2Handler({ account, keys, faults, log: calls, limiter });
  // a client that goes away in the middle of its request is no error of ours
  const listener: RequestListener = (request, response) =>
    void handle(request, response).catch(() => response.destroy());
  const endpoint = await servers.start(listener, { kind: "ec2" });
  const metadata = new Map<Instance, { readonly imds: Imds; readonly url: string }>();
  const metadataOf = (instance: Instance) => {
    const found = metadata.get(instance);
    if (found === undefined) throw new Error(`instance ${instance.id} is not of this cloud`);
    return found;
  };
  return {
    endpoint,
    region: account.region,
    administrator: keys.newAdministrator(),
    account,
    faults,
    calls,
    staleness: account.staleness,
    outsideHand: new OutsideHand(account),
    addInstance: async (request) => {
      const instance = launchInstance(account, request);
      const imds = new Imds(account, instance, () => keys.newSession(instance));
      const url = await servers.start(imds.listener, { kind: "imds", instance });
      metadata.set(instance, { imds, url });
      return instance;
    },
    terminateInstance: (instance) => terminateInstance(account, instance.id),
    imdsEndpoint: (instance) => metadataOf(instance).url,
    imds: (instance) => metadataOf(instance).imds,
    credentialsOf: (instance) => keys.newSession(instance),
    view: () => accountView(account),
    close: async () => {
      timers.cancelAll();
      await servers.closeAll();
    },
  };
}

/** The HTTP servers of one cloud, ended together. */
class Servers {
  private readonly servers: Server[] = [];
  private readonly listen: Listen;

  constructor(listen: Listen) {
    this.listen = listen;
  }

  async start(listener: RequestListener, role: Role): Promise<string> {
    const server = createServer(listener);
    this.servers.push(server);
    return this.listen(server, role);
  }

  async closeAll(): Promise<void> {
    const closing = this.servers.splice(0).map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    );
    await Promise.all(closing);
  }
}

const listenOnLoopback: Listen = async (server) => {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};
