import type { InterfaceId } from "../common/ids.ts";
import type { Cidr } from "../common/ip.ts";
import type { CloudInterface, CloudView } from "../providers/provider.ts";

/** The node's side of what the cloud gives and takes: links, journal, pool and leases. Everything is repeatable. */
export interface PoolHost {
  /** Brings an answer of the cloud onto this host. Throws KernelError; what was done stays, and the next call goes on from there. */
  adopt(view: CloudView, signal: AbortSignal): Promise<void>;
  /** An interface that an earlier answer, or its creation, has told of. True when its link is here, and it carries pods from now on. */
  arrived(one: CloudInterface): Promise<boolean>;
  /** Units that the cloud has just given to an interface of ours. */
  holdUnits(id: InterfaceId, units: readonly Cidr[]): void;
  /** From now on no address of them is given. Gives those that are on their way: one that is in use by now stays. */
  startRelease(id: InterfaceId, units: readonly Cidr[]): readonly Cidr[];
  /** The cloud has refused to take them: they are free to give again. */
  cancelRelease(id: InterfaceId, units: readonly Cidr[]): void;
  /** The cloud has taken them back by its own word. They are forgotten a settling time later. */
  released(id: InterfaceId, units: readonly Cidr[]): void;
  /** Forgets what was released long enough ago, and what is held and neither wanted nor used. Cheap. */
  forgetReleased(): void;
  /** When forgetReleased() has something to do; undefined: nothing is on its way back. */
  readonly nextForgetAt: number | undefined;
  /** It is about to be deleted, and holds nothing that pods use: nothing goes by it any more, and its link's end is nobody's damage. Throws KernelError. */
  interfaceLeaving(id: InterfaceId): Promise<void>;
  /** Its deletion has failed: it is as before. Throws KernelError. */
  interfaceStays(id: InterfaceId): Promise<void>;
  /** The cloud has deleted it by its own word: everything of it is forgotten. */
  interfaceDeleted(id: InterfaceId): void;
  /** Interfaces that carried pods and whose link is not on this host now. */
  lostInterfaces(): ReadonlySet<InterfaceId>;
  /** How soon the cloud should be asked again because of what is in doubt, in milliseconds since it was asked last; undefined: no such thing. */
  askAgainAfterMs(): number | undefined;
}
