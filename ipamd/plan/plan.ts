/**
 * What to ask of the cloud, so that the pool holds what its pods need: a pure function of what the pool holds, what the cloud says, what is needed,
 * the settings, and what stands in the way. It takes nothing that a pod has or had a moment ago, and the same facts give the same plan.
 */
import { blockLengthOf, blockSize, freePods, podsUsing } from "./capacity.ts";
import type { Plan, PlanInput, PoolCount } from "./facts.ts";
import { comingPods, grow } from "./grow.ts";
import { shrink, unfinishedReleases } from "./shrink.ts";
import { targetOf } from "./target.ts";

export function plan(input: PlanInput): Plan {
  const count = countOf(input);
  const primary = input.view.interfaces.find(({ isPrimary }) => isPrimary);
  if (primary?.ownership === "foreign") {
    const limit = `the node's primary interface ${primary.id} is tagged as not ours, and pods cannot do without it`;
    return { actions: [], count, limit, limitCause: "primary-not-ours" };
  }
  const held = count.leased + count.cooling + count.free;
  const short = count.target - held - count.coming;
  const growth = grow(input, short > 0 ? short + aheadOf(input, count) : 0);
  const isGrowing = growth.actions.length > 0 || count.coming > 0;
  const again = unfinishedReleases(input);
  const busy = new Set(again.map((action) => (action.kind === "create" ? undefined : action.interfaceId)));
  const actions = [
    ...growth.actions.filter((action) => action.kind === "create" || !busy.has(action.interfaceId)),
    ...again,
    ...(isGrowing || again.length > 0 ? [] : shrink(input, held - count.target)),
  ];
  const { limit } = growth;
  return { actions, count, ...(limit && { limit: limit.text, limitCause: limit.cause }) };
}

/** Only where pods are being replaced: a node that fills up is told of all of them. Not beyond the pods that kubelet accepts. */
function aheadOf({ ahead, maxPods }: PlanInput, { target, cooling }: PoolCount): number {
  if (cooling === 0) return 0;
  return maxPods === undefined ? ahead : Math.max(0, Math.min(ahead, maxPods + cooling - target));
}

function countOf(input: PlanInput): PoolCount {
  const { shelves, families, pending, maxPods, isAnnounced, settings, capabilities } = input;
  const leased = podsUsing(shelves, families, "leased");
  const cooling = podsUsing(shelves, families, "cooling");
  const block = blockSize(blockLengthOf(input, 4) ?? 32);
  const each = settings.unit === "block" ? block : 1;
  const sizes = { block, interface: capabilities.unitsPerInterface[families[0] ?? 4] * each };
  const isUntouched = isAnnounced && input.isFresh && leased + cooling + pending === 0;
  const target = isUntouched
    ? { total: 0, spare: 0 }
    : targetOf({ leased, cooling, pending, maxPods, isAnnounced }, settings, sizes);
  return {
    leased,
    cooling,
    pending,
    free: freePods(shelves, families),
    coming: comingPods(input),
    target: target.total,
    spare: target.spare,
  };
}
