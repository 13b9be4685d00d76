import type { InterfaceId } from "../common/ids.ts";
import type { CloudInterface } from "../providers/provider.ts";

/**
 * Which interfaces of the cloud's list may be what a running creation makes. A list can show one before its creation has ended: counted as both, it would
 * hide what is still short; and counted as neither, another would be made in its place.
 */
export class BeingMade {
  private readonly ids = new Set<InterfaceId>();

  /** The cloud lists these; `before` were known, and creations run or not. */
  listed(
    interfaces: readonly CloudInterface[],
    before: readonly CloudInterface[],
    isCreating: boolean,
  ): void {
    if (!isCreating) this.ids.clear();
    else for (const { id } of interfaces) if (!before.some((known) => known.id === id)) this.ids.add(id);
  }

  /** Its creation has ended. */
  made(id: InterfaceId): void {
    this.ids.delete(id);
  }

  /** None once nothing is being created. */
  now(isCreating: boolean): ReadonlySet<InterfaceId> {
    return isCreating ? this.ids : new Set();
  }
}
