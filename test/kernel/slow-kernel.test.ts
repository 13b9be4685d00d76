import { closeSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IpAddress } from "../../common/ip.ts";
import { forgetConnections } from "../../common/kernel/conntrack.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { NETLINK_NETFILTER } from "../../common/kernel/netlink-message.ts";
import { NetlinkSocket } from "../../common/kernel/netlink-socket.ts";
import { inNetns } from "../../common/kernel/netns-window.ts";
import { openNetnsFile } from "../../common/kernel/proc-netns.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { createNetns, type TestNetns } from "./namespaces.ts";

let host: TestNetns;
let kernel: Kernel;

beforeEach(async () => {
  host = createNetns();
  kernel = await openKernel({ netnsPath: host.path });
});
afterEach(async () => {
  await kernel.close();
  host.destroy();
});

/** Makes an entry as if packets had passed; without `translated` the answers come from where the packets went. */
function track(source: string, destination: string, port: number, translated = destination): void {
  const packet = `-s ${source} -d ${destination} --sport ${port} --dport 53`;
  const reply = `--reply-src ${translated} --reply-dst ${source} --reply-port-src 53 --reply-port-dst ${port}`;
  host.exec(`conntrack -I -p udp -t 600 ${packet} ${reply}`);
}
const ports = () =>
  [
    ...host.exec("conntrack -L -f ipv4").matchAll(/src=\S+ dst=\S+ sport=(\d+) dport=53 /g),
    ...host.exec("conntrack -L -f ipv6").matchAll(/src=\S+ dst=\S+ sport=(\d+) dport=53 /g),
  ]
    .map(([, port]) => Number(port))
    .sort();

/** As with a table too large to be read whole. */
async function forgetAmongMany(addresses: readonly IpAddress[]): Promise<{ readonly removed: number }> {
  const fd = openNetnsFile(host.path);
  using socket = inNetns(fd, () => NetlinkSocket.open(NETLINK_NETFILTER));
  closeSync(fd);
  return { removed: forgetConnections(socket, addresses, 0) };
}

describe("forgetConnections()", () => {
  it.each([
    ["few", (addresses: readonly IpAddress[]) => kernel.slow.forgetConnections(addresses)],
    ["many", forgetAmongMany],
  ])("finds an address at either end, before and after translation, among %s", async (_, forget) => {
    track("10.0.0.5", "198.51.100.7", 1001);
    track("10.0.9.9", "10.0.0.5", 1002);
    track("10.0.9.9", "10.96.0.10", 1003, "10.0.0.5");
    track("10.0.0.5", "10.96.0.10", 1004, "10.0.0.6");
    track("2001:db8::9", "2001:db8::5", 1005);
    track("10.0.9.9", "10.0.0.50", 2001);
    track("10.0.9.9", "10.96.0.10", 2002, "10.0.0.6");
    track("2001:db8::9", "2001:db8::6", 2003);
    expect(ports()).toHaveLength(8);
    const addresses = ["10.0.0.5", "2001:db8::5"].map((text) => IpAddress.parse(text));
    expect(await forget(addresses)).toEqual({ removed: 5 });
    expect(ports()).toEqual([2001, 2002, 2003]);
    expect(await forget(addresses)).toEqual({ removed: 0 });
  });

  it("forgets nothing when no address is given", async () => {
    track("10.0.9.9", "10.0.0.50", 2001);
    expect(await kernel.slow.forgetConnections([])).toEqual({ removed: 0 });
    expect(ports()).toEqual([2001]);
  });
});

describe("WorkerKernel", () => {
  it("rejects what waits when it is closed, and jobs beyond", async () => {
    const job = kernel.slow.removeLinkGroup(4101, "cw");
    await expect(job).resolves.toEqual({ removed: 0 });
    await kernel.close();
    await expect(kernel.slow.removeLinkGroup(4101, "cw")).rejects.toThrow();
  });

  it("finds its thread's file beside the chunks of a bundle", async () => {
    const folder = mkdtempSync("/run/bundle-");
    // koffi is native code and stays outside of the bundle
    symlinkSync(join(import.meta.dirname, "../../node_modules"), join(folder, "node_modules"));
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    await build({
      entryPoints: {
        main: join(import.meta.dirname, "../../common/kernel/real-kernel.ts"),
        "slow-worker": join(import.meta.dirname, "../../common/kernel/slow-worker.ts"),
      },
      outdir: join(folder, "dist"),
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "node",
      external: ["koffi"],
      // the netlink package is CommonJS and requires node:os
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
      },
      logLevel: "error",
    });
    const bundled: typeof import("../../common/kernel/real-kernel.ts") = await import(
      pathToFileURL(join(folder, "dist/main.js")).href
    );
    const other = await bundled.openKernel({ netnsPath: host.path });
    expect(other.host.links.find("lo")?.index).toBe(1);
    expect(await other.slow.removeLinkGroup(4101, "cw")).toEqual({ removed: 0 });
    await other.close();
  });
});
