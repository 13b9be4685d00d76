/** CHECK: whether a pod's network is still what its ADD made. Looks, and changes nothing. CNI SPEC 1.1.0, section 2. */
import type { Attachment } from "../common/ids.ts";
import type { Rule } from "../common/kernel/rules.ts";
import type { AddDeps } from "./add.ts";
import { type Difference, firstDifference } from "./compare.ts";
import { CniError } from "./errors.ts";
import type { Lease } from "./ipam.ts";
import { readPodFacts } from "./pod-facts.ts";
import { planPodNetwork } from "./pod-network.ts";
import type { PrevResult } from "./prev-result.ts";

export type CheckDeps = AddDeps & {
  /** Rules of the node that this pod's packets need. */
  readonly rulesOf: (lease: Lease) => readonly Rule[];
};

export type CheckRequest = {
  readonly attachment: Attachment;
  readonly netnsPath: string;
  readonly prevResult?: PrevResult;
};

/**
 * Throws CniError 7 without a prevResult, CniError 100 naming the first difference, or KernelError for the namespace's path. Waits while an ADD or DEL of the
 * attachment runs.
 */
export function checkPod(deps: CheckDeps, request: CheckRequest, signal: AbortSignal): Promise<void> {
  return deps.desk.between(request.attachment, signal, () => {
    const difference = look(deps, request);
    if (difference === undefined) return;
    const { object, expected, actual } = difference;
    throw new CniError("datapath", `CHECK: ${object}: expected ${expected}, found ${actual}`);
  });
}

function look(deps: CheckDeps, { attachment, netnsPath, prevResult }: CheckRequest): Difference | undefined {
  if (prevResult === undefined)
    throw new CniError("invalidConfig", "CHECK: prevResult is missing in the network configuration");
  const lease = deps.ipam.find(attachment);
  const { containerId, ifname } = attachment;
  if (lease === undefined)
    return {
      object: `lease of container ${containerId} interface ${ifname}`,
      expected: "one",
      actual: "none",
    };
  const network = planPodNetwork(lease);
  using netns = deps.kernel.netns.open(netnsPath);
  const facts = readPodFacts(deps.kernel, network, netns);
  return firstDifference({ lease, network, rules: deps.rulesOf(lease), prevResult }, facts);
}
