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

/** One request that EC2 has confirmed, and what its reply names. */
type Sent = { readonly request: UnitRequest; readonly named: readonly Cidr[] };

/**
 * Sends each request once, in their order until one fails, looks once for all of them, and gives what is new, sorted; `one` is the interface as it was
 * before. While describe lags for longer than we wait, a reply is believed if it names exactly as many new units as were asked for; otherwise the outcome
 * is `unavailable`, and a later describe tells. An error has in `added` what the other requests have added.
 */
export async function assignUnits(
  node: AwsNode,
  one: Ec2Interface,
  requests: readonly UnitRequest[],
  signal: AbortSignal,
): Promise<readonly Cidr[]> {
  const { sent, failure } = await sendAll(node, one, requests, signal);
  if (failure !== undefined && sent.length === 0) throw failure;
  // whoever gives up from here on leaves something that is not known
  node.forget(one.id);
  const shown = await confirmed(node, one, sent, signal);
  const added = sent.map((each) => addedBy(one, each, shown));
  const all = note(node, one, added.flat());
  const untold = sent.find((_, index) => added[index]?.length === 0);
  if (failure === undefined && untold === undefined) return all;
  node.forget(one.id);
  throw (failure ?? notShown(one, untold?.request)).afterAdding(all);
}

async function sendAll(
  node: AwsNode,
  one: Ec2Interface,
  requests: readonly UnitRequest[],
  signal: AbortSignal,
): Promise<{ readonly sent: readonly Sent[]; readonly failure?: CloudError }> {
  const sent: Sent[] = [];
  for (const request of requests) {
    try {
      sent.push({ request, named: await send(node, one, request, signal) });
    } catch (error) {
      if (!(error instanceof CloudError)) throw error;
      return { sent, failure: error };
    }
  }
  return { sent };
}

/** Those that the reply names if they are as many as asked for, else those that EC2 shows: somebody else may have added some. Empty: neither tells. */
function addedBy(one: Ec2Interface, { request, named }: Sent, shown: readonly Cidr[]): readonly Cidr[] {
  const believed = named.filter((unit) => isNew(one, request, unit));
  if (believed.length === request.count) return believed;
  const added = shown.filter((unit) => isNew(one, request, unit));
  const isNamed = (unit: Cidr) => believed.some((other) => other.equals(unit));
  const namedFirst = [...added.filter(isNamed), ...added.filter((unit) => !isNamed(unit))];
  return namedFirst.slice(0, request.count);
}

function isNew(one: Ec2Interface, request: UnitRequest, unit: Cidr): boolean {
  return (
    isOfSize(unit, request) &&
    !one.own.some((own) => unit.contains(own)) &&
    !one.units.some((known) => known.equals(unit))
  );
}

function notShown(one: Ec2Interface, request: UnitRequest | undefined): CloudError {
  const operation = request?.family === 6 ? "AssignIpv6Addresses" : "AssignPrivateIpAddresses";
  const message = `${operation}: ${one.id} does not show what was added yet`;
  return new CloudError("unavailable", message, { operation });
}

/** What the reply names. After a failure nothing is known of the interface any more. */
async function send(
  node: AwsNode,
  one: Ec2Interface,
  request: UnitRequest,
  signal: AbortSignal,
): Promise<readonly Cidr[]> {
  try {
    const named = await assign(node.ec2, one.id, request, signal);
    // EC2 may have given out again what was just given back
    const fresh = named.filter((unit) => isNew(one, request, unit));
    node.recent.named(one.id, fresh);
    return named;
  } catch (error) {
    node.forget(one.id);
    throw inSubnet(error, { subnetId: one.subnetId, blocks: !isSingle(request) });
  }
}

/** All that EC2 shows, as soon as of each request as many are new as were asked for, or at the end of our patience. */
async function confirmed(
  node: AwsNode,
  one: Ec2Interface,
  sent: readonly Sent[],
  signal: AbortSignal,
): Promise<readonly Cidr[]> {
  for (let looks = 0; ; looks += 1) {
    const shown = (await look(node, one, signal))?.units ?? [];
    const isWhole = sent.every(
      ({ request }) => shown.filter((unit) => isNew(one, request, unit)).length >= request.count,
    );
    const pauseMs = PAUSES_MS[looks];
    if (isWhole || pauseMs === undefined) return shown;
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

/** Whether a unit is of the size that is asked for. */
export function isOfSize(
  unit: { readonly family: number; readonly prefixLength: number },
  wanted: Pick<UnitRequest, "family" | "prefixLength">,
): boolean {
  return unit.family === wanted.family && unit.prefixLength === wanted.prefixLength;
}
