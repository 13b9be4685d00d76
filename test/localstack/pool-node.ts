/** A node's pool on LocalStack: the real reconciler and adapter, over a kernel in memory. */
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../../common/clock.ts";
import { parseMac } from "../../common/ids.ts";
import { MemoryKernel } from "../../common/kernel/memory/kernel.ts";
import type { ShelfSummary } from "../../ipamd/pool.ts";
import { Reconciler } from "../../ipamd/reconcile.ts";
import { DEFAULT_POOL_SETTINGS } from "../../ipamd/settings.ts";
import { present } from "../cloudsim/aws/testing.ts";
import { testTable } from "../conformance/nft-table.ts";
import { poolParts } from "../pool-parts.ts";
import type { LocalLab } from "./lab.ts";

/** Once the test lets it: how long what is idle is kept, an interface five times as long. */
const RELEASE_AFTER_MS = 100;
const POLL_MS = 100;

export class PoolNode {
  /** Pods that want an address and have none. */
  pending = 0;
  private releaseAfterMs = DEFAULT_POOL_SETTINGS.releaseAfterMs;
  private readonly lab: LocalLab;
  private readonly kernel: MemoryKernel;
  private readonly parts: ReturnType<typeof poolParts>;
  private readonly reconciler: Reconciler;
  private readonly stopping = new AbortController();
  private readonly running: Promise<unknown>;

  private constructor(lab: LocalLab, kernel: MemoryKernel) {
    this.lab = lab;
    this.kernel = kernel;
    this.parts = poolParts({ kernel, clock: systemClock });
    const { pool, uplinks, adoption: host, log } = this.parts;
    const nothing = () => undefined;
    this.reconciler = new Reconciler({
      network: lab.network(),
      host,
      pool,
      uplinks,
      pending: () => this.pending,
      knowsPods: () => false,
      maxPods: nothing,
      // blocks are unknown to LocalStack
      settings: () => ({
        ...DEFAULT_POOL_SETTINGS,
        unit: "single",
        releaseAfterMs: this.releaseAfterMs,
      }),
      families: [4],
      passed: nothing,
      planned: nothing,
      failed: nothing,
      clock: systemClock,
      log,
      random: () => 0.5,
    });
    const { signal } = this.stopping;
    this.running = Promise.all([this.reconciler.run(signal), this.plugLinks(signal)]);
  }

  static async start(lab: LocalLab): Promise<PoolNode> {
    const kernel = new MemoryKernel();
    await kernel.nft.load(testTable);
    const node = new PoolNode(lab, kernel);
    await node.reconciler.initialised;
    return node;
  }

  /** Addresses of all uplinks together. */
  count(what: "units" | "free"): number {
    return this.parts.pool.summary().reduce((sum: number, shelf: ShelfSummary) => sum + shelf[what], 0);
  }

  /** The reconciler looks now, not when it would. */
  kick(): void {
    this.reconciler.kick();
  }

  /** What is idle now goes back: at once, since all of it has been so for longer than the pool waits from now on. */
  async losePatience(): Promise<void> {
    this.kick();
    await delay(10 * RELEASE_AFTER_MS);
    this.releaseAfterMs = RELEASE_AFTER_MS;
    this.kick();
  }

  /** Why the pool cannot grow; undefined when it can. */
  limit(): string | undefined {
    return this.reconciler.limit();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** The host's links: those of the interfaces that are attached, as EC2 plugs them. */
  private async plugLinks(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const attached = await this.lab.list({ Name: "attachment.instance-id", Values: [this.lab.instanceId] });
      const macs = new Map(
        attached.map((one) => [parseMac(present(one.MacAddress)), present(one.Attachment?.DeviceIndex)]),
      );
      const { hostNamespace } = this.kernel;
      const links = [...hostNamespace.links.values()];
      for (const { index, mac } of links) {
        if (mac !== undefined && !macs.has(mac)) hostNamespace.removeLink(index);
      }
      for (const [mac, device] of macs) {
        if (links.some((link) => link.mac === mac)) continue;
        hostNamespace.addLink({ name: `eth${device}`, mac, mtuBytes: 9001, up: true, group: 0 });
      }
      await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
