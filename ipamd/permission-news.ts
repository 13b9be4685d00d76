/** What to tell of permissions that the node's role lacks: each action once an hour. No I/O and no clock. */
import { describeError } from "../common/errors.ts";
import { CloudError } from "../providers/errors.ts";
import type { KubeEvent } from "./kube/events.ts";

const AGAIN_AFTER_MS = 3_600_000;

export class PermissionNews {
  private readonly toldAt = new Map<string, number>();

  /** An event when a call failed for lack of a permission, and this was not told within the hour. */
  failed(error: unknown, now: number): KubeEvent | undefined {
    if (!(error instanceof CloudError) || error.code !== "unauthorized") return undefined;
    const action = error.permission ?? error.operation;
    const before = this.toldAt.get(action);
    if (before !== undefined && now - before < AGAIN_AFTER_MS) return undefined;
    this.toldAt.set(action, now);
    const message = `the node's role may not ${action}, which the pool needs: grant it (${describeError(error)})`;
    return { type: "Warning", reason: "NoPermission", message, about: action };
  }
}
