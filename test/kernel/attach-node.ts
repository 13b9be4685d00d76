/** A node and a pod, each a namespace, with a pool of one uplink: what tests of the verbs on the real kernel begin with. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { type Added, addPod } from "../../cni/add.ts";
import { AttachmentDesk } from "../../cni/attachment-desk.ts";
import type { CheckDeps } from "../../cni/check.ts";
import { DyingLinks } from "../../cni/dying-links.ts";
import { systemClock } from "../../common/clock.ts";
import { DYING_GROUP, POD_LINK_PREFIX } from "../../common/constants.ts";
import { noFaultPoints } from "../../common/fault-points.ts";
import { type Attachment, type ContainerId, DEFAULT_POOL } from "../../common/ids.ts";
import { Cidr } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { memoryLogger } from "../../common/log.ts";
import { podRules } from "../../ipamd/host-network/plan.ts";
import { Journal } from "../../ipamd/journal.ts";
import { LeaseBook } from "../../ipamd/lease-book.ts";
import { Pool } from "../../ipamd/pool.ts";

export const TABLE = `table inet causeway {
  counter spoofed { }
  set genuine4 { type ifname . ipv4_addr; }
  set genuine6 { type ifname . ipv6_addr; }
  set units4 { type ipv4_addr; flags interval; }
  set units6 { type ipv6_addr; flags interval; }
  chain use-1 { meta mark set meta mark & 0xffffe0ff | 0x00000100; }
  map uplink4 { type ipv4_addr : verdict; flags interval; }
  map uplink6 { type ipv6_addr : verdict; flags interval; }
}`;

export const attachment: Attachment = { containerId: "aa01" as ContainerId, ifname: "eth0" };
export const path = (name: string) => `/run/netns/${name}`;
export const run = (...command: string[]) =>
  execFileSync(command[0] as string, command.slice(1), { encoding: "utf8" });
const never = new AbortController().signal;
const FAMILIES = [4, 6] as const;

export class AttachNode implements AsyncDisposable {
  readonly node: string;
  readonly podNetns: string;
  readonly kernel: Kernel;
  readonly deps: CheckDeps & { readonly ipam: LeaseBook };

  private others: string[] = [];

  private constructor(node: string, kernel: Kernel) {
    this.node = node;
    this.podNetns = `${node}-pod`;
    this.kernel = kernel;
    this.deps = depsOf(kernel);
  }

  static async start(): Promise<AttachNode> {
    const node = `attach-${randomBytes(3).toString("hex")}`;
    for (const name of [node, `${node}-pod`]) run("ip", "netns", "add", name);
    run("ip", "-n", node, "link", "set", "lo", "up");
    run("ip", "-n", node, "address", "add", "10.0.0.10/32", "dev", "lo");
    const kernel = await openKernel({ netnsPath: path(node) });
    for (const rule of FAMILIES.flatMap((family) => podRules(1, family))) kernel.host.rules.add(rule);
    await kernel.nft.load(TABLE);
    return new AttachNode(node, kernel);
  }

  /** ADD, by default of `attachment` into the pod's namespace. */
  add(startedAt = 1, who = attachment, netnsPath = path(this.podNetns)): Promise<Added> {
    return addPod(this.deps, { attachment: who, netnsPath, pod: {}, startedAt }, never);
  }

  /** One more namespace; gives its path. */
  addNetns(name: string): string {
    const whole = `${this.node}-${name}`;
    run("ip", "netns", "add", whole);
    this.others.push(whole);
    return path(whole);
  }

  /** Lets namespaces of addNetns() die, all in one moment. */
  removeNetns(...names: readonly string[]): void {
    const lines = names.map((name) => `netns delete ${this.node}-${name}\n`).join("");
    execFileSync("ip", ["-batch", "-"], { input: lines });
    this.others = this.others.filter((other) => !names.some((name) => other === `${this.node}-${name}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kernel.close();
    for (const name of [this.node, this.podNetns, ...this.others])
      execFileSync("sh", ["-c", `ip netns delete ${name} 2>/dev/null || true`]);
  }
}

function depsOf(kernel: Kernel): AttachNode["deps"] {
  const pool = new Pool();
  const journal = new Journal(kernel, noFaultPoints);
  pool.addUplink(1, DEFAULT_POOL);
  for (const unit of ["10.0.0.16/28", "fd00:10::/80"].map((text) => Cidr.parse(text))) {
    journal.hold(1, unit);
    pool.hold(1, unit);
  }
  const ipam = new LeaseBook({
    pool,
    journal,
    clock: systemClock,
    log: memoryLogger().log,
    families: FAMILIES,
    cooldownMs: () => 30_000,
    uplink: () => undefined,
    podMtuBytes: () => 9001,
    forgetConnections: (addresses) => kernel.slow.forgetConnections(addresses),
    demandChanged: () => undefined,
    limit: () => undefined,
  });
  return {
    kernel,
    points: noFaultPoints,
    bornAt: 0,
    ipam,
    desk: new AttachmentDesk(systemClock, memoryLogger().log),
    dyingLinks: new DyingLinks({
      removeGroup: () => kernel.slow.removeLinkGroup(DYING_GROUP, POD_LINK_PREFIX),
      clock: systemClock,
      log: memoryLogger().log,
      stopping: never,
    }),
    dropOlderDels: async () => undefined,
    rulesOf: ({ slot = 0 }) => FAMILIES.flatMap((family) => podRules(slot, family)),
  };
}
