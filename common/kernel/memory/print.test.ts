import { describe, expect, it } from "vitest";
import { parseMac } from "../../ids.ts";
import { Cidr, IpAddress } from "../../ip.ts";
import type { KernelEvent } from "../events.ts";
import { MemoryKernel } from "./kernel.ts";

const ip = IpAddress.parse;
const table = `
delete table inet causeway
table inet causeway {
  counter spoofed { }
  set genuine4 { type ifname . ipv4_addr; elements = { "cw0" . 10.0.0.5 } }
  set genuine6 { type ifname . ipv6_addr; }
  set units4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/28 } }
  map uplink4 { type ipv4_addr : verdict; flags interval; elements = { 10.0.0.0/28 : goto use-2 } }
}
`;

/** A kernel with one pod, its rules and our table. */
async function kernelWithPod(): Promise<MemoryKernel> {
  const kernel = new MemoryKernel();
  kernel.createNetns("/run/netns/pod");
  using netns = kernel.netns.open("/run/netns/pod");
  const [hostMac, podMac] = [parseMac("0a:00:00:00:00:01"), parseMac("0a:00:00:00:00:02")];
  const { links, addresses, neighbours, routes, rules } = kernel.host;
  const pair = { hostName: "cw0", hostMac, podName: "eth0", podMac, mtuBytes: 9001, podNetnsFd: netns.fd };
  const linkIndex = links.createPair(pair).hostIndex;
  links.change("cw0", { up: true, alias: "v1|ready" });
  addresses.add({ linkIndex, address: ip("fe80::c:1"), prefixLength: 64, scope: 253, noDad: true });
  neighbours.set({ linkIndex, address: ip("10.0.0.5"), mac: podMac });
  const destination = Cidr.parse("10.0.0.5/32");
  routes.add({ destination, table: 4100, type: "unreachable", protocol: 197, metric: 4096 });
  routes.add({ destination, table: 4100, type: "unicast", protocol: 197, metric: 0, linkIndex });
  rules.add({ family: 6, priority: 404, table: 4101, protocol: 197, mark: { value: 0x100, mask: 0x1f00 } });
  await kernel.nft.load(table);
  return kernel;
}

describe("MemoryKernel", () => {
  it("prints itself as ip and nft would", async () => {
    const kernel = await kernelWithPod();
    expect(kernel.print()).toEqual([
      "2: cw0@if2: <UP> mtu 9001 group default link/ether 0a:00:00:00:00:01 alias v1|ready",
      "cw0 inet6 fe80::c:1/64 scope link nodad",
      "10.0.0.5 dev cw0 lladdr 0a:00:00:00:00:02 PERMANENT",
      "10.0.0.5 dev cw0 table 4100 proto 197 scope link",
      "unreachable 10.0.0.5 table 4100 proto 197 metric 4096",
      "-6 404: from all fwmark 0x100/0x1f00 lookup 4101 proto 197",
      "table inet causeway",
      'element inet causeway genuine4 { "cw0" . 10.0.0.5 }',
      "element inet causeway uplink4 { 10.0.0.0/28 : goto use-2 }",
    ]);
  });

  it("keeps of a link that was down and up its alias and IPv4 addresses, and loses the rest as the kernel does", async () => {
    const kernel = await kernelWithPod();
    kernel.setLinkDown("cw0");
    kernel.setLinkUp("cw0");
    expect(kernel.print().slice(0, 3)).toEqual([
      "2: cw0@if2: <UP> mtu 9001 group default link/ether 0a:00:00:00:00:01 alias v1|ready",
      "unreachable 10.0.0.5 table 4100 proto 197 metric 4096",
      "-6 404: from all fwmark 0x100/0x1f00 lookup 4101 proto 197",
    ]);
  });

  it("keeps a namespace alive while it is held open, and tells the loss of its link when it ends", async () => {
    const kernel = await kernelWithPod();
    const seen: KernelEvent[] = [];
    using _ = kernel.events.subscribe((event) => seen.push(event));
    const netns = kernel.netns.open("/run/netns/pod");
    kernel.destroyNetns("/run/netns/pod");
    expect(kernel.host.links.find("cw0")).toBeDefined();
    netns[Symbol.dispose]();
    expect(kernel.host.links.find("cw0")).toBeUndefined();
    await Promise.resolve();
    expect(seen.map((event) => event.kind)).toEqual(["address", "link"]);
  });

  it("counts packets and lists what a script brought, until somebody deletes the table", async () => {
    const { nft } = await kernelWithPod();
    nft.count("spoofed", 3);
    expect(nft.counters()).toEqual(new Map([["spoofed", 3]]));
    expect(nft.list("uplink")).toEqual([{ set: "uplink", unit: Cidr.parse("10.0.0.0/28"), slot: 2 }]);
    nft.deleteTable();
    expect([nft.list("uplink"), await nft.read()]).toEqual([[], undefined]);
  });
});
