import type { Clock } from "../../common/clock.ts";
import { describeError } from "../../common/errors.ts";
import type { MacAddress, SubnetId } from "../../common/ids.ts";
import { type Cidr, type Family, IpAddress } from "../../common/ip.ts";
import type { Logger } from "../../common/log.ts";
import type { CloudInterface, Subnet } from "../provider.ts";
import { listSubnets, networkCidrs } from "./api-network.ts";
import type { Ec2Client } from "./client.ts";
import { hintedNetwork, hintedRanges, networkText } from "./glance.ts";
import type { Imds } from "./imds.ts";
import type { Ec2Interface, Ec2Subnet } from "./schema.ts";

/**
 * The VPC's router answers here in every subnet with IPv6 (docs.aws.amazon.com, "IPv6 subnet default gateway router", 2022-11). Not in
 * fe80::/64, but link-local by type, so a route via it needs the device and no on-link flag (tried on 6.18).
 */
export const ROUTER_IPV6 = IpAddress.parse("fe80:ec2::1");

/** The router of IPv4 is the subnet's first address ("Subnet CIDR blocks", reserved addresses, docs.aws.amazon.com). */
const ROUTER_IPV4_OFFSET = 1;

/** How long an answer stands, a fifth more or less at random: nodes that began together do not ask together for ever. */
const KEEP_MS = 1_800_000;
/** For how long a new process goes by the metadata alone: nodes that start together would spend on this what all of them need. */
const START_MS = 300_000;
/** After a failure, and while the metadata tells another network than EC2 did: doubling until KEEP_MS. */
const DOUBT_MS = 60_000;
/** The metadata is one hop away or not there; a hint is not worth a longer wait. */
const HINT_MS = 1_000;

/**
 * Subnets and the network's CIDRs, which hardly ever change: at the start from the metadata where that is complete, then asked seldom, and as last told
 * when a look-up fails.
 */
export class NetworkFacts {
  private readonly ec2: Ec2Client;
  private readonly imds: Imds;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly subnets = new Map<SubnetId, Subnet>();
  /** When a subnet is asked about again, those included that EC2 did not show. */
  private readonly subnetDue = new Map<SubnetId, number>();
  private cidrs: readonly Cidr[] | undefined;
  private cidrsDue = 0;
  /** What the metadata told of the network when EC2 was last asked, and for how many answers in a row the two have differed. */
  private hint: string | undefined;
  private doubts = 0;
  private readonly startUntil: number;
  /** What only the metadata has told. */
  private readonly hintedSubnets = new Set<SubnetId>();
  private areHinted = false;

  constructor(parts: {
    readonly ec2: Ec2Client;
    readonly imds: Imds;
    readonly clock: Clock;
    readonly log: Logger;
  }) {
    this.ec2 = parts.ec2;
    this.imds = parts.imds;
    this.clock = parts.clock;
    this.log = parts.log;
    this.startUntil = parts.clock.now() + START_MS;
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
    for (const id of ids) {
      const inSubnet = interfaces.filter((one) => one.subnetId === id);
      this.doubtHint(id, inSubnet);
      if (this.isStarting && !this.subnetDue.has(id)) await this.takeHint(inSubnet, signal);
    }
    await this.look(ids, signal);
    const found = new Map(this.subnets);
    for (const one of interfaces) {
      // not kept: the metadata may know more the next time
      if (!found.has(one.subnetId)) found.set(one.subnetId, await this.hinted(one, signal));
    }
    return found;
  }

  /** These subnets, those left out that EC2 does not show or that could not be looked up. */
  async findSubnets(ids: readonly SubnetId[], signal: AbortSignal): Promise<readonly Subnet[]> {
    await this.look(ids, signal);
    return ids.flatMap((id) => this.subnets.get(id) ?? []);
  }

  /**
   * Whether an address of that family can be used in the subnet as soon as EC2 gives it. Not when only the metadata has told of the subnet, and not of
   * that family, which it may do while no interface has an address of it: then the next describe() asks EC2.
   */
  isTold(id: SubnetId, family: Family): boolean {
    const range = family === 4 ? this.subnets.get(id)?.ipv4 : this.subnets.get(id)?.ipv6;
    if (!this.hintedSubnets.has(id) || range !== undefined) return true;
    this.subnetDue.set(id, 0);
    if (this.areHinted) this.cidrsDue = 0;
    return false;
  }

  /** Takes note of subnets that another look-up told. */
  learn(subnets: readonly Ec2Subnet[]): void {
    const due = this.clock.now() + jittered(KEEP_MS);
    for (const { tags: _, ...subnet } of subnets) {
      this.subnets.set(subnet.id, subnet);
      this.subnetDue.set(subnet.id, due);
      this.hintedSubnets.delete(subnet.id);
    }
  }

  /**
   * As EC2 told them, asked again when the metadata tells others than it did then, and now and then; at the start as the metadata tells them, when
   * the interfaces' addresses are all inside. Throws when they were never told: what is inside the network decides about SNAT, and is not guessed.
   */
  async networkCidrs(
    interfaces: readonly Ec2Interface[],
    primaryMac: MacAddress,
    signal: AbortSignal,
  ): Promise<readonly Cidr[]> {
    const vpcId = interfaces.find((one) => one.mac === primaryMac)?.vpcId ?? "";
    const hinted = await this.networkHint(primaryMac, signal);
    const hint = hinted === undefined ? undefined : networkText(hinted);
    const inNetwork = interfaces.filter((one) => one.vpcId === vpcId);
    if (this.cidrs === undefined && this.isStarting && hinted !== undefined) {
      this.takeNetworkHint(hinted, inNetwork);
    }
    if (this.areHinted && !holdsAll(this.cidrs ?? [], inNetwork)) this.cidrsDue = 0;
    const isNews = hint !== undefined && hint !== this.hint;
    if (this.cidrs !== undefined && !isNews && this.clock.now() < this.cidrsDue) return this.cidrs;
    try {
      this.cidrs = await networkCidrs(this.ec2, vpcId, signal);
      this.areHinted = false;
      this.noteHint(hint ?? this.hint, isNews, this.cidrs);
    } catch (error) {
      if (this.cidrs === undefined || signal.aborted) throw error;
      this.cidrsDue = this.clock.now() + DOUBT_MS;
      this.log.warn({ err: error }, "network CIDRs not described; those known stay in force");
    }
    return this.cidrs;
  }

  /** Either may be the one that lags: while they differ EC2 is asked more often, and less so the longer it stays that way. */
  private noteHint(hint: string | undefined, isNews: boolean, cidrs: readonly Cidr[]): void {
    const agrees = hint === undefined || hint === networkText(cidrs);
    this.doubts = agrees ? 0 : isNews ? 1 : this.doubts + 1;
    this.hint = hint;
    const keepMs = agrees ? KEEP_MS : Math.min(KEEP_MS, DOUBT_MS * 2 ** (this.doubts - 1));
    this.cidrsDue = this.clock.now() + jittered(keepMs);
  }

  private async networkHint(mac: MacAddress, signal: AbortSignal): Promise<readonly Cidr[] | undefined> {
    try {
      return await hintedNetwork(this.imds, mac, hintSignal(signal));
    } catch {
      return undefined;
    }
  }

  private get isStarting(): boolean {
    return this.clock.now() < this.startUntil;
  }

  /** A subnet as the metadata of the first of its interfaces that has it complete tells it. */
  private async takeHint(inSubnet: readonly Ec2Interface[], signal: AbortSignal): Promise<void> {
    for (const one of inSubnet) {
      const ranges = await hintedRanges(this.imds, one.mac, hintSignal(signal)).catch(() => ({}));
      signal.throwIfAborted();
      if (!holdsAll(Object.values(ranges), inSubnet)) continue;
      this.subnets.set(one.subnetId, { id: one.subnetId, zone: one.zone, ...ranges });
      this.subnetDue.set(one.subnetId, this.startUntil);
      this.hintedSubnets.add(one.subnetId);
      return;
    }
  }

  private takeNetworkHint(hinted: readonly Cidr[], inNetwork: readonly Ec2Interface[]): void {
    if (!holdsAll(hinted, inNetwork)) return;
    this.cidrs = hinted;
    this.hint = networkText(hinted);
    this.cidrsDue = this.startUntil;
    this.areHinted = true;
  }

  /** Interfaces may have got addresses of a family of which the metadata told nothing. */
  private doubtHint(id: SubnetId, inSubnet: readonly Ec2Interface[]): void {
    const { ipv4, ipv6 } = this.subnets.get(id) ?? {};
    const ranges = [ipv4, ipv6].filter((range) => range !== undefined);
    if (this.hintedSubnets.has(id) && !holdsAll(ranges, inSubnet)) this.subnetDue.set(id, 0);
  }

  /** One call for all that are due, and none when none is. */
  private async look(ids: readonly SubnetId[], signal: AbortSignal): Promise<void> {
    const now = this.clock.now();
    const due = ids.filter((id) => (this.subnetDue.get(id) ?? now) <= now);
    if (due.length === 0) return;
    let keepMs = KEEP_MS;
    try {
      this.learn(await listSubnets(this.ec2, { "subnet-id": due }, signal));
    } catch (error) {
      signal.throwIfAborted();
      keepMs = DOUBT_MS;
      this.log.warn({ err: error }, "subnets not described; those known stay as they were");
    }
    const next = now + jittered(keepMs);
    for (const id of due) if ((this.subnetDue.get(id) ?? now) <= now) this.subnetDue.set(id, next);
  }

  private async hinted(one: Ec2Interface, signal: AbortSignal): Promise<Subnet> {
    const { subnetId: id, zone } = one;
    try {
      return { id, zone, ...(await hintedRanges(this.imds, one.mac, signal)) };
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

/** Whether every address is inside: a family that has none, or that the metadata left out, shows in no other way. */
function holdsAll(ranges: readonly Cidr[], interfaces: readonly Ec2Interface[]): boolean {
  const parts = interfaces.flatMap((one) => [...one.own, ...one.units]);
  return parts.length > 0 && parts.every((part) => ranges.some((range) => range.contains(part)));
}

function hintSignal(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(HINT_MS)]);
}

function jittered(ms: number): number {
  return ms * (0.8 + Math.random() * 0.4);
}
