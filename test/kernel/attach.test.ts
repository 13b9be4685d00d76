import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addPod } from "../../cni/add.ts";
import { delPod } from "../../cni/del.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { readKernel, recover } from "../../ipamd/recovery.ts";
import { AttachNode, attachment, path, run, TABLE } from "./attach-node.ts";

const never = new AbortController().signal;

let world: AttachNode;
let node: string;
let podNetns: string;
let kernel: Kernel;
let deps: AttachNode["deps"];

beforeEach(async () => {
  world = await AttachNode.start();
  ({ node, podNetns, kernel, deps } = world);
});

afterEach(() => world[Symbol.asyncDispose]());

const add = (startedAt?: number) => world.add(startedAt);
const routes = () =>
  [
    ...run("ip", "-n", node, "route", "show", "table", "4100").trim().split("\n"),
    ...run("ip", "-n", node, "-6", "route", "show", "table", "4100").trim().split("\n"),
  ].map((line) => line.trim().replace(/ +/g, " "));

describe("ADD on the real kernel", () => {
  it("gives a pod both families, reachable from the node at once", async () => {
    const { lease, network } = await add();
    expect(run("ip", "netns", "exec", node, "ping", "-c1", "-W1", String(lease.ipv4))).toContain(
      "1 received",
    );
    expect(run("ip", "netns", "exec", node, "ping", "-c1", "-W1", String(lease.ipv6))).toContain(
      "1 received",
    );
    const inside = JSON.parse(run("ip", "-n", podNetns, "-j", "address", "show", "eth0"))[0];
    expect(inside).toMatchObject({ mtu: 9001, address: network.link.podMac });
    expect(
      inside.addr_info.map(
        (entry: { local: string; prefixlen: number }) => `${entry.local}/${entry.prefixlen}`,
      ),
    ).toContain(`${lease.ipv4}/32`);
    expect(inside.addr_info.filter((entry: { tentative?: boolean }) => entry.tentative)).toEqual([]);
    const host = JSON.parse(run("ip", "-n", node, "-j", "link", "show", network.link.hostName))[0];
    expect(host.ifalias).toBe(`v1|ready|aa01|eth0||${lease.ipv4}|${lease.ipv6}|`);
    expect(recover(readKernel(kernel)).leases.map(({ record }) => record.attachment)).toEqual([attachment]);
  });

  it("aws-49: IPv6 works at once in a namespace where the runtime has disabled it and DAD is on", async () => {
    const set = (key: string, value: string) =>
      run("ip", "netns", "exec", podNetns, "sysctl", "-q", "-w", `net.ipv6.conf.${key}=${value}`);
    for (const scope of ["all", "default"]) {
      set(`${scope}.disable_ipv6`, "1");
      set(`${scope}.accept_dad`, "2");
      set(`${scope}.optimistic_dad`, "1");
    }
    const { lease } = await add();
    const answer = run("ip", "netns", "exec", node, "ping", "-c1", "-W1", String(lease.ipv6));
    expect(answer).toContain("1 received");
    expect(run("ip", "-n", podNetns, "-6", "address", "show", "tentative")).toBe("");
    expect(run("ip", "-n", node, "-6", "address", "show", "tentative")).toBe("");
  });

  it("is refused a second time without a DEL, and leaves the first as it is", async () => {
    await add();
    const before = routes();
    await expect(add()).rejects.toMatchObject({ code: "attachment-exists" });
    expect(routes()).toEqual(before);
  });

  it("repeats the answer to a plugin that is older than the daemon, whose predecessor finished it", async () => {
    const first = await add();
    const again = await addPod(
      { ...deps, bornAt: 5 },
      { attachment, netnsPath: path(podNetns), pod: {}, startedAt: 4 },
      never,
    );
    expect(again.lease).toEqual(first.lease);
    await expect(
      addPod({ ...deps, bornAt: 5 }, { attachment, netnsPath: path(podNetns), pod: {}, startedAt: 6 }, never),
    ).rejects.toMatchObject({ code: "attachment-exists" });
  });

  it("keeps a pod's genuine pairs when the nft table is replaced while it runs", async () => {
    const replaced = kernel.nft.load(`add table inet causeway\ndelete table inet causeway\n${TABLE}`);
    const [{ network }] = await Promise.all([add(), replaced]);
    expect(kernel.nft.list("genuine")).toHaveLength(network.genuine.length);
  });

  it("undoes everything when the pod already has a link of that name", async () => {
    run("ip", "-n", podNetns, "link", "add", "eth0", "type", "veth", "peer", "name", "other");
    const before = routes();
    await expect(add()).rejects.toMatchObject({ code: "pod-link-exists" });
    expect(routes()).toEqual(before);
    expect(recover(readKernel(kernel))).toMatchObject({ leases: [], cooling: [], dyingLinks: [] });
    expect(kernel.nft.list("genuine")).toEqual([]);
  });

  it.each([
    ["a namespace that is gone", () => "/run/netns/none-such", "netns-gone"],
    ["a plain file", () => "/etc/hostname", "not-a-netns"],
    ["a namespace of another kind", () => "/proc/self/ns/uts", "not-a-netns"],
    ["the node's own namespace", () => path(node), "host-netns"],
  ])("refuses %s by code", async (_what, netns, code) => {
    const netnsPath = netns();
    await expect(addPod(deps, { attachment, netnsPath, pod: {}, startedAt: 1 }, never)).rejects.toMatchObject(
      { code },
    );
    expect(deps.ipam.find(attachment)).toBeUndefined();
  });
});

describe("DEL on the real kernel", () => {
  it("ends the lease, cools its addresses, and removes the link behind the answer", async () => {
    const { lease, network } = await add();
    await delPod(deps, { attachment, startedAt: 2 });
    expect(routes().filter((line) => line.includes(`${lease.ipv4} `))).toEqual([
      `unreachable ${lease.ipv4} proto 197 metric 4096`,
    ]);
    expect(kernel.nft.list("genuine")).toEqual([]);
    await deps.dyingLinks.gone(network.link.hostName);
    expect(kernel.host.links.find(network.link.hostName)).toBeUndefined();
    await delPod(deps, { attachment, startedAt: 3 });
  });

  it("is followed by an ADD of the same container, with other addresses", async () => {
    const first = await add(1);
    await delPod(deps, { attachment, startedAt: 2 });
    const second = await add(3);
    expect(second.lease.ipv4?.equals(first.lease.ipv4 as never)).toBe(false);
  });

  it("oth-86: an ADD that it overtook is refused, also when the DEL found nothing", async () => {
    await delPod(deps, { attachment, startedAt: 2 });
    await expect(add(1)).rejects.toMatchObject({ code: "attachment-ended" });
    await expect(add(3)).resolves.toBeDefined();
  });

  it("leaves `unreachable` when the namespace dies without a DEL", async () => {
    const { lease } = await add();
    run("ip", "netns", "delete", podNetns);
    run("ip", "netns", "add", podNetns);
    await expect
      .poll(() => recover(readKernel(kernel)).cooling.map(String))
      .toEqual([String(lease.ipv4), String(lease.ipv6)]);
  });
});
