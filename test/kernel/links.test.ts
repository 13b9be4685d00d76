import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parseMac } from "../../common/ids.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { NetlinkSocket } from "../../common/kernel/netlink-socket.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { createNetns, type TestNetns } from "./namespaces.ts";

let host: TestNetns;
let pod: TestNetns;
let kernel: Kernel;

beforeEach(async () => {
  [host, pod] = [createNetns(), createNetns()];
  kernel = await openKernel({ netnsPath: host.path });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await kernel.close();
  for (const netns of [host, pod]) netns.destroy();
});

function createPair(): void {
  using netns = kernel.netns.open(pod.path);
  kernel.host.links.createPair({
    hostName: "cw0",
    hostMac: parseMac("0a:00:00:00:00:01"),
    podName: "eth0",
    podMac: parseMac("0a:00:00:00:00:02"),
    mtuBytes: 9001,
    podNetnsFd: netns.fd,
  });
}

/** How the kernel came by the MAC: 3 means that it was given, so that udev leaves it alone (NET_ADDR_SET). */
const macOrigin = (netns: TestNetns, link: string) =>
  netns.exec(`cat /sys/class/net/${link}/addr_assign_type`).trim();

describe("NetlinkLinks, read by iproute2", () => {
  it("makes both ends with one queue, the MTU, and MACs that count as set by an administrator", () => {
    createPair();
    const end = { mtu: 9001, num_tx_queues: 1, num_rx_queues: 1, linkinfo: { info_kind: "veth" } };
    expect(host.ip("link show cw0")).toMatchObject([{ ...end, address: "0a:00:00:00:00:01" }]);
    expect(pod.ip("link show eth0")).toMatchObject([{ ...end, address: "0a:00:00:00:00:02" }]);
    expect([macOrigin(host, "cw0"), macOrigin(pod, "eth0")]).toEqual(["3", "3"]);
  });

  it("keeps the kernel from making a link-local address, also in one call with up", async () => {
    createPair();
    using netns = kernel.netns.open(pod.path);
    netns.run(({ links }) => links.change("eth0", { addrGenModeNone: true, up: true }));
    kernel.host.links.change("cw0", { addrGenModeNone: true, up: true });
    expect(host.ip("link show cw0")).toMatchObject([{ inet6_addr_gen_mode: "none", operstate: "UP" }]);
    expect([...host.ip("-6 addr show cw0"), ...pod.ip("-6 addr show eth0")]).toEqual([]);
  });

  it("writes alias and group so that others read them whole", () => {
    createPair();
    const alias = `v1|ready|${"é".repeat(122)}|`;
    expect(Buffer.byteLength(alias)).toBe(254);
    kernel.host.links.change("cw0", { alias, group: 4101 });
    expect(host.ip("link show cw0")).toMatchObject([{ ifalias: alias, group: "4101" }]);
  });

  it("finds, makes, changes and removes without a dump, which other programs' changes could disturb", () => {
    const dump = vi.spyOn(NetlinkSocket.prototype, "dump");
    createPair();
    kernel.host.links.find("cw0");
    kernel.host.links.change("cw0", { name: "cw1", up: true });
    kernel.host.links.remove("cw1");
    expect(dump).not.toHaveBeenCalled();
    kernel.host.links.list();
    expect(dump).toHaveBeenCalled();
  });
});
