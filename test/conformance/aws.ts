/** An embedded EC2 with one node, and the adapter on it as the daemon builds it: its own IAM policy, credentials from the metadata. */
import { AttachNetworkInterfaceCommand, CreateNetworkInterfaceCommand, EC2Client } from "@aws-sdk/client-ec2";
import type { InterfaceId, SubnetId } from "../../common/ids.ts";
import { type Logger, memoryLogger } from "../../common/log.ts";
import { Metrics } from "../../common/metrics.ts";
import { AwsNetwork, type AwsOptions } from "../../providers/aws/provider.ts";
import { type Ec2, type Ec2Options, startEc2 } from "../cloudsim/aws/ec2.ts";
import { createInterface } from "../cloudsim/aws/model/create-interface.ts";
import type { LaunchRequest } from "../cloudsim/aws/model/launch.ts";
import type { Instance } from "../cloudsim/aws/model/resources.ts";
import { freeIpv4Count } from "../cloudsim/aws/model/subnet-addresses.ts";
import { present, SUBNET_A, TEST_NETWORK } from "../cloudsim/aws/testing.ts";
import { ShiftedClock } from "./shifted-clock.ts";

export const CLUSTER = "test";

export class AwsLab {
  readonly ec2: Ec2;
  readonly instance: Instance;
  readonly metrics = new Metrics();
  /** Of every adapter that is opened here. */
  readonly clock = new ShiftedClock();
  readonly lines: Record<string, unknown>[];
  private readonly log: Logger;
  private readonly opened: AwsNetwork[] = [];

  private constructor(ec2: Ec2, instance: Instance) {
    this.ec2 = ec2;
    this.instance = instance;
    ({ log: this.log, lines: this.lines } = memoryLogger());
  }

  /** The policy is the one that we ship, unless the options have another. */
  static async start(
    options: { readonly ec2?: Partial<Ec2Options>; readonly launch?: Partial<LaunchRequest> } = {},
  ): Promise<AwsLab> {
    const ec2 = await startEc2({ network: TEST_NETWORK, attachMs: 5, detachMs: 5, ...options.ec2 });
    const instance = await ec2.addInstance({
      subnetId: SUBNET_A,
      type: "m5.large",
      ipv6: {},
      ...options.launch,
    });
    return new AwsLab(ec2, instance);
  }

  /** The adapter as a newly started process has it, on this node or on another instance. */
  open(changes: Partial<AwsOptions> = {}, instance: Instance = this.instance): AwsNetwork {
    const network = new AwsNetwork({
      cluster: CLUSTER,
      endpoint: this.ec2.endpoint,
      metadataEndpoint: this.ec2.imdsEndpoint(instance),
      clock: this.clock,
      log: this.log,
      metrics: this.metrics,
      timeouts: { connectMs: 500, replyMs: 1_000, callMs: 8_000 },
      imdsTimeoutMs: 300,
      ...changes,
    });
    this.opened.push(network);
    return network;
  }

  /** For what others do in the account. */
  administrator(): EC2Client {
    const { endpoint, region, administrator: credentials } = this.ec2;
    return new EC2Client({ endpoint, region, credentials });
  }

  /** Somebody's interface, attached to the node or to another instance. */
  async attachStranger(
    tags: Readonly<Record<string, string>> = { Name: "theirs" },
    instance: Instance = this.instance,
  ): Promise<InterfaceId> {
    const client = this.administrator();
    const Tags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
    const { NetworkInterface } = await client.send(
      new CreateNetworkInterfaceCommand({
        SubnetId: SUBNET_A,
        TagSpecifications: [{ ResourceType: "network-interface", Tags }],
      }),
    );
    const NetworkInterfaceId = present(NetworkInterface?.NetworkInterfaceId);
    const place = { InstanceId: instance.id, DeviceIndex: 1, NetworkCardIndex: 0 };
    await client.send(new AttachNetworkInterfaceCommand({ NetworkInterfaceId, ...place }));
    client.destroy();
    return NetworkInterfaceId as InterfaceId;
  }

  /** Takes every free IPv4 address of a subnet, or all but some. */
  exhaust(subnetId: SubnetId, free = 0): void {
    const { account } = this.ec2;
    const count = freeIpv4Count(account, account.getSubnet(subnetId)) - free;
    if (count < 1) return;
    createInterface(account, { subnetId, ipv4: count > 1 ? { addressCount: count - 1 } : {} });
  }

  interfaceIds(): readonly InterfaceId[] {
    return [...this.ec2.account.interfaces.keys()] as InterfaceId[];
  }

  async close(): Promise<void> {
    for (const network of this.opened) network.close();
    await this.ec2.close();
  }
}
