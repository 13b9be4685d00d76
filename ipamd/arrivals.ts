/**
 * Which new links of the host are worth a question to the cloud. Containers, tunnels and other networks make links all day; an interface of ours is known
 * by its hardware address, and one that the cloud has not told of yet is a device (it has no kind).
 */
import type { Link } from "../common/kernel/links.ts";
import type { CloudView } from "../providers/provider.ts";
import type { Uplink } from "./uplink.ts";
import type { Uplinks } from "./uplinks.ts";

export type ArrivalsDeps = {
  readonly uplinks: Pick<Uplinks, "list">;
  readonly hasLink: (linkIndex: number) => boolean;
  /** The cloud's last word; undefined before the first. */
  readonly view: () => CloudView | undefined;
};

/**
 * Expected: the link of an interface that the cloud has given, and that is all that was waited for. Returned: that of an interface which carried pods by
 * another one, or which the cloud had as detached. Unknown: a device that it has not told of.
 */
export type Arrival = "expected" | "returned" | "unknown";

export class Arrivals {
  private readonly deps: ArrivalsDeps;
  /** What each link was when it was an arrival, so that it is one once. */
  private readonly told = new Map<number, string>();

  constructor(deps: ArrivalsDeps) {
    this.deps = deps;
  }

  /** What came with this event; undefined for all that is nothing to us, or nothing new. */
  notice(change: "set" | "gone", link: Link): Arrival | undefined {
    if (change === "gone") this.told.delete(link.index);
    const arrival = change === "set" ? this.judge(link) : undefined;
    const identity = `${arrival} ${link.mac} ${link.name}`;
    if (arrival === undefined || this.told.get(link.index) === identity) return undefined;
    this.told.set(link.index, identity);
    return arrival;
  }

  private judge(link: Link): Arrival | undefined {
    const view = this.deps.view();
    // a bridge has the hardware address of one of its ports
    if (link.mac === undefined || link.kind === "bridge" || view === undefined) return undefined;
    const cloud = view.interfaces.find(({ mac }) => mac === link.mac);
    if (cloud === undefined) return link.kind === undefined ? "unknown" : undefined;
    if (cloud.ownership === "foreign") return undefined;
    const uplink = this.deps.uplinks.list().find(({ mac }) => mac === link.mac);
    if (uplink !== undefined) return this.isCarriedBefore(uplink, link) ? undefined : "returned";
    return cloud.state === "attaching" || cloud.state === "attached" ? "expected" : "returned";
  }

  /** The uplink has another link, or this one under this name. Links on top of an uplink's have its hardware address too. */
  private isCarriedBefore(uplink: Uplink, { index, name }: Link): boolean {
    if (uplink.linkIndex === index) return uplink.linkName === name;
    return this.deps.hasLink(uplink.linkIndex);
  }
}
