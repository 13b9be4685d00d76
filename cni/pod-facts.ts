/** What the kernel has of one attachment, on the host and in the pod. Reads only. */
import { MAIN_TABLE } from "../common/constants.ts";
import type { LinkAddress, Neighbour } from "../common/kernel/addresses.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Link } from "../common/kernel/links.ts";
import type { NetworkStack, OpenNetns } from "../common/kernel/netns.ts";
import type { NftElement } from "../common/kernel/nft.ts";
import type { Route } from "../common/kernel/routes.ts";
import type { Rule } from "../common/kernel/rules.ts";
import type { EndOfPair, PodNetwork } from "./pod-network.ts";
import { readPodsTable } from "./repair.ts";

/** One end of a pair. Without a link only sysctls and routes are there, as those have a life of their own. */
export type EndFacts = {
  readonly link: Link | undefined;
  readonly addresses: readonly LinkAddress[];
  readonly neighbours: readonly Neighbour[];
  /** Of the host: our routes in the pods table. Of the pod: its main table. */
  readonly routes: readonly Route[];
  readonly sysctls: ReadonlyMap<string, string | undefined>;
};

export type PodFacts = {
  readonly host: EndFacts;
  readonly pod: EndFacts;
  readonly rules: readonly Rule[];
  /** Genuine pairs, and units with their uplinks. */
  readonly elements: readonly NftElement[];
};

/** Dumps rules, pods table and nft sets: not for the path of an ADD or DEL. Throws KernelError. */
export function readPodFacts(kernel: Kernel, network: PodNetwork, netns: OpenNetns): PodFacts {
  return {
    host: readEnd(kernel.host, network.link.hostName, network.host, readPodsTable(kernel)),
    pod: netns.run((stack) => readEnd(stack, network.ifname, network.pod, mainTable(stack))),
    rules: ([4, 6] as const).flatMap((family) => kernel.host.rules.list(family)),
    elements: [...kernel.nft.list("genuine"), ...kernel.nft.list("uplink")],
  };
}

function readEnd(stack: NetworkStack, name: string, end: EndOfPair, routes: readonly Route[]): EndFacts {
  const link = stack.links.find(name);
  return {
    link,
    addresses: link === undefined ? [] : stack.addresses.list(link.index),
    neighbours: link === undefined ? [] : stack.neighbours.list(link.index),
    routes,
    sysctls: new Map(end.sysctls.map(([path]) => [path, stack.sysctl.get(path)])),
  };
}

function mainTable(stack: NetworkStack): Route[] {
  return ([4, 6] as const).flatMap((family) => stack.routes.list({ family, table: MAIN_TABLE }));
}
