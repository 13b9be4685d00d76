/** What a plan is made from, and what it is: values, all of one moment. */
import type { InterfaceId, PoolKey, SubnetId } from "../../common/ids.ts";
import type { Cidr, Family } from "../../common/ip.ts";
import type { Capabilities, CloudView, SubnetChoice, UnitRequest } from "../../providers/provider.ts";
import type { PoolSettings } from "../settings.ts";

/** A unit that an uplink holds, and what its addresses do. */
export type UnitFact = {
  readonly unit: Cidr;
  readonly leased: number;
  readonly cooling: number;
  /** Addresses that could be given now; saturates at 2^53 - 1. */
  readonly free: number;
  /** Nothing is given of it for now: whether the cloud still has it here is in doubt. */
  readonly isAside: boolean;
  /** How long none of its addresses has been leased or cooling; 0 while one is. */
  readonly idleMs: number;
};

/** An uplink's part of the pool. */
export type Shelf = {
  readonly slot: number;
  readonly interfaceId: InterfaceId;
  readonly units: readonly UnitFact[];
  /** On their way back to the cloud. */
  readonly releasing: readonly Cidr[];
  /** How long no address of it has been leased or cooling; 0 while one is. */
  readonly idleMs: number;
};

/** What stands in the way for now, as the cloud's answers have shown. Each ends by itself. */
export type Obstacles = {
  readonly fullSubnets: ReadonlySet<SubnetId>;
  /** Subnets that refused more addresses at once than these. */
  readonly subnetAtMost: ReadonlyMap<SubnetId, number>;
  /** The same of new interfaces, in whichever subnet. */
  readonly creationAtMost: number | undefined;
  /** Subnets without an aligned range for a block. */
  readonly blocklessSubnets: ReadonlySet<SubnetId>;
  /** No subnet has a block, or the choice of subnets is used up. */
  readonly noBlocks: boolean;
  /** Interfaces that take no more units, though the instance's limits would let them. */
  readonly fullInterfaces: ReadonlySet<InterfaceId>;
  /** Why none can be created. */
  readonly noCreation: string | undefined;
  /** Why the cloud is asked for nothing more. */
  readonly noGrowth: string | undefined;
  /** Why nothing is given back. */
  readonly noRelease: string | undefined;
};

export type PlanInput = {
  readonly key: PoolKey;
  readonly families: readonly Family[];
  /** Pods that are bound to this node or ask for an address, and have none. */
  readonly pending: number;
  /** Pods are known before they ask. */
  readonly isAnnounced: boolean;
  /** The node has just begun: where pods are announced, the first of them bring the spare with them, in one call. */
  readonly isFresh: boolean;
  /** Pods to ask for beyond what is short, whenever something is: where one call has just followed another, the next would follow soon. */
  readonly ahead: number;
  /** Pods that kubelet accepts; undefined while nobody has told. */
  readonly maxPods: number | undefined;
  readonly settings: PoolSettings;
  readonly shelves: readonly Shelf[];
  readonly view: CloudView;
  readonly capabilities: Capabilities;
  /** Interfaces that carried pods and whose link is gone from this host: nothing is asked of them. */
  readonly lost: ReadonlySet<InterfaceId>;
  /** Interfaces that should have shown their link long ago: nothing is expected of them any more. */
  readonly overdue: ReadonlySet<InterfaceId>;
  readonly obstacles: Obstacles;
  /** What has been begun and is not done. */
  readonly running: readonly Action[];
  /** Interfaces in the view that may be what running creations make: each counts once. */
  readonly beingMade: ReadonlySet<InterfaceId>;
};

export type Action =
  | { readonly kind: "assign"; readonly interfaceId: InterfaceId; readonly requests: readonly UnitRequest[] }
  | {
      readonly kind: "create";
      readonly key: PoolKey;
      readonly subnets: SubnetChoice;
      readonly avoid: readonly SubnetId[];
      readonly cardIndex: number;
      readonly units: readonly UnitRequest[];
    }
  | { readonly kind: "release"; readonly interfaceId: InterfaceId; readonly units: readonly Cidr[] }
  /** With what it holds. */
  | { readonly kind: "delete"; readonly interfaceId: InterfaceId; readonly units: readonly Cidr[] };

/** In pods, each with one address of every family. */
export type PoolCount = {
  readonly leased: number;
  readonly cooling: number;
  readonly pending: number;
  readonly free: number;
  /** What has been asked for, and is not here yet. */
  readonly coming: number;
  /** To be held in all. */
  readonly target: number;
  /** Of the target: beyond what pods have, need, or had a moment ago. */
  readonly spare: number;
};

/** What keeps the target from being reached. `growth` and `creation`: an obstacle, or the operator's brake. */
export type LimitCause =
  | "growth"
  | "creation"
  | "full-subnet"
  | "instance-full"
  | "interface-not-shown"
  | "primary-not-ours";

export type Plan = {
  readonly actions: readonly Action[];
  readonly count: PoolCount;
  /** Why the target is not reached, and nothing more can be done. Absent when it is, or will be. */
  readonly limit?: string;
  /** The same for programs. */
  readonly limitCause?: LimitCause;
};
