/**
 * The seam between the daemon and a cloud. What differs between clouds is data (Capabilities) or hidden behind these calls;
 * the daemon never asks which cloud it runs on. Addresses and blocks are units: prefixes that the cloud routes to one interface.
 *
 * Contract, for every call: it takes an AbortSignal and honours it promptly; it throws only CloudError (errors.ts); it is safe from
 * several callers at once, but the daemon has one writer per interface; an answer that was lost is never repeated blindly: after an
 * error whose outcome is unknown (`unavailable`) describe() tells what happened.
 */
import type { InstanceId, InterfaceId, MacAddress, PoolKey, SubnetId } from "../common/ids.ts";
import type { Cidr, Family, IpAddress } from "../common/ip.ts";

/** This node, from the metadata service. */
export type NodeIdentity = {
  readonly instanceId: InstanceId;
  readonly instanceType: string;
  readonly region: string;
  readonly zone: string;
  /** The primary interface is found by this, never by position or device index. */
  readonly primaryMac: MacAddress;
};

/** What this node's instance can carry, from the cloud. */
export type Capabilities = {
  /** Network cards that can carry pods. Others are in `skippedCards`, with the reason. */
  readonly cards: readonly { readonly index: number; readonly interfacesMax: number }[];
  readonly skippedCards: readonly { readonly index: number; readonly reason: string }[];
  /** Units of one family on one interface: of IPv4 beside the interface's own address, of IPv6 with any that it has of its own. */
  readonly unitsPerInterface: Readonly<Record<Family, number>>;
  /** Prefix lengths that can be had, smallest unit first: AWS [32, 28] and [128, 80]. */
  readonly unitLengths: Readonly<Record<Family, readonly number[]>>;
  /** Interfaces can be added to a running instance. */
  readonly canAddInterfaces: boolean;
  /** A single unit can be given back without disturbing others. */
  readonly canReleaseUnits: boolean;
};

/** What instances of one type can carry, told without a node. */
export type InstanceTypeFacts = {
  readonly instanceType: string;
  readonly capabilities: Capabilities;
  /** As many pods as the cloud's own managed nodes run at most, whatever their addresses. */
  readonly podsAdvised: number;
};

/** Whose an interface is; see "Whose is what in the cloud" in docs/clouds. */
export type Ownership =
  /** It carries our tag: ours whole. */
  | "ours"
  /** The node's primary: units are added and removed, nothing else is ever changed. */
  | "shared"
  /** Never written to, in the cloud or on the host. */
  | "foreign";

export type Subnet = {
  readonly id: SubnetId;
  readonly zone: string;
  readonly ipv4?: Cidr;
  readonly ipv6?: Cidr;
  /** As the cloud counted them, minutes ago perhaps; absent when it does not say. */
  readonly freeIpv4?: number;
};

/** An interface of this node as the cloud sees it. */
export type CloudInterface = {
  readonly id: InterfaceId;
  readonly mac: MacAddress;
  readonly subnet: Subnet;
  readonly isPrimary: boolean;
  readonly ownership: Ownership;
  /** `attaching` until the instance can use it; only `attached` ones can carry pods. */
  readonly state: "detached" | "attaching" | "attached" | "detaching";
  readonly deviceIndex?: number;
  readonly cardIndex: number;
  /** The interface's own addresses, which a pod never gets. By the cloud's flag, never by position. */
  readonly own: readonly IpAddress[];
  /** Addresses and blocks that pods may use, foreign ones left out. Sorted. */
  readonly units: readonly Cidr[];
  /** On this interface but not ours to give or take: there before we managed it. */
  readonly foreignUnits: readonly Cidr[];
  readonly gateways: Readonly<Partial<Record<Family, IpAddress>>>;
  readonly poolKey: PoolKey;
};

/** What the cloud says now. The truth about addresses; metadata is only a hint. */
export type CloudView = {
  readonly interfaces: readonly CloudInterface[];
  /** The network's own CIDRs, both families, those in state associated only. */
  readonly networkCidrs: readonly Cidr[];
};

/** Which subnets a new interface may be in, all of the node's zone. */
export type SubnetChoice =
  /** The node's own first, then others of the same route table, the one with most free addresses first. */
  | { readonly by: "node" }
  /** In this order. */
  | { readonly by: "ids"; readonly ids: readonly SubnetId[] }
  /** Those with every one of these tags, the one with most free addresses first. An empty value stands for any. */
  | { readonly by: "tags"; readonly tags: ReadonlyMap<string, string> };

export type CreateInterface = {
  readonly poolKey: PoolKey;
  readonly subnets: SubnetChoice;
  /** Subnets that are not tried: they said lately that they are full. */
  readonly avoid: readonly SubnetId[];
  /** Empty: the groups of the primary interface. */
  readonly securityGroupIds: readonly string[];
  readonly cardIndex: number;
  /** Units to have from the start, in as few calls as the cloud allows. */
  readonly units: readonly UnitRequest[];
  /** The same token asks for the same interface, also after a crash: at most one is made. */
  readonly token: string;
};

/** `count` units of one size. */
export type UnitRequest = { readonly family: Family; readonly prefixLength: number; readonly count: number };

/** One cloud network, seen from one node. */
export interface CloudNetwork {
  readonly name: "aws" | "azure" | "gcp" | "fake";
  /** From the metadata service; cached after the first success. */
  identify(signal: AbortSignal): Promise<NodeIdentity>;
  /** From the cloud's API; cached after the first success. */
  capabilities(signal: AbortSignal): Promise<Capabilities>;
  /**
   * Every interface that is attached to this node, and the network's CIDRs, consistently paged. What we made and is not attached may be there too.
   * Changes nothing.
   */
  describe(signal: AbortSignal): Promise<CloudView>;
  /**
   * What the metadata service shows of this node's interfaces and units, as one text: costs no call of the API, so it may be asked often. A text that
   * differs from the last one says that describe() should be asked; an equal one says little. Undefined where a cloud has no such thing.
   */
  glance(signal: AbortSignal): Promise<string | undefined>;
  /**
   * Creates and attaches an interface that goes with the instance (delete on termination), tagged ours in the creating call. Repeatable with
   * the same token after any failure: what an earlier try left is adopted; what one with another token left unattached is removed. Resolves when the cloud says attached or
   * attaching. A subnet that is full is left for the next one of the choice; throws `subnet-exhausted` or `no-free-block` when none is left, with
   * the subnets that were full or to be avoided in `subnetIds`; not those that were passed over because they have some addresses, but too few.
   */
  createInterface(request: CreateInterface, signal: AbortSignal): Promise<CloudInterface>;
  /**
   * Detaches and deletes an interface of ours. Idempotent. Throws `not-ours` for any other. After an error other than `unavailable` it is attached as
   * before; after `unavailable` it may be detached, and its units of no use: what is left of it goes with the next call of this, or of createInterface().
   */
  deleteInterface(id: InterfaceId, signal: AbortSignal): Promise<void>;
  /**
   * Adds units of several sizes and families, each size of a family in one request at most, in their order, and gives those that are new. May give
   * fewer than asked for. Throws `subnet-exhausted` or `no-free-block` with the subnet. The first request that fails ends the call: those after it are not
   * tried, and what those before it added is in the error's `added` and is the caller's as if it had been given. Not repeatable blindly: describe first.
   */
  assignUnits(
    id: InterfaceId,
    requests: readonly UnitRequest[],
    signal: AbortSignal,
  ): Promise<readonly Cidr[]>;
  /**
   * Gives units back, those of each family and kind in one request. Idempotent. Never called with one that a pod has, nor with a foreign one. The first
   * request that fails ends the call: what those before it gave back is in the error's `released`. Of the others nothing is gone, unless the error is
   * `unavailable`: then it is not known, also when only an earlier call for the same units may have acted.
   */
  releaseUnits(id: InterfaceId, units: readonly Cidr[], signal: AbortSignal): Promise<void>;
  /**
   * Deletes interfaces that crashes left: unattached, with our cluster's tag, seen so by two calls at least ten minutes apart; of another node only when
   * its instance is terminated or unknown to the cloud as well. Gives those deleted. Repeatable.
   */
  removeLeaks(signal: AbortSignal): Promise<readonly InterfaceId[]>;
}
