import { type MacAddress, parseMac } from "../../../common/ids.ts";
import { Cidr, type Family, IpAddress } from "../../../common/ip.ts";
import type { KernelEvent } from "../../../common/kernel/events.ts";
import type { Kernel } from "../../../common/kernel/kernel.ts";
import type { NetworkStack } from "../../../common/kernel/netns.ts";
import type { Route } from "../../../common/kernel/routes.ts";

/** A fresh kernel with an empty host namespace, and what other programs do to it. */
export type KernelHarness = {
  readonly kernel: Kernel;
  /** A new pod namespace; gives its path. */
  createNetns(): string;
  /** A file that is no namespace; gives its path. */
  createPlainFile(): string;
  destroyNetns(path: string): void;
  /** As another process would. */
  setLinkDown(name: string): void;
  setMac(netnsPath: string, name: string, mac: MacAddress): void;
  deleteRule(family: Family, priority: number): void;
  deleteTable(): void;
  close(): Promise<void>;
};

export const ip = IpAddress.parse;
export const cidr = Cidr.parse;
export const hostMac = parseMac("0a:00:00:00:00:01");
export const podMac = parseMac("0a:00:00:00:00:02");

/** A route of ours in the pods table; `unreachable` unless said otherwise. */
export function route(destination: string, rest: Partial<Route> = {}): Route {
  return {
    destination: cidr(destination),
    table: 4100,
    type: "unreachable",
    protocol: 197,
    metric: 4096,
    ...rest,
  };
}

/** `type destination metric link`, sorted. */
export function printRoutes(routes: readonly Route[]): string[] {
  return routes
    .map(({ type, destination, metric, linkIndex }) =>
      [type, destination, metric, linkIndex ?? "-"].join(" "),
    )
    .sort();
}

/** The harness of the test that runs now, and what many tests begin with. */
export class KernelFixture {
  private current: KernelHarness | undefined;

  use(harness: KernelHarness): void {
    this.current = harness;
  }

  get harness(): KernelHarness {
    if (this.current === undefined) throw new Error("no test is running");
    return this.current;
  }

  get kernel(): Kernel {
    return this.harness.kernel;
  }

  get host(): NetworkStack {
    return this.kernel.host;
  }

  /** A pair from the host into a namespace, both ends down. */
  createPair(
    path: string,
    hostName = "cw0",
    podName = "eth0",
  ): ReturnType<NetworkStack["links"]["createPair"]> {
    using netns = this.kernel.netns.open(path);
    const pair = { hostName, hostMac, podName, podMac, mtuBytes: 1400, podNetnsFd: netns.fd };
    return this.host.links.createPair(pair);
  }

  /** A new namespace with a pair into it, the host's end up. */
  createPod(hostName = "cw0"): { readonly path: string; readonly hostIndex: number } {
    const path = this.harness.createNetns();
    const { hostIndex } = this.createPair(path, hostName);
    this.host.links.change(hostIndex, { addrGenModeNone: true, up: true });
    return { path, hostIndex };
  }

  /** Acts, and gives the events that come until one fits. */
  async eventsUntil(fits: (event: KernelEvent) => boolean, act: () => void): Promise<KernelEvent[]> {
    const seen: KernelEvent[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    using _ = this.kernel.events.subscribe((event) => {
      seen.push(event);
      if (fits(event)) resolve();
    });
    act();
    await promise;
    return seen;
  }
}
