import { Cidr, mergeCidrs } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import type { NftElement } from "../../common/kernel/nft.ts";
import { previewNft } from "../../common/kernel/nft-preview.ts";
import type { Xtables } from "../../common/kernel/xtables.ts";
import type { Logger } from "../../common/log.ts";
import type { Settings } from "../settings.ts";
import { formatUplinkAlias } from "../uplink.ts";
import { applyHostNetwork, type HostNetworkDoors } from "./apply.ts";
import type { BeforeBook } from "./before.ts";
import { applyForwardAccepts } from "./forward-accepts.ts";
import type { HostNetwork, HostWanted } from "./host-network.ts";
import { setElements } from "./nft-compare.ts";
import { type HostNetworkPlan, planHostNetwork } from "./plan.ts";

export type KernelHostNetworkParts = {
  readonly kernel: Kernel;
  readonly xtables: Xtables;
  /** Those in force. */
  readonly settings: () => Settings;
  readonly before: BeforeBook;
  readonly log: Logger;
};

/** The host's network in the real kernel: one apply at a time. */
export class KernelHostNetwork implements HostNetwork {
  private readonly parts: KernelHostNetworkParts;
  private readonly preview = remembering(previewNft);
  private last: Promise<unknown> = Promise.resolve();
  private isApplied = false;

  constructor(parts: KernelHostNetworkParts) {
    this.parts = parts;
  }

  apply(wanted: () => HostWanted, genuine: () => readonly NftElement[]): Promise<readonly string[]> {
    // what is wanted is asked when the turn comes: an older wish must not undo a newer one
    return this.inTurn(() => this.applyNow(wanted, genuine));
  }

  applyForward(): Promise<readonly string[]> {
    return this.inTurn(async () => {
      const { xtables, settings } = this.parts;
      return this.tell(this.isApplied ? await applyForwardAccepts(xtables, settings().families) : []);
    });
  }

  async rememberedCidrs(): Promise<readonly Cidr[]> {
    const listing = await this.parts.kernel.nft.read();
    return listing === undefined ? [] : setElements(listing, "inside4").map((text) => Cidr.parse(text));
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.last.then(work);
    this.last = turn.catch(() => undefined);
    return turn;
  }

  private async applyNow(
    wanted: () => HostWanted,
    genuine: () => readonly NftElement[],
  ): Promise<readonly string[]> {
    const now = wanted();
    // without the primary there is nothing to route by yet
    if (!now.uplinks.some(({ isPrimary }) => isPrimary)) return [];
    const { kernel, xtables, settings, before } = this.parts;
    const { host, nft } = kernel;
    const units = () => unitElements(wanted());
    const doors: HostNetworkDoors = { host, nft, xtables, before, preview: this.preview, genuine, units };
    this.isApplied = true;
    return this.tell(await applyHostNetwork(doors, hostNetworkPlan(now, settings())));
  }

  private tell(written: readonly string[]): readonly string[] {
    if (written.length > 0) this.parts.log.info({ written }, "host network changed");
    return written;
  }
}

function unitElements({ units }: HostWanted): NftElement[] {
  return [...units].flatMap(([slot, list]) => list.map((unit) => ({ set: "uplink", slot, unit }) as const));
}

/** The plan for what is wanted under these settings. */
export function hostNetworkPlan(
  { uplinks, units, networkCidrs }: HostWanted,
  settings: Settings,
): HostNetworkPlan {
  return planHostNetwork({
    uplinks: uplinks.map((uplink) => ({
      ...uplink,
      units: units.get(uplink.slot) ?? [],
      alias: formatUplinkAlias(uplink),
    })),
    inside: mergeCidrs([...networkCidrs, ...settings.excludeSnatCidrs]),
    settings,
  });
}

/** The last answer again for the same question. */
function remembering<T>(ask: (question: string) => Promise<T>): (question: string) => Promise<T> {
  let last: { readonly question: string; readonly answer: Promise<T> } | undefined;
  return async (question) => {
    if (last?.question !== question) last = { question, answer: ask(question) };
    const { answer } = last;
    try {
      return await answer;
    } catch (error) {
      last = undefined;
      throw error;
    }
  };
}
