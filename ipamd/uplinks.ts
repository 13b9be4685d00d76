/**
 * Which interfaces of this node carry pods, and by which host link and slot. Slots are given once and kept while the uplink lives: marks, tables
 * and the journal name them.
 */
import { PROTOCOL, SLOT_MAX } from "../common/constants.ts";
import type { InterfaceId } from "../common/ids.ts";
import { Cidr, type IpAddress } from "../common/ip.ts";
import type { Link } from "../common/kernel/links.ts";
import type { NetworkStack } from "../common/kernel/netns.ts";
import type { CloudInterface } from "../providers/provider.ts";
import { type OwnAddress, tableOf } from "./host-network/uplinks.ts";
import type { Recovered } from "./recovery.ts";
import type { Uplink } from "./uplink.ts";

export const PRIMARY_SLOT = 1;

export class Uplinks {
  private readonly bySlot = new Map<number, Uplink>();
  private readonly host: NetworkStack;

  constructor(host: NetworkStack) {
    this.host = host;
  }

  list(): Uplink[] {
    return [...this.bySlot.values()].sort((a, b) => a.slot - b.slot);
  }

  get(slot: number): Uplink | undefined {
    return this.bySlot.get(slot);
  }

  byInterface(id: InterfaceId): Uplink | undefined {
    return this.list().find(({ interfaceId }) => interfaceId === id);
  }

  /** Undefined also for the link of an uplink under another name than the one it is known by. */
  byLink({ index, name }: Pick<Link, "index" | "name">): Uplink | undefined {
    return this.list().find(({ linkIndex, linkName }) => linkIndex === index && linkName === name);
  }

  /** What the links' aliases, addresses and tables remember; the cloud is not needed. */
  restore(recovered: Recovered): void {
    const units = recovered.units.map(({ unit }) => unit);
    for (const { record, link } of recovered.uplinks) {
      if (link.mac === undefined) continue;
      this.bySlot.set(record.slot, {
        ...record,
        ...linkPart(link, link.mac),
        isPrimary: record.slot === PRIMARY_SLOT,
        addresses: this.ownAddresses(link.index, units),
        gateways: this.gateways(record.slot, link.index),
      });
    }
  }

  /**
   * The uplink of an attached interface, with what the cloud says of it; undefined while its link has not shown, or when every slot is
   * taken. Repeatable: an interface keeps its slot.
   */
  ensure(cloud: CloudInterface, links: readonly Link[]): Uplink | undefined {
    const link = links.find((candidate) => candidate.mac === cloud.mac && candidate.kind !== "bridge");
    const slot = this.byInterface(cloud.id)?.slot ?? this.freeSlot(cloud.isPrimary);
    if (link === undefined || slot === undefined) return undefined;
    const uplink: Uplink = {
      slot,
      ...linkPart(link, cloud.mac),
      interfaceId: cloud.id,
      poolKey: cloud.poolKey,
      isPrimary: cloud.isPrimary,
      addresses: cloud.own.map((address) => ({ address, prefixLength: prefixLengthOf(cloud, address) })),
      gateways: Object.values(cloud.gateways),
    };
    this.bySlot.set(slot, uplink);
    return uplink;
  }

  /** Its slot is free for another. Idempotent. */
  remove(slot: number): void {
    this.bySlot.delete(slot);
  }

  private freeSlot(isPrimary: boolean): number | undefined {
    if (isPrimary) return PRIMARY_SLOT;
    for (let slot = PRIMARY_SLOT + 1; slot <= SLOT_MAX; slot += 1) if (!this.bySlot.has(slot)) return slot;
    return undefined;
  }

  /** As configured, but for what others put there of our pool's: that is damage, and is removed. */
  private ownAddresses(linkIndex: number, units: readonly Cidr[]): OwnAddress[] {
    return this.host.addresses
      .list(linkIndex)
      .filter(({ scope }) => (scope ?? 0) === 0)
      .filter(({ address }) => !units.some((unit) => unit.contains(address)))
      .map(({ address, prefixLength }) => ({ address, prefixLength }));
  }

  private gateways(slot: number, linkIndex: number): IpAddress[] {
    return ([4, 6] as const).flatMap((family) => {
      const routes = this.host.routes.list({ family, table: tableOf(slot), protocol: PROTOCOL });
      const via = routes.find((route) => route.gateway !== undefined && route.linkIndex === linkIndex);
      return via?.gateway === undefined ? [] : [via.gateway];
    });
  }
}

function linkPart(link: Link, mac: CloudInterface["mac"]) {
  return { linkName: link.name, linkIndex: link.index, mac, mtuBytes: link.mtuBytes };
}

function prefixLengthOf(cloud: CloudInterface, address: IpAddress): number {
  const subnet = address.family === 4 ? cloud.subnet.ipv4 : cloud.subnet.ipv6;
  return (subnet?.contains(address) ? subnet : Cidr.of(address, address.family === 4 ? 32 : 128))
    .prefixLength;
}
