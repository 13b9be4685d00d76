import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseMac } from "../../common/ids.ts";
import { Cidr, IpAddress } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import type { Route } from "../../common/kernel/routes.ts";
import { createNetns, run, type TestNetns } from "./namespaces.ts";

let host: TestNetns;
let pod: TestNetns;
let kernel: Kernel;
let linkIndex: number;

beforeEach(async () => {
  [host, pod] = [createNetns(), createNetns()];
  kernel = await openKernel({ netnsPath: host.path });
  using netns = kernel.netns.open(pod.path);
  const [hostMac, podMac] = [parseMac("0a:00:00:00:00:01"), parseMac("0a:00:00:00:00:02")];
  const pair = { hostName: "cw0", hostMac, podName: "eth0", podMac, mtuBytes: 1500, podNetnsFd: netns.fd };
  linkIndex = kernel.host.links.createPair(pair).hostIndex;
  kernel.host.links.change("cw0", { addrGenModeNone: true, up: true });
});
afterEach(async () => {
  await kernel.close();
  for (const netns of [host, pod]) netns.destroy();
});

const ours = (destination: string, rest: Partial<Route> = {}): Route => ({
  destination: Cidr.parse(destination),
  table: 4100,
  type: "unreachable",
  protocol: 197,
  metric: 4096,
  ...rest,
});
const lines = (family: number) =>
  run(`ip -n ${host.name} -${family} route show table 4100`)
    .split("\n")
    .map((line) =>
      line
        .trim()
        .replace(/ pref medium$/, "")
        .replace(" linkdown", ""),
    )
    .filter((line) => line !== "")
    .sort();

describe("NetlinkRoutes, read by iproute2", () => {
  it("writes an address's states over each other in both families", () => {
    const preferredSource = IpAddress.parse("10.0.0.10");
    kernel.host.addresses.add({ linkIndex, address: preferredSource, prefixLength: 32 });
    for (const route of [
      ours("10.0.0.0/28", { type: "blackhole", metric: 8192 }),
      ours("10.0.0.5/32"),
      ours("10.0.0.5/32", { type: "unicast", metric: 0, linkIndex, preferredSource }),
      ours("2001:db8::/80", { type: "prohibit", metric: 8192 }),
      ours("2001:db8::5/128"),
      ours("2001:db8::5/128", { type: "unicast", metric: 1024, linkIndex }),
    ]) {
      kernel.host.routes.add(route);
    }
    expect(lines(4)).toEqual([
      "10.0.0.5 dev cw0 proto 197 scope link src 10.0.0.10",
      "blackhole 10.0.0.0/28 proto 197 metric 8192",
      "unreachable 10.0.0.5 proto 197 metric 4096",
    ]);
    expect(lines(6)).toEqual([
      "2001:db8::5 dev cw0 proto 197 metric 1024",
      "prohibit 2001:db8::/80 dev lo proto 197 metric 8192",
      "unreachable 2001:db8::5 dev lo proto 197 metric 4096",
    ]);
  });

  it("leaves an IPv6 route of another type or owner alone, although the kernel compares neither type nor all numbers", () => {
    run(`ip -n ${host.name} -6 route add 2001:db8::5 dev cw0 table 4100 metric 4096 proto 197`);
    run(`ip -n ${host.name} -6 route add blackhole 2001:db8::6 table 4100 metric 4096 proto 4`);
    const before = lines(6);
    kernel.host.routes.remove(ours("2001:db8::5/128"));
    kernel.host.routes.remove(ours("2001:db8::6/128", { type: "blackhole" }));
    expect(lines(6)).toEqual(before);
    expect(before).toHaveLength(2);
    run(`ip -n ${host.name} -6 route append unreachable 2001:db8::5 table 4100 metric 4096 proto 197`);
    expect(lines(6)).toHaveLength(3);
    kernel.host.routes.remove(ours("2001:db8::5/128"));
    expect(lines(6)).toEqual(before);
  });

  it("reads routes of others too, and only those of the table and protocol asked for", () => {
    run(`ip -n ${host.name} route add 10.1.0.0/16 via 10.0.0.1 dev cw0 onlink table 4102 proto 4`);
    run(`ip -n ${host.name} route add 10.2.0.0/16 dev cw0 table 4102 proto 197`);
    const list = (protocol?: number) =>
      kernel.host.routes
        .list({ family: 4, table: 4102, ...(protocol !== undefined && { protocol }) })
        .map(({ destination, gateway, onLink, scope }) => `${destination} ${gateway} ${onLink} ${scope}`);
    expect(list()).toEqual(["10.1.0.0/16 10.0.0.1 true 0", "10.2.0.0/16 undefined undefined 253"]);
    expect(list(197)).toEqual(["10.2.0.0/16 undefined undefined 253"]);
  });
});

describe("NetlinkRules, read by iproute2", () => {
  it("writes every condition that the packet path needs", () => {
    const common = { family: 4, protocol: 197 } as const;
    kernel.host.rules.add({ ...common, priority: 402, table: 4100 });
    kernel.host.rules.add({
      ...common,
      priority: 403,
      table: 254,
      suppressPrefixLength: 0,
      suppressLinkGroup: 4100,
    });
    kernel.host.rules.add({ ...common, priority: 404, table: 4102, mark: { value: 0x200, mask: 0x1f00 } });
    kernel.host.rules.add({ ...common, priority: 405, table: 4102, from: Cidr.parse("10.0.0.20/32") });
    expect(
      run(`ip -n ${host.name} rule show`)
        .replaceAll(/[ \t]+/g, " ")
        .split("\n")
        .slice(1, 5),
    ).toEqual([
      "402: from all lookup 4100 proto 197",
      "403: from all lookup main suppress_prefixlength 0 suppress_ifgroup 4100 proto 197",
      "404: from all fwmark 0x200/0x1f00 lookup 4102 proto 197",
      "405: from 10.0.0.20 lookup 4102 proto 197",
    ]);
  });
});
