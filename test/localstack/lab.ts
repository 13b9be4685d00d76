/**
 * One node in an account of its own on LocalStack: a VPC, a subnet as large as it (addresses given by count are random there, and may
 * repeat in a small one), an instance, its metadata, and the adapter on it. What may be believed of LocalStack, and what not:
 * docs/decisions/0019-an-ec2-that-others-wrote.md.
 */
import {
  CreateNetworkInterfaceCommand,
  type CreateNetworkInterfaceCommandInput,
  CreateSubnetCommand,
  CreateVpcCommand,
  DescribeNetworkInterfacesCommand,
  EC2Client,
  type Filter,
  type NetworkInterface,
  RunInstancesCommand,
} from "@aws-sdk/client-ec2";
import { systemClock } from "../../common/clock.ts";
import { type InstanceId, type MacAddress, parseMac } from "../../common/ids.ts";
import { memoryLogger } from "../../common/log.ts";
import { Metrics } from "../../common/metrics.ts";
import { AwsNetwork } from "../../providers/aws/provider.ts";
import { present } from "../cloudsim/aws/testing.ts";
import type { LocalStack } from "./localstack.ts";
import { FixedMetadata } from "./metadata.ts";

export const CLUSTER = "test";
export const VPC_CIDR = "10.20.0.0/16";
const REGION = "eu-west-1";
const ZONE = "eu-west-1a";
const INSTANCE_TYPE = "m5.large";

let accounts = 0;

/** An access key of 12 digits is an account of its own, without anything in it. */
function newAccount() {
  accounts += 1;
  return { accessKeyId: String(accounts).padStart(12, "0"), secretAccessKey: "unchecked" };
}

export class LocalLab {
  readonly vpcId: string;
  readonly subnetId: string;
  readonly instanceId: InstanceId;
  readonly primaryId: string;
  readonly primaryMac: MacAddress;
  readonly lines: Record<string, unknown>[];
  /** For what others do in the account, and to look. */
  readonly administrator: EC2Client;
  private readonly open: () => AwsNetwork;
  private readonly metadata: FixedMetadata;
  private readonly opened: AwsNetwork[] = [];

  private constructor(
    { endpoint }: LocalStack,
    keys: ReturnType<typeof newAccount>,
    parts: Pick<
      LocalLab,
      "administrator" | "vpcId" | "subnetId" | "instanceId" | "primaryId" | "primaryMac"
    > & { readonly metadata: FixedMetadata },
  ) {
    this.administrator = parts.administrator;
    this.vpcId = parts.vpcId;
    this.subnetId = parts.subnetId;
    this.instanceId = parts.instanceId;
    this.primaryId = parts.primaryId;
    this.primaryMac = parts.primaryMac;
    this.metadata = parts.metadata;
    const { log, lines } = memoryLogger();
    this.lines = lines;
    this.open = () =>
      new AwsNetwork({
        cluster: CLUSTER,
        endpoint,
        metadataEndpoint: parts.metadata.endpoint,
        credentials: { from: "keys", ...keys },
        clock: systemClock,
        log,
        metrics: new Metrics(),
      });
  }

  static async start(localStack: LocalStack): Promise<LocalLab> {
    const keys = newAccount();
    const { endpoint } = localStack;
    const administrator = new EC2Client({ endpoint, region: REGION, credentials: keys });
    const vpc = await administrator.send(new CreateVpcCommand({ CidrBlock: VPC_CIDR }));
    const vpcId = present(vpc.Vpc?.VpcId);
    const subnet = await administrator.send(
      new CreateSubnetCommand({ VpcId: vpcId, CidrBlock: VPC_CIDR, AvailabilityZone: ZONE }),
    );
    const subnetId = present(subnet.Subnet?.SubnetId);
    const run = { ImageId: "ami-12345678", InstanceType: INSTANCE_TYPE, MinCount: 1, MaxCount: 1 } as const;
    const started = await administrator.send(new RunInstancesCommand({ ...run, SubnetId: subnetId }));
    const instance = present(started.Instances?.[0]);
    const primary = present(instance.NetworkInterfaces?.[0]);
    const place = {
      instanceId: present(instance.InstanceId) as InstanceId,
      primaryMac: parseMac(present(primary.MacAddress)),
    };
    const metadata = await FixedMetadata.start(metadataOf(place));
    const primaryId = present(primary.NetworkInterfaceId);
    return new LocalLab(localStack, keys, { administrator, vpcId, subnetId, primaryId, metadata, ...place });
  }

  /** The adapter as a newly started process has it. */
  network(): AwsNetwork {
    const network = this.open();
    this.opened.push(network);
    return network;
  }

  /** What LocalStack shows by these filters. */
  async list(...filters: Filter[]): Promise<NetworkInterface[]> {
    const Filters = [...filters, { Name: "vpc-id", Values: [this.vpcId] }];
    const reply = await this.administrator.send(new DescribeNetworkInterfacesCommand({ Filters }));
    return reply.NetworkInterfaces ?? [];
  }

  /** Undefined: there is none. */
  async find(id: string): Promise<NetworkInterface | undefined> {
    return (await this.list()).find((one) => one.NetworkInterfaceId === id);
  }

  /** An interface that somebody else makes; gives its id. */
  async create(
    tags: Readonly<Record<string, string>>,
    input: Partial<CreateNetworkInterfaceCommandInput> = {},
  ): Promise<string> {
    const Tags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
    const TagSpecifications = [{ ResourceType: "network-interface" as const, Tags }];
    const reply = await this.administrator.send(
      new CreateNetworkInterfaceCommand({ SubnetId: this.subnetId, TagSpecifications, ...input }),
    );
    return present(reply.NetworkInterface?.NetworkInterfaceId);
  }

  async close(): Promise<void> {
    for (const network of this.opened) network.close();
    this.administrator.destroy();
    await this.metadata.close();
  }
}

function metadataOf(node: { readonly instanceId: string; readonly primaryMac: string }) {
  const ofPrimary = `meta-data/network/interfaces/macs/${node.primaryMac}`;
  return new Map([
    ["meta-data/instance-id", node.instanceId],
    ["meta-data/instance-type", INSTANCE_TYPE],
    ["meta-data/placement/region", REGION],
    ["meta-data/placement/availability-zone", ZONE],
    ["meta-data/mac", node.primaryMac],
    [`${ofPrimary}/subnet-ipv4-cidr-block`, VPC_CIDR],
    [`${ofPrimary}/vpc-ipv4-cidr-blocks`, VPC_CIDR],
  ]);
}
