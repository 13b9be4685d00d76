/**
 * What to ask of the cloud, so that the pool holds what its pods need: a pure function of what the pool holds, what the cloud says, what is needed,
 * the settings, and what stands in the way. It takes nothing that a pod has or had a moment ago, and the same facts give the same plan.
 */
import { blockLengthOf, blockSize, freePods, podsUsing } from "./capacity.ts";
import type { Plan, PlanInput, PoolCount } from "./facts.ts";
import { comingPods, type Growth, grow } from "./grow.ts";
import { shrink, unfinishedReleases } from "./shrink.ts";
import { hasTargets, targetOf } from "./target.ts";

/** As many as a block has. */
const AHEAD_MAX = 16;

export function plan(input: PlanInput): Plan {
  const count = countOf(input);
  const primary = input.view.interfaces.find(({ isPrimary }) => isPrimary);
  if (primary?.ownership === "foreign") {
    const limit = `the node's primary interface ${primary.id} is tagged as not ours, and pods cannot do without it`;
    return { actions: [], count, limit, limitCause: "primary-not-ours" };
  }
  const held = count.leased + count.cooling + count.free;
  const short = count.target - held - count.coming;
  const growth = growAhead(input, short, aheadOf(input, count));
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

/** No interface and no block is asked for only because of what may come. */
function growAhead(input: PlanInput, short: number, ahead: number): Growth {
  const base = grow(input, short);
  const block = blockSize(blockLengthOf(input, 4) ?? 32);
  const isOfBlocks = input.settings.unit === "block";
  const some = isOfBlocks ? 0 : Math.min(ahead, Math.max(0, block - input.settings.spare - 1 - short));
  if (some <= 0 || base.actions.length === 0) return base;
  const created = base.actions.filter(({ kind }) => kind === "create").length;
  const { actions } = grow(input, short + some);
  const creations = actions.filter(({ kind }) => kind === "create").slice(0, created);
  return { ...base, actions: [...actions.filter(({ kind }) => kind === "assign"), ...creations] };
}

/**
 * Pods to ask for beyond those that are short. A node that is up and needs more is mostly one whose pods are being replaced, which takes room for some
 * more of them at once; each call that brings only the next one is shared by the whole account. What is too much goes back in one call. A node that
 * has just begun is told of all its pods, and targets that somebody has set are kept to the letter. Not beyond the pods that kubelet accepts.
 */
function aheadOf(input: PlanInput, { target, cooling, leased }: PoolCount): number {
  if (input.isFresh || hasTargets(input.settings)) return 0;
  const wanted = Math.min(AHEAD_MAX, Math.max(input.ahead, Math.ceil(leased / 2)));
  return input.maxPods === undefined
    ? wanted
    : Math.max(0, Math.min(wanted, input.maxPods + cooling - target));
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
