/**
 * Taking units from one interface, those of each family and kind in a call of their own. EC2 takes all of a call or, when one of them is not there, none;
 * and its lists may still show what it took. So a call that is refused because something is gone is no failure yet, and one that may have acted is no refusal.
 */
import type { InterfaceId } from "../../common/ids.ts";
import type { Cidr } from "../../common/ip.ts";
import { CloudError } from "../errors.ts";
import { unassign } from "./api.ts";
import { saysSomeAreGone, wasRepeated } from "./errors.ts";
import type { AwsNode } from "./node.ts";

/** Pauses between looks while EC2 shows all of what it says is not all there: three seconds in all. */
const PAUSES_MS = [200, 400, 800, 1_600];

const OPERATION = "releaseUnits";

/**
 * Repeatable. An error has in `released` what is gone all the same; of the rest it is `unavailable` unless it is certain that nothing was taken, by this
 * call or by an earlier one whose outcome is not known.
 */
export async function releaseUnits(
  node: AwsNode,
  id: InterfaceId,
  units: readonly Cidr[],
  signal: AbortSignal,
): Promise<void> {
  const gone: Cidr[] = [];
  const note = (some: readonly Cidr[]) => {
    node.recent.released(id, some);
    gone.push(...some);
  };
  for (const some of kindsOf(units)) {
    try {
      await releaseKind(node, id, some, note, signal);
    } catch (error) {
      // whoever needs it next asks EC2
      node.forget(id);
      const rest = some.filter((unit) => !isAmong(gone, unit));
      throw judged(node, id, rest, error).afterReleasing(gone);
    }
  }
}

/** As they go into one call: of one family, addresses or blocks. */
function kindsOf(units: readonly Cidr[]): (readonly Cidr[])[] {
  const kinds = [4, 6].flatMap((family) => [
    units.filter((unit) => unit.family === family && unit.isSingle),
    units.filter((unit) => unit.family === family && !unit.isSingle),
  ]);
  return kinds.filter((some) => some.length > 0);
}

/** Asks, and again for what is left as long as that gets less. `note` is told what is gone. */
async function releaseKind(
  node: AwsNode,
  id: InterfaceId,
  units: readonly Cidr[],
  note: (gone: readonly Cidr[]) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let asked = units; asked.length > 0; ) {
    try {
      await unassign(node.ec2, id, asked, signal);
      return note(asked);
    } catch (error) {
      if (!saysSomeAreGone(error)) throw error;
      const left = await leftOf(node, id, asked, error, signal);
      note(asked.filter((unit) => !isAmong(left, unit)));
      asked = left;
    }
  }
}

/** What EC2 still shows of them, fewer than all. Throws when it goes on showing all. */
async function leftOf(
  node: AwsNode,
  id: InterfaceId,
  asked: readonly Cidr[],
  refusal: unknown,
  signal: AbortSignal,
): Promise<readonly Cidr[]> {
  // that they were added lately says nothing any more
  node.recent.doubted(id, asked);
  for (const pauseMs of [...PAUSES_MS, undefined]) {
    const left = await shownOf(node, id, asked, signal);
    if (left !== undefined && left.length < asked.length) return left;
    if (pauseMs !== undefined) await node.clock.sleep(pauseMs * (0.8 + Math.random() * 0.4), signal);
  }
  throw refusal;
}

/** Undefined: a look that fails shows nothing. */
async function shownOf(
  node: AwsNode,
  id: InterfaceId,
  asked: readonly Cidr[],
  signal: AbortSignal,
): Promise<readonly Cidr[] | undefined> {
  try {
    const now = await node.find(id, signal);
    return asked.filter((unit) => isAmong(now?.units ?? [], unit));
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** The error as the caller may take it: a code that says that nothing was taken only where that is so. */
function judged(node: AwsNode, id: InterfaceId, rest: readonly Cidr[], error: unknown): CloudError {
  const mayBeGone = rest.some((unit) => node.recent.isDoubted(id, unit));
  const isKnown = error instanceof CloudError && error.code !== "unavailable";
  if (isKnown && !mayBeGone && !wasRepeated(error)) return error;
  node.recent.doubted(id, rest);
  if (error instanceof CloudError) return error.asUnavailable("an earlier try may have acted");
  const message = `${OPERATION}: given up, the outcome is unknown`;
  return new CloudError("unavailable", message, { operation: OPERATION, cause: error });
}

function isAmong(units: readonly Cidr[], unit: Cidr): boolean {
  return units.some((other) => other.equals(unit));
}
