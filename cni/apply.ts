/**
 * Makes the kernel match a pod's network, and takes it away again. Synchronous: an attach runs to completion in about a
 * millisecond, and interleaving several gains nothing, since rtnetlink is one lock.
 */
import { DYING_GROUP, LOOPBACK_INDEX } from "../common/constants.ts";
import type { FaultPoints } from "../common/fault-points.ts";
import { ignoring } from "../common/kernel/errors.ts";
import type { Kernel } from "../common/kernel/kernel.ts";
import type { Netns, NetworkStack, OpenNetns } from "../common/kernel/netns.ts";
import type { Lease } from "./ipam.ts";
import { formatLeaseAlias } from "./lease-alias.ts";
import type { EndOfPair, PodNetwork } from "./pod-network.ts";

export type ApplyDeps = { readonly kernel: Kernel; readonly points: FaultPoints };

/** What the verbs report of a finished attachment. */
export type AttachedLink = { readonly hostIndex: number; readonly podIndex: number };

/**
 * Makes the pair, both ends' configuration and the genuine elements, in the order in which a crash leaves the least: the link with
 * its alias before anything that belongs to it, and `ready` last. Throws KernelError; call detach() then. EEXIST: the pod has a
 * link of that name already, or an earlier link of this attachment is still there.
 */
export function attach(deps: ApplyDeps, network: PodNetwork, lease: Lease, netns: OpenNetns): AttachedLink {
  const { kernel, points } = deps;
  const { hostName, hostMac, podMac } = network.link;
  // what does not fit an alias is refused before there is anything to undo
  const alias = aliasOf(lease, "made");
  points.reach("add.pair");
  const { hostIndex, podIndex } = kernel.host.links.createPair({
    hostName,
    hostMac,
    podName: network.ifname,
    podMac,
    mtuBytes: network.mtuBytes,
    podNetnsFd: netns.fd,
  });
  kernel.host.together(() => {
    points.reach("add.alias");
    kernel.host.links.change(hostIndex, { alias });
    configureEnd(kernel.host, network.host, hostIndex, (what) => points.reach(`add.host.${what}`));
  });
  netns.run((stack) => {
    stack.together(() => {
      stack.links.change(LOOPBACK_INDEX, { up: true });
      configureEnd(stack, network.pod, podIndex, (what) => points.reach(`add.pod.${what}`));
    });
  });
  points.reach("add.genuine");
  kernel.nft.change(network.genuine.map((element) => ({ op: "add", element })));
  points.reach("add.ready");
  kernel.host.links.change(hostIndex, { alias: aliasOf(lease, "ready") });
  return { hostIndex, podIndex };
}

/**
 * Ends an attachment on the host's side, whatever of it exists; the pod's namespace is never entered. The link itself goes later, with
 * its whole group, by the slow worker. Idempotent; true when a link was there.
 */
export function detach(deps: ApplyDeps, network: PodNetwork, lease: Lease, verb: "del" | "undo"): boolean {
  const { kernel, points } = deps;
  points.reach(`${verb}.released`);
  // down too: from now on the pod's packets reach nobody, and the kernel drops its routes and neighbours with that
  const released = { alias: aliasOf(lease, "released"), group: DYING_GROUP, up: false };
  const wasThere = ignoring(["ENODEV"], () => {
    kernel.host.links.change(network.link.hostName, released);
    return true;
  });
  points.reach(`${verb}.genuine`);
  ignoring(["ENOENT"], () =>
    kernel.nft.change(network.genuine.map((element) => ({ op: "remove", element }))),
  );
  return wasThere === true;
}

/** Checks the namespace path before anything is reserved. Throws KernelError `netns-gone`, `not-a-netns` or `host-netns`. */
export function netnsId(netns: Netns, path: string): string {
  using opened = netns.open(path);
  return opened.id;
}

function configureEnd(
  stack: NetworkStack,
  end: EndOfPair,
  linkIndex: number,
  reach: (what: string) => void,
): void {
  reach("addr-gen");
  stack.links.change(linkIndex, { addrGenModeNone: true });
  reach("sysctls");
  for (const [path, value] of end.sysctls) {
    ignoring(["ENOENT"], () => stack.sysctl.set(path, value));
  }
  reach("up");
  stack.links.change(linkIndex, { up: true });
  reach("addresses");
  for (const address of end.addresses) stack.addresses.add({ ...address, linkIndex });
  for (const route of end.own) stack.routes.add({ ...route, linkIndex });
  reach("neighbours");
  for (const neighbour of end.neighbours) stack.neighbours.set({ ...neighbour, linkIndex });
  reach("routes");
  for (const route of end.routes) stack.routes.replace({ ...route, linkIndex });
}

function aliasOf(lease: Lease, state: "made" | "ready" | "released"): string {
  return formatLeaseAlias({ ...lease, state });
}
