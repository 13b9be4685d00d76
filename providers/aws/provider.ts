/**
 * AWS: interfaces are ENIs, blocks are delegated prefixes. EC2's API is the truth; the metadata service only says who we are. What is
 * ours, what we never touch, and which permissions this takes: docs/clouds/aws.md.
 */
import type { InterfaceId } from "../../common/ids.ts";
import type { Cidr } from "../../common/ip.ts";
import type { Logger } from "../../common/log.ts";
import { CloudError } from "../errors.ts";
import type { CloudOptions } from "../options.ts";
import type {
  Capabilities,
  CloudInterface,
  CloudNetwork,
  CloudView,
  CreateInterface,
  NodeIdentity,
  UnitRequest,
} from "../provider.ts";
import { instanceType } from "./api-network.ts";
import { Ec2Client, type Timeouts } from "./client.ts";
import { InterfaceMaker } from "./create-interface.ts";
import { credentialSource } from "./credentials.ts";
import { removeInterface } from "./delete-interface.ts";
import { glance } from "./glance.ts";
import { Imds } from "./imds.ts";
import { findInstanceType } from "./instance-types.ts";
import { LeakSweeper } from "./leaks.ts";
import { readCapabilities } from "./limits.ts";
import { NetworkFacts } from "./network-facts.ts";
import { AwsNode } from "./node.ts";
import { TAG } from "./ownership.ts";
import type { Ec2Interface } from "./schema.ts";
import { SubnetFinder } from "./subnets.ts";
import { UnitWriter } from "./units.ts";
import { toCloudInterface } from "./view.ts";

/** Above what every cloud takes. */
export type AwsOptions = CloudOptions & {
  readonly timeouts?: Timeouts;
  /** See ImdsOptions. */
  readonly imdsTimeoutMs?: number;
};

export class AwsNetwork implements CloudNetwork {
  readonly name = "aws";
  private readonly log: Logger;
  private readonly imds: Imds;
  private readonly ec2: Ec2Client;
  private readonly node: AwsNode;
  private readonly facts: NetworkFacts;
  private readonly maker: InterfaceMaker;
  private readonly units: UnitWriter;
  private readonly leaks: LeakSweeper;
  private identity: NodeIdentity | undefined;
  private limits: Capabilities | undefined;

  constructor(options: AwsOptions) {
    this.log = options.log;
    this.imds = new Imds({
      clock: options.clock,
      ...(options.metadataEndpoint === undefined ? {} : { endpoint: options.metadataEndpoint }),
      ...(options.imdsTimeoutMs === undefined ? {} : { timeoutMs: options.imdsTimeoutMs }),
    });
    this.ec2 = new Ec2Client({
      region: options.region ?? (async () => (await this.identify(AbortSignal.timeout(15_000))).region),
      clock: options.clock,
      credentials: credentialSource(options.credentials ?? { from: "instance" }, this.imds),
      metrics: options.metrics,
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
      ...(options.timeouts === undefined ? {} : { timeouts: options.timeouts }),
    });
    const identify = (signal: AbortSignal) => this.identify(signal);
    this.node = new AwsNode({ ...options, ec2: this.ec2, identify });
    const { ec2, imds } = this;
    this.facts = new NetworkFacts({ ec2, imds, clock: options.clock, log: options.log });
    this.maker = new InterfaceMaker(this.node, new SubnetFinder(this.node, this.facts));
    this.leaks = new LeakSweeper(this.node, (token) => this.maker.isMaking(token));
    this.units = new UnitWriter(this.node, this.facts, (signal) => this.tryCapabilities(signal));
  }

  async identify(signal: AbortSignal): Promise<NodeIdentity> {
    this.identity ??= await this.imds.identity(signal);
    return this.identity;
  }

  async capabilities(signal: AbortSignal): Promise<Capabilities> {
    if (this.limits === undefined) {
      const { instanceType: type } = await this.identify(signal);
      this.limits = findInstanceType(type) ?? readCapabilities(await instanceType(this.ec2, type, signal));
      for (const card of this.limits.skippedCards) {
        this.log.warn({ instanceType: type, ...card }, "network card carries no pods");
      }
    }
    return this.limits;
  }

  async describe(signal: AbortSignal): Promise<CloudView> {
    return this.guarded("describe", signal, async () => {
      const listed = await this.node.list(signal);
      const { primaryMac } = (await this.node.owner(signal)).identity;
      const [interfaces, networkCidrs] = await Promise.all([
        this.toView(listed, signal),
        this.facts.networkCidrs(listed, primaryMac, signal),
      ]);
      return { interfaces, networkCidrs };
    });
  }

  async createInterface(request: CreateInterface, signal: AbortSignal): Promise<CloudInterface> {
    return this.guarded("createInterface", signal, async () => {
      const made = await this.maker.make(request, signal);
      this.node.learn(made);
      const [view] = await this.toView([made], signal);
      return view as CloudInterface;
    });
  }

  async glance(signal: AbortSignal): Promise<string> {
    return this.guarded("glance", signal, async () => {
      const { primaryMac } = await this.identify(signal);
      return glance(this.imds, primaryMac, signal);
    });
  }

  async removeLeaks(signal: AbortSignal): Promise<readonly InterfaceId[]> {
    return this.guarded("removeLeaks", signal, () => this.leaks.sweep(signal));
  }

  async deleteInterface(id: InterfaceId, signal: AbortSignal): Promise<void> {
    return this.guarded("deleteInterface", signal, async () => {
      const removed = await removeInterface(this.node, id, signal).catch((error: unknown) => {
        this.maker.mayLeave();
        throw error;
      });
      const token = removed?.tags.get(TAG.token);
      if (token !== undefined) this.maker.removed(token);
    });
  }

  async assignUnits(
    id: InterfaceId,
    requests: readonly UnitRequest[],
    signal: AbortSignal,
  ): Promise<readonly Cidr[]> {
    return this.guarded("assignUnits", signal, () => this.units.assign(id, requests, signal));
  }

  async releaseUnits(id: InterfaceId, units: readonly Cidr[], signal: AbortSignal): Promise<void> {
    return this.guarded("releaseUnits", signal, () => this.units.release(id, units, signal));
  }

  /** Closes kept connections; calls that run fail. */
  close(): void {
    this.ec2.close();
  }

  private async toView(listed: readonly Ec2Interface[], signal: AbortSignal): Promise<CloudInterface[]> {
    const owner = await this.node.owner(signal);
    const subnets = await this.facts.subnetsOf(listed, signal);
    return listed
      .map((one) =>
        toCloudInterface(one, subnets.get(one.subnetId) ?? { id: one.subnetId, zone: one.zone }, owner),
      )
      .sort((a, b) => Number(b.isPrimary) - Number(a.isPrimary) || (a.id < b.id ? -1 : 1));
  }

  /** For clamping only: a failure here must not stop an assignment that EC2 may allow. */
  private async tryCapabilities(signal: AbortSignal): Promise<Capabilities | undefined> {
    try {
      return await this.capabilities(signal);
    } catch (error) {
      this.log.warn({ err: error }, "limits of the instance type not known");
      return undefined;
    }
  }

  /** Waits that the caller gives up end as the seam says: `unavailable`. */
  private async guarded<T>(operation: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof CloudError || !signal.aborted) throw error;
      const message = `${operation}: given up, the outcome is unknown`;
      throw new CloudError("unavailable", message, { operation, cause: error });
    }
  }
}
