import { describe, expect, it } from "vitest";
import { formatLeaseAlias, type LeaseState } from "../cni/lease-alias.ts";
import { podLink } from "../cni/pod-link.ts";
import { claimOf } from "../cni/pod-network.ts";
import { DYING_GROUP } from "../common/constants.ts";
import type { ContainerId } from "../common/ids.ts";
import { IpAddress } from "../common/ip.ts";
import type { Link } from "../common/kernel/links.ts";
import type { Route } from "../common/kernel/routes.ts";
import { type KernelState, recover } from "./recovery.ts";

/** The link of a pod, as an ADD or DEL at that state left it. */
function podLinkOf(container: string, address: string, state: LeaseState, index: number): Link {
  const attachment = { containerId: container as ContainerId, ifname: "eth0" };
  const { hostName, hostMac } = podLink(attachment);
  const alias = formatLeaseAlias({ state, attachment, pod: {}, ipv4: IpAddress.parse(address) });
  return { index, name: hostName, mac: hostMac, mtuBytes: 1500, up: true, group: 0, alias, kind: "veth" };
}

const podRoute = (address: string, linkIndex: number): Route => ({
  ...claimOf(IpAddress.parse(address)),
  type: "unicast",
  metric: 0,
  linkIndex,
});

const stateOf = (parts: Partial<KernelState>): KernelState => ({
  links: [],
  routes: [],
  units: [],
  genuine: [],
  ...parts,
});

describe("recover()", () => {
  it("oth-03: two links that claim one address both stay leases, and the address is not free to give", () => {
    const links = [
      podLinkOf("aa01", "10.0.0.40", "ready", 7),
      podLinkOf("aa09", "10.0.0.40", "ready", 9),
      podLinkOf("aa02", "10.0.0.41", "ready", 8),
    ];
    const routes = links.map((_, index) => claimOf(IpAddress.parse(`10.0.0.4${index % 2}`)));
    const recovered = recover(stateOf({ links, routes }));
    expect(recovered.leases.map(({ record }) => record.attachment.containerId)).toEqual([
      "aa01",
      "aa09",
      "aa02",
    ]);
    expect(recovered).toMatchObject({ cooling: [], dyingLinks: [] });
  });

  it("oth-02: whatever has unreachable in the pods table and no pod is cooling, never free", () => {
    const routes = [claimOf(IpAddress.parse("10.0.0.40"))];
    expect(recover(stateOf({ routes })).cooling.map(String)).toEqual(["10.0.0.40"]);
  });

  it.each([
    ["whose ADD did not finish", podLinkOf("aa01", "10.0.0.40", "made", 7)],
    ["whose DEL had begun", podLinkOf("aa01", "10.0.0.40", "released", 7)],
    ["that waits for its removal", { ...podLinkOf("aa01", "10.0.0.40", "ready", 7), group: DYING_GROUP }],
  ])("ends a link %s, and its route", (_what, link) => {
    const routes = [claimOf(IpAddress.parse("10.0.0.40")), podRoute("10.0.0.40", 7)];
    const recovered = recover(stateOf({ links: [link], routes }));
    expect(recovered).toMatchObject({ leases: [], dyingLinks: [link], strayRoutes: [routes[1]] });
    expect(recovered.cooling.map(String)).toEqual(["10.0.0.40"]);
  });

  it("leaves a link of our name alone whose alias is somebody else's words", () => {
    const link = { ...podLinkOf("aa01", "10.0.0.40", "ready", 7), alias: "do not touch" };
    expect(recover(stateOf({ links: [link] }))).toMatchObject({ leases: [], dyingLinks: [] });
  });
});
