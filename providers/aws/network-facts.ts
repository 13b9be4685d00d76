import { describeError } from "../../common/errors.ts";
import type { SubnetId } from "../../common/ids.ts";
import { type Cidr, IpAddress } from "../../common/ip.ts";
import type { Logger } from "../../common/log.ts";
import type { CloudInterface, Subnet } from "../provider.ts";
import { listSubnets, networkCidrs } from "./api.ts";
import type { Ec2Client } from "./client.ts";
import type { Imds } from "./imds.ts";
import type { Ec2Interface } from "./schema.ts";

/**
 * The VPC's router answers here in every subnet with IPv6 (docs.aws.amazon.com, "IPv6 subnet default gateway router", 2022-11). Not in
 * fe80::/64, but link-local by type, so a route via it needs the device and no on-link flag (tried on 6.18).
 */
export const ROUTER_IPV6 = IpAddress.parse("fe80:ec2::1");

/** The router of IPv4 is the subnet's first address ("Subnet CIDR blocks", reserved addresses, docs.aws.amazon.com). */
const ROUTER_IPV4_OFFSET = 1;

/** Subnets and the network's CIDRs, each as last told, so that one failing look-up takes nothing away. */
export class NetworkFacts {
  private readonly ec2: Ec2Client;
  private readonly imds: Imds;
  private readonly log: Logger;
  private readonly subnets = new Map<SubnetId, Subnet>();
  private cidrs: readonly Cidr[] | undefined;

  constructor(ec2: Ec2Client, imds: Imds, log: Logger) {
    this.ec2 = ec2;
    this.imds = imds;
    this.log = log;
  }

  /**
   * The subnet of each interface. Optional: one that EC2 does not show (another account's, a missing permission) is told from
   * the metadata, whose subnet range never changes, or without ranges: then the interface has no gateway and carries no pods.
   */
  async subnetsOf(
    interfaces: readonly Ec2Interface[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<SubnetId, Subnet>> {
    const ids = [...new Set(interfaces.map((one) => one.subnetId))];
    try {
      for (const subnet of await listSubnets(this.ec2, ids, signal)) this.subnets.set(subnet.id, subnet);
    } catch (error) {
      signal.throwIfAborted();
      this.log.warn({ err: error }, "subnets not described; those known stay as they were");
    }
    const found = new Map(this.subnets);
    for (const one of interfaces) {
      // not kept: the metadata may know more the next time
      if (!found.has(one.subnetId)) found.set(one.subnetId, await this.hinted(one, signal));
    }
    return found;
  }

  /** Throws when they were never told: what is inside the network decides about SNAT, and is not guessed. */
  async networkCidrs(vpcId: string, signal: AbortSignal): Promise<readonly Cidr[]> {
    try {
      this.cidrs = await networkCidrs(this.ec2, vpcId, signal);
    } catch (error) {
      if (this.cidrs === undefined || signal.aborted) throw error;
      this.log.warn({ err: error }, "network CIDRs not described; those known stay in force");
    }
    return this.cidrs;
  }

  private async hinted(one: Ec2Interface, signal: AbortSignal): Promise<Subnet> {
    const { subnetId: id, zone } = one;
    try {
      const ipv4 = await this.imds.findSubnetIpv4(one.mac, signal);
      return ipv4 === undefined ? { id, zone } : { id, zone, ipv4 };
    } catch (error) {
      this.log.warn({ interfaceId: one.id, subnetId: id, reason: describeError(error) }, "subnet unknown");
      return { id, zone };
    }
  }
}

/** The routers that an interface in that subnet uses. */
export function gatewaysOf(subnet: Subnet): CloudInterface["gateways"] {
  return {
    ...(subnet.ipv4 === undefined ? {} : { 4: subnet.ipv4.first.plus(ROUTER_IPV4_OFFSET) }),
    ...(subnet.ipv6 === undefined ? {} : { 6: ROUTER_IPV6 }),
  };
}
