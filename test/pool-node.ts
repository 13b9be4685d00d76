/** A node of the cloud in memory: the real pool, journal, leases and reconciler over a kernel in memory, in stepped time. */
import { PODS_TABLE } from "../common/constants.ts";
import { noFaultPoints } from "../common/fault-points.ts";
import type { Attachment, ContainerId } from "../common/ids.ts";
import type { Family } from "../common/ip.ts";
import { MemoryKernel } from "../common/kernel/memory/kernel.ts";
import { SteppedClock } from "../common/stepped-clock.ts";
import type { Action, Plan } from "../ipamd/plan/facts.ts";
import { Reconciler } from "../ipamd/reconcile.ts";
import { addressesOf } from "../ipamd/recovery.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../ipamd/settings.ts";
import { FakeCloud, type FakeCloudOptions, type FakeInstance } from "../providers/fake/cloud.ts";
import { FakeNetwork } from "../providers/fake/provider.ts";
import type { Capabilities } from "../providers/provider.ts";
import { testTable } from "./conformance/nft-table.ts";
import { poolParts } from "./pool-parts.ts";

export type PoolNodeOptions = {
  readonly cloud?: Omit<FakeCloudOptions, "clock">;
  readonly capabilities?: Partial<Capabilities>;
  readonly families?: readonly Family[];
  readonly settings?: Partial<PoolSettings>;
  /** Somebody's addresses that the primary has before us. */
  readonly secondary?: number;
};

export class PoolNode implements AsyncDisposable {
  readonly clock = new SteppedClock();
  readonly cloud: FakeCloud;
  readonly instance: FakeInstance;
  readonly kernel: MemoryKernel;
  readonly parts: ReturnType<typeof poolParts>;
  readonly reconciler: Reconciler;
  readonly plans: Plan[] = [];
  readonly failures: { readonly action: Action; readonly error: unknown }[] = [];
  /** Pods that are bound here and have not asked yet. */
  pending = 0;
  maxPods: number | undefined;
  settings: PoolSettings;
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[] = [];

  private constructor(kernel: MemoryKernel, options: PoolNodeOptions) {
    const { clock } = this;
    this.kernel = kernel;
    this.cloud = new FakeCloud({ ...options.cloud, clock });
    this.instance = this.cloud.launch({
      ...(options.capabilities && { capabilities: options.capabilities }),
      secondary: options.secondary ?? 0,
    });
    this.settings = { ...DEFAULT_POOL_SETTINGS, ...options.settings };
    const families = options.families ?? [4];
    this.parts = poolParts({
      kernel,
      clock,
      families,
      points: noFaultPoints,
      demandChanged: () => this.reconciler.kick(),
      useExisting: () => this.settings.useExisting,
    });
    const { pool, uplinks, adoption: host, book, log } = this.parts;
    this.reconciler = new Reconciler({
      network: new FakeNetwork(this.cloud, this.instance),
      host,
      pool,
      uplinks,
      pending: () => this.pending + book.waiting().length,
      knowsPods: () => false,
      maxPods: () => this.maxPods,
      settings: () => this.settings,
      families,
      passed: () => undefined,
      planned: (plan) => void this.plans.push(plan),
      failed: (action, error) => void this.failures.push({ action, error }),
      clock,
      log,
      random: () => 0.5,
    });
  }

  /** Its pool holds the spare. */
  static async start(options: PoolNodeOptions = {}): Promise<PoolNode> {
    const kernel = new MemoryKernel();
    await kernel.nft.load(testTable);
    const node = new PoolNode(kernel, options);
    node.running.push(
      node.reconciler.run(node.stopping.signal),
      node.parts.book.runCooling(node.stopping.signal),
    );
    await node.pass(1_000);
    return node;
  }

  /** Time goes on; links of interfaces that the cloud has attached or detached come and go within a tenth of a second. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.plug();
      await this.clock.advance(Math.min(100, left));
    }
  }

  /** Pods ask for addresses, and have them when this returns, or wait. */
  async add(...names: readonly string[]): Promise<void> {
    for (const name of names) {
      void this.parts.book.reserve(attachment(name), {}, this.stopping.signal).then(
        (lease) => this.parts.book.confirm(lease),
        () => undefined,
      );
    }
    await this.pass(100);
  }

  async remove(...names: readonly string[]): Promise<void> {
    for (const name of names) this.parts.book.release(attachment(name));
    await this.pass(100);
  }

  addressesOf(name: string): string[] {
    const lease = this.parts.book.find(attachment(name));
    return lease === undefined ? [] : addressesOf(lease).map(String);
  }

  /** Units by interface, as the cloud has them. */
  inCloud(): string[][] {
    return this.mine().map(({ units }) => units.map(String));
  }

  /** Units that were on the primary before us. */
  foreign(): string[] {
    const found = this.mine().find(({ owner }) => owner === "primary");
    return (found?.foreign ?? found?.units ?? []).map(String);
  }

  /** Units that the node holds, by slot. */
  held(): string[][] {
    return this.parts.uplinks.list().map(({ slot }) => this.parts.pool.units(slot).map(String));
  }

  /** Routes of the pods table by type: the journal. */
  routes(type: "blackhole" | "prohibit" | "unreachable"): string[] {
    const all = this.kernel.host.routes.list({ family: 4, table: PODS_TABLE });
    return all.filter((route) => route.type === type).map(({ destination }) => destination.toString());
  }

  calls(operation: Parameters<FakeCloud["failNext"]>[0]): number {
    return this.cloud.calls.get(operation) ?? 0;
  }

  get lastPlan(): Plan {
    const plan = this.plans.at(-1);
    if (plan === undefined) throw new Error("nothing has been planned");
    return plan;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort();
    await this.clock.run();
    await Promise.all(this.running);
  }

  private mine() {
    return this.cloud.now().filter(({ instanceId }) => instanceId === this.instance.id);
  }

  private plug(): void {
    const { hostNamespace, host } = this.kernel;
    const macs = new Set(this.mine().map(({ mac }) => mac));
    for (const link of host.links.list())
      if (link.name.startsWith("eth") && link.mac !== undefined && !macs.has(link.mac))
        hostNamespace.removeLink(link.index);
    for (const [index, { mac }] of this.mine().entries()) {
      if (host.links.list().some((link) => link.mac === mac)) continue;
      hostNamespace.addLink({ name: `eth${index}`, mac, mtuBytes: 9001, up: true, group: 0 });
    }
  }
}

export function attachment(name: string): Attachment {
  return { containerId: name as ContainerId, ifname: "eth0" };
}
