import { describe, expect, it } from "vitest";
import { type ContainerId, parseMac } from "../common/ids.ts";
import { IpAddress } from "../common/ip.ts";
import type { Lease } from "./ipam.ts";
import { isPodLinkName, podLink } from "./pod-link.ts";
import { hostEndTowards, planPodNetwork } from "./pod-network.ts";

const lease: Lease = {
  attachment: { containerId: "aa01" as ContainerId, ifname: "eth0" },
  pod: { namespace: "demo", name: "web-0" },
  ipv4: IpAddress.parse("10.0.0.101"),
  ipv6: IpAddress.parse("2001:db8:a::101"),
  mtuBytes: 1500,
};

/** What Azure's load balancers probe from. */
const AZURE_PROBE = "fe80::1234:5678:9abc";

describe("planPodNetwork()", () => {
  it("oth-29: the pods' IPv6 gateway is not the address that Azure's load balancers probe from", () => {
    const { host, pod } = planPodNetwork(lease);
    const gateways = [
      ...host.addresses.map(({ address }) => address),
      ...pod.routes.map(({ gateway }) => gateway),
    ];
    expect(gateways.map(String)).toContain("fe80::c:1");
    expect(gateways.map(String)).not.toContain(AZURE_PROBE);
  });

  it("tells the pod's kernel that its IPv6 address is there, as the kernel itself does so only later", () => {
    const { host, pod } = planPodNetwork(lease);
    expect(pod.own.map(({ type, destination }) => `${type} ${destination}`)).toEqual([
      "local 2001:db8:a::101/128",
    ]);
    expect(host.own).toEqual([]);
  });

  it("lets a pod speak from its own addresses and its own link-local, and from nothing else", () => {
    const { genuine, link } = planPodNetwork(lease);
    const sources = genuine.map((element) => (element.set === "genuine" ? String(element.address) : ""));
    expect(sources.slice(0, 2)).toEqual(["10.0.0.101", "2001:db8:a::101"]);
    expect(sources[2]).toMatch(/^fe80::.*ff:fe/);
    expect(genuine.every((element) => element.set === "genuine" && element.link === link.hostName)).toBe(
      true,
    );
  });
});

describe("hostEndTowards()", () => {
  const network = planPodNetwork(lease);

  it("is as planned while the pod's hardware address is ours or cannot be told", () => {
    for (const mac of [undefined, network.link.podMac])
      expect(hostEndTowards(network, mac)).toBe(network.host);
  });

  it("oth-56: follows another hardware address, and has the IPv4 gateway to answer for", () => {
    const mac = parseMac("02:42:0a:3c:00:99");
    const end = hostEndTowards(network, mac);
    expect(end.neighbours.map((neighbour) => neighbour.mac)).toEqual([mac, mac]);
    expect(end.addresses.map(({ address }) => String(address))).toContain("169.254.1.1");
    const { ipv4, ...ipv6Only } = lease;
    expect(hostEndTowards(planPodNetwork(ipv6Only), mac).addresses).toEqual(network.host.addresses);
  });
});

describe("podLink()", () => {
  it("aws-08: two sandboxes of one pod name never share a link, and every name fits the kernel", () => {
    const links = Array.from({ length: 20_000 }, (_, index) =>
      podLink({ containerId: `sandbox-${index}` as ContainerId, ifname: "eth0" }),
    );
    expect(new Set(links.map(({ hostName }) => hostName)).size).toBe(links.length);
    for (const { hostName } of links) expect(isPodLinkName(hostName) && hostName.length <= 15).toBe(true);
  });
});
