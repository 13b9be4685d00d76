import { type Cidr, mergeCidrs } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import type { Xtables } from "../../common/kernel/xtables.ts";
import type { Logger } from "../../common/log.ts";
import type { Settings } from "../settings.ts";
import { formatUplinkAlias } from "../uplink.ts";
import { applyHostPlan } from "./apply.ts";
import { NftApplier } from "./apply-nft.ts";
import { ensureForwardAccepts } from "./forward-accepts.ts";
import type { HostNetwork, HostWanted } from "./host-network.ts";
import { planHostNetwork } from "./plan.ts";

/** The host's network in the real kernel: one apply at a time. */
export class KernelHostNetwork implements HostNetwork {
  private readonly kernel: Kernel;
  private readonly xtables: Xtables;
  private readonly settings: Settings;
  private readonly log: Logger;
  private readonly nft: NftApplier;
  private last: Promise<unknown> = Promise.resolve();

  constructor(parts: {
    readonly kernel: Kernel;
    readonly xtables: Xtables;
    readonly settings: Settings;
    readonly log: Logger;
  }) {
    this.kernel = parts.kernel;
    this.xtables = parts.xtables;
    this.settings = parts.settings;
    this.log = parts.log;
    this.nft = new NftApplier(parts.kernel.nft);
  }

  apply(wanted: () => HostWanted): Promise<readonly string[]> {
    // what is wanted is asked when the turn comes: an older wish must not undo a newer one
    const turn = this.last.then(() => this.applyNow(wanted()));
    this.last = turn.catch(() => undefined);
    return turn;
  }

  rememberedCidrs(): Promise<readonly Cidr[]> {
    return this.nft.insideCidrs();
  }

  private async applyNow({ uplinks, units, networkCidrs }: HostWanted): Promise<readonly string[]> {
    const { settings, kernel } = this;
    // without the primary there is nothing to route by yet
    if (!uplinks.some(({ isPrimary }) => isPrimary)) return [];
    const plan = planHostNetwork({
      uplinks: uplinks.map((uplink) => ({
        ...uplink,
        units: units.get(uplink.slot) ?? [],
        alias: formatUplinkAlias(uplink),
      })),
      inside: mergeCidrs([...networkCidrs, ...settings.excludeSnatCidrs]),
      settings,
    });
    const written = applyHostPlan(kernel.host, plan);
    written.push(...(await this.nft.apply(plan.nft)));
    for (const { backend, family } of await ensureForwardAccepts(this.xtables, plan.forwardAccepts)) {
      written.push(`FORWARD accepts of iptables-${backend}, IPv${family}`);
    }
    if (written.length > 0) this.log.info({ written }, "host network changed");
    return written;
  }
}
