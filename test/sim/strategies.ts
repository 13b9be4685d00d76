import type { Strategy } from "./fleet.ts";
import { VpcCniCalls } from "./vpc-cni/calls.ts";
import { VpcCniNode } from "./vpc-cni/ipamd.ts";
import type { VpcCniSettings } from "./vpc-cni/targets.ts";

/** amazon-vpc-cni with those settings. */
export function vpcCni(name: string, settings: VpcCniSettings): Strategy {
  return {
    name,
    build: (deps) =>
      new VpcCniNode({ ...deps, settings, type: deps.instance.type, calls: new VpcCniCalls(deps) }),
  };
}

/** Its default, and what its documentation advises where addresses are few. */
export const BASELINES = {
  "warm-eni": vpcCni("warm-eni", { warmEni: 1, warmIp: 0, minimumIp: 0 }),
  "warm-ip": vpcCni("warm-ip", { warmEni: 1, warmIp: 2, minimumIp: 10 }),
} as const satisfies Record<string, Strategy>;

export type BaselineName = keyof typeof BASELINES;
export const BASELINE_NAMES = Object.keys(BASELINES) as readonly BaselineName[];
