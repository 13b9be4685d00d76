/**
 * Adding units to one interface. AssignPrivateIpAddresses has no idempotency token, and its reply is not to be relied on: it may be lost, and some
 * implementations name every address of the interface. So EC2 is asked what the interface has afterwards, and what is new there was added.
 */
import type { Cidr } from "../../common/ip.ts";
import { CloudError } from "../errors.ts";
import type { UnitRequest } from "../provider.ts";
import { assign, isSingle } from "./api.ts";
import { inSubnet } from "./errors.ts";
import type { AwsNode } from "./node.ts";
import type { Ec2Interface } from "./schema.ts";

/** Pauses between looks while EC2 shows the interface as it was: three seconds in all. */
const PAUSES_MS = [200, 400, 800, 1_600];

/**
 * Sends the call once and gives what is new, sorted; `one` is the interface as it was before. While describe lags for longer than we wait, the
 * reply is believed if it names exactly as many new units as were asked for; otherwise the outcome is `unavailable`, and a later describe tells.
 */
export async function assignUnits(
  node: AwsNode,
  one: Ec2Interface,
  request: UnitRequest,
  signal: AbortSignal,
): Promise<readonly Cidr[]> {
  const named = await send(node, one, request, signal);
  const isNew = (unit: Cidr) =>
    isOfSize(unit, request) &&
    !one.own.some((own) => unit.contains(own)) &&
    !one.units.some((known) => known.equals(unit));
  const isShown = (unit: Cidr) => {
    // an answer of the time before may show what was just given back; EC2 may also have given it out again
    const isOld = node.recent.isJustReleased(one.id, unit) && !named.some((other) => other.equals(unit));
    return isNew(unit) && !isOld;
  };
  // whoever gives up from here on leaves something that is not known
  node.forget(one.id);
  const added = await confirmed(node, one, request, signal, isShown);
  if (added.length >= request.count) return note(node, one, added);
  const believed = named.filter(isNew);
  if (believed.length === request.count) return note(node, one, believed);
  if (added.length > 0) return note(node, one, added);
  node.forget(one.id);
  const operation = operationOf(request);
  const message = `${operation}: ${one.id} does not show what was added yet`;
  throw new CloudError("unavailable", message, { operation });
}

/** What the reply names. After a failure nothing is known of the interface any more. */
async function send(
  node: AwsNode,
  one: Ec2Interface,
  request: UnitRequest,
  signal: AbortSignal,
): Promise<readonly Cidr[]> {
  try {
    return await assign(node.ec2, one.id, request, signal);
  } catch (error) {
    node.forget(one.id);
    throw inSubnet(error, { subnetId: one.subnetId, blocks: !isSingle(request) });
  }
}

/** The new units that EC2 shows, as soon as these are as many as were asked for; at the end of our patience those that it shows. */
async function confirmed(
  node: AwsNode,
  one: Ec2Interface,
  request: UnitRequest,
  signal: AbortSignal,
  isNew: (unit: Cidr) => boolean,
): Promise<readonly Cidr[]> {
  for (let looks = 0; ; looks += 1) {
    const shown = ((await look(node, one, signal))?.units ?? []).filter(isNew);
    const pauseMs = PAUSES_MS[looks];
    if (shown.length >= request.count || pauseMs === undefined) return shown;
    await node.clock.sleep(pauseMs * (0.8 + Math.random() * 0.4), signal);
  }
}

/** A look that fails shows nothing: the reply may still say enough. */
async function look(
  node: AwsNode,
  one: Ec2Interface,
  signal: AbortSignal,
): Promise<Ec2Interface | undefined> {
  try {
    return await node.find(one.id, signal);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

function note(node: AwsNode, one: Ec2Interface, added: readonly Cidr[]): readonly Cidr[] {
  node.recent.assigned(one.id, added);
  node.learn({ ...one, units: [...one.units, ...added].sort((a, b) => a.compare(b)) });
  return [...added].sort((a, b) => a.compare(b));
}

function operationOf({ family }: UnitRequest): string {
  return family === 4 ? "AssignPrivateIpAddresses" : "AssignIpv6Addresses";
}

/** Whether a unit is of the size that is asked for. */
export function isOfSize(
  unit: { readonly family: number; readonly prefixLength: number },
  wanted: Pick<UnitRequest, "family" | "prefixLength">,
): boolean {
  return unit.family === wanted.family && unit.prefixLength === wanted.prefixLength;
}
