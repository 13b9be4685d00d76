import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { stat } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { peerCredentials } from "../../common/kernel/libc.ts";
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
  await kernel.close();
  for (const netns of [host, pod]) netns.destroy();
});

/** The network namespace of every thread of this process. */
function threadNamespaces(): string[] {
  return readdirSync("/proc/self/task").map((thread) => readlinkSync(`/proc/self/task/${thread}/ns/net`));
}

describe("Windows into namespaces", () => {
  it("leave every thread at home after 200 of them, file calls and slow work beside", async () => {
    const home = readlinkSync("/proc/self/ns/net");
    using netns = kernel.netns.open(pod.path);
    const work = [kernel.slow.removeLinkGroup(4101, "cw")];
    for (let count = 0; count < 200; count += 1) {
      netns.run(({ links, sysctl }) => {
        expect(links.find("lo")?.index).toBe(1);
        sysctl.set("net/ipv4/ip_forward", count % 2 === 0 ? "1" : "0");
      });
      if (count % 50 === 0) void stat("/proc/self");
    }
    await Promise.all([...work, stat("/proc/self"), stat("/proc"), stat("/"), stat("/run")]);
    const threads = threadNamespaces();
    expect(threads.length).toBeGreaterThan(5);
    expect(new Set(threads)).toEqual(new Set([home]));
  });

  it("come back when the work in them throws", () => {
    const home = readlinkSync("/proc/thread-self/ns/net");
    using netns = kernel.netns.open(pod.path);
    expect(() => netns.run(({ sysctl }) => sysctl.set("net/none", "1"))).toThrow(
      expect.objectContaining({ code: "ENOENT" }),
    );
    expect(readlinkSync("/proc/thread-self/ns/net")).toBe(home);
  });

  it("reach the host's own sysctls from within, and the pod's only there", () => {
    using netns = kernel.netns.open(pod.path);
    netns.run(({ sysctl }) => {
      kernel.host.sysctl.set("net/ipv4/ip_forward", "1");
      expect(sysctl.get("net/ipv4/ip_forward")).toBe("0");
    });
    expect(host.exec("cat /proc/sys/net/ipv4/ip_forward").trim()).toBe("1");
    expect(pod.exec("cat /proc/sys/net/ipv4/ip_forward").trim()).toBe("0");
  });
});

describe("openKernel()", () => {
  it("works in the namespace of the process when none is named", async () => {
    const here = await openKernel();
    const inode = /\d+/.exec(readlinkSync("/proc/self/ns/net"))?.[0];
    expect(here.netns.hostId.split(":")[1]).toBe(inode);
    expect(here.netns.hostId).not.toBe(kernel.netns.hostId);
    expect(here.bootId).toMatch(/^[0-9a-f-]{36}$/);
    await here.close();
  });

  it("refuses a path that is no namespace", async () => {
    await expect(openKernel({ netnsPath: "/proc/self/stat" })).rejects.toMatchObject({ code: "not-a-netns" });
    await expect(openKernel({ netnsPath: "/run/netns/none" })).rejects.toMatchObject({ code: "netns-gone" });
  });
});

describe("peerCredentials()", () => {
  it("names the process at the other end of a unix socket", async () => {
    const path = `/run/${host.name}.sock`;
    const seen = Promise.withResolvers<ReturnType<typeof peerCredentials>>();
    const server = createServer((socket) => {
      // private, but no public way to the descriptor exists
      const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
      seen.resolve(peerCredentials(fd));
      socket.end();
    }).listen(path);
    await once(server, "listening");
    const client = connect(path).resume();
    expect(await seen.promise).toEqual({
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
    client.destroy();
    server.close();
  });
});
