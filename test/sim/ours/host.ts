import type { MacAddress } from "../../../common/ids.ts";
import type { Kernel } from "../../../common/kernel/kernel.ts";
import type { Link } from "../../../common/kernel/links.ts";
import type { HostNetwork } from "../../../ipamd/host-network/host-network.ts";

/** The part of a host that the pool looks at: links of interfaces. What is written to it is not kept; the host has tests of its own. */
export class SimHost {
  readonly kernel: Kernel;
  private readonly links = new Map<number, Link>();

  constructor() {
    const { links } = this;
    const host = {
      links: {
        list: () => [...links.values()],
        find: (ref: number | string) =>
          [...links.values()].find(({ index, name }) => index === ref || name === ref),
        change: () => undefined,
      },
      addresses: { list: () => [] },
      routes: { add: () => undefined, replace: () => undefined, remove: () => undefined, list: () => [] },
      together: (work: () => unknown) => work(),
    };
    const slow = { forgetConnections: async () => ({ removed: 0 }) };
    this.kernel = { host, nft: { change: () => undefined }, slow } as unknown as Kernel;
  }

  linkShows(mac: string): void {
    const index = this.links.size + 2;
    const name = `eth${this.links.size}`;
    this.links.set(index, { index, name, mac: mac as MacAddress, mtuBytes: 9001, up: true, group: 0 });
  }

  linkGoes(mac: string): void {
    for (const [index, link] of this.links) if (link.mac === mac) this.links.delete(index);
  }
}

export const nothingToWrite: HostNetwork = {
  apply: async () => [],
  applyForward: async () => [],
  rememberedCidrs: async () => [],
};
