import { expect, test } from "vitest";
import { HOSTILE } from "../cloudsim/vpc/index.ts";
import type { LabSpec } from "./lab.ts";
import { runMatrix } from "./matrix.ts";
import { formatOutcome } from "./world.ts";

const HOSTS = [
  { name: "rp_filter 1", profile: HOSTILE },
  { name: "rp_filter 0", profile: { rpFilter: 0, forward: "accept" } },
  { name: "rp_filter 2", profile: { rpFilter: 2, forward: "accept" } },
  { name: "rp_filter 1 and FORWARD DROP", profile: { rpFilter: 1, forward: "drop" } },
] as const;

const PROFILES: readonly (LabSpec & { name: string })[] = [
  ...HOSTS.flatMap(({ name, profile }, index) =>
    (["iptables", "nftables"] as const).map((kubeProxy) => ({
      name: `${name}, kube-proxy in ${kubeProxy} mode`,
      id: `m${index}${kubeProxy[0]}`,
      profile,
      kubeProxy,
    })),
  ),
  ...(["iptables", "nftables"] as const).flatMap((kubeProxy) => [
    ...(["p0", "p2"] as const).map((swapped) => ({
      name: `NodePorts to ${swapped}, kube-proxy in ${kubeProxy} mode`,
      id: `m${swapped}${kubeProxy[0]}`,
      profile: HOSTILE,
      kubeProxy,
      swapped,
    })),
    {
      name: `external SNAT, kube-proxy in ${kubeProxy} mode`,
      id: `mx${kubeProxy[0]}`,
      profile: HOSTILE,
      kubeProxy,
      externalSnat: true,
    },
    {
      name: `10.80.0.0/16 excluded, kube-proxy in ${kubeProxy} mode started after us`,
      id: `me${kubeProxy[0]}`,
      profile: HOSTILE,
      kubeProxy,
      kubeProxyStarts: "after" as const,
      excluded: ["10.80.0.0/16"],
    },
  ]),
];

test.each(PROFILES)("every packet arrives and none is refused: $name", async (spec) => {
  const outcome = await runMatrix(spec);
  expect(outcome.names.length).toBeGreaterThan(400);
  if (outcome.failed.size > 0 || outcome.rose.size > 0) throw new Error(formatOutcome(outcome));
});
