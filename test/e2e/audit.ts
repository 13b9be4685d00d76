/**
 * Exact accounts of a node's addresses: the cloud's, the daemon's and the kernel's must be the same. The kernel is read as a daemon reads it
 * at its start, so a restart at this moment would come to the same.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Cidr, IpAddress } from "../../common/ip.ts";
import type { Kernel } from "../../common/kernel/kernel.ts";
import { openKernel } from "../../common/kernel/real-kernel.ts";
import { addressesOf, type KernelState, readKernel, recover } from "../../ipamd/recovery.ts";
import { unitsOf } from "../cloudsim/aws/model/resources.ts";
import type { Cluster, ClusterNode } from "../cluster/cluster.ts";
import { type PoolPage, readPoolPage } from "../cluster/pool-page.ts";

/** The books of one node at one moment. */
export type Books = {
  readonly page: PoolPage;
  /** Units by interface, those of the node itself included. */
  readonly cloud: ReadonlyMap<string, readonly string[]>;
  readonly kernel: KernelState;
  readonly problems: readonly string[];
};

/** Looks at one node's books; the kernel's doors stay open until disposed. */
export class Auditor implements AsyncDisposable {
  private readonly cluster: Cluster;
  private readonly node: ClusterNode;
  private readonly kernel: Kernel;

  private constructor(cluster: Cluster, node: ClusterNode, kernel: Kernel) {
    this.cluster = cluster;
    this.node = node;
    this.kernel = kernel;
  }

  static async open(cluster: Cluster, node: ClusterNode): Promise<Auditor> {
    return new Auditor(cluster, node, await openKernel({ netnsPath: node.place.netnsPath }));
  }

  /** Everything that does not agree, right now. */
  async read(): Promise<Books> {
    const page = await readPoolPage(this.node.place.netnsPath);
    const kernel = readKernel(this.kernel);
    const cloud = this.cloudUnits();
    return {
      page,
      cloud,
      kernel,
      problems: [...compareCloud(cloud, page, this.node), ...checkUses(page), ...compareKernel(kernel, page)],
    };
  }

  /** Waits until the books agree and `also` holds; throws with what does not at the deadline. What is on its way (a link's removal, the end of a cooling) may take a moment. */
  async settled(also: (books: Books) => boolean = () => true, deadlineMs = 8_000): Promise<Books> {
    const end = performance.now() + deadlineMs;
    for (;;) {
      const books = await this.read();
      if (books.problems.length === 0 && also(books)) return books;
      if (performance.now() > end) throw new Error(this.describe(books));
      await delay(20);
    }
  }

  private describe({ page, problems }: Books): string {
    const said =
      problems.length === 0 ? "the books agree, but not on what was expected" : problems.join("\n");
    return `${said}\n${JSON.stringify(page)}\n${this.node.daemon?.logText()}`;
  }

  /** What the cloud delivers to this node. */
  private cloudUnits(): Map<string, string[]> {
    const ours = [...this.cluster.ec2.account.interfaces.values()].filter(
      ({ attachment }) => attachment?.instanceId === this.node.instance.id,
    );
    return new Map(ours.map((one) => [one.id, unitsOf(one).map(String)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kernel.close();
  }
}

function compareCloud(
  cloud: ReadonlyMap<string, readonly string[]>,
  page: PoolPage,
  node: ClusterNode,
): string[] {
  // the node's first IPv6 address is the host's, which the cloud does not tell from others
  const hosts = [node.addresses.ipv4, node.addresses.ipv6].map(String);
  const ids = page.uplinks.map(({ interfaceId }) => interfaceId);
  return [
    ...differences("interfaces, cloud and pool", [...cloud.keys()], ids),
    ...page.uplinks.flatMap(({ interfaceId, own, units, releasing }) => {
      const notForPods = [...hosts, ...own];
      const said = (cloud.get(interfaceId) ?? []).filter(
        (unit) => !notForPods.includes(unit.split("/")[0] ?? ""),
      );
      // what goes back is the cloud's already, or not yet
      const held = said.filter((unit) => !releasing.includes(unit));
      return differences(`units of ${interfaceId}, cloud and pool`, held, units);
    }),
  ];
}

/** Every address of a held unit is free, leased or cooling, and only one of them. */
function checkUses(page: PoolPage): string[] {
  const used = [...page.leases.flatMap(({ addresses }) => addresses), ...page.cooling];
  const twice = used.filter((address, at) => used.indexOf(address) !== at);
  const units = page.uplinks.flatMap((uplink) => uplink.units.map((unit) => Cidr.parse(unit)));
  const homeless = used.filter((text) => !units.some((unit) => unit.contains(IpAddress.parse(text))));
  return [
    ...twice.map((address) => `${address} is leased or cooling twice`),
    ...homeless.map((address) => `${address} is leased or cooling, but in no unit`),
    ...page.uplinks.flatMap(({ slot, units: texts, families }) =>
      families.flatMap(({ family, free, leased, cooling }) => {
        const size = addressesFor(
          texts.map((text) => Cidr.parse(text)).filter((unit) => unit.family === family),
        );
        return free + leased + cooling === size
          ? []
          : [`slot ${slot} IPv${family}: ${free} free + ${leased} leased + ${cooling} cooling of ${size}`];
      }),
    ),
  ];
}

/** That pods may have: of a block of IPv6 not the first. */
function addressesFor(units: readonly Cidr[]): number {
  return units.reduce(
    (sum, { family, isSingle, size }) => sum + Number(size) - (family === 6 && !isSingle ? 1 : 0),
    0,
  );
}

function compareKernel(state: KernelState, page: PoolPage): string[] {
  const found = recover(state);
  const units = page.uplinks.flatMap(({ slot, units: held, releasing }) =>
    [...held, ...releasing].map((unit) => `${slot} ${unit}`),
  );
  const held = page.uplinks.flatMap((uplink) => uplink.units);
  const leaving = page.uplinks.flatMap((uplink) => uplink.releasing);
  const lease = (container: string, ifname: string, addresses: readonly unknown[]) =>
    `${container} ${ifname} ${addresses.join(" ")}`;
  return [
    ...differences(
      "units, nft and pool",
      found.units.map(({ slot, unit }) => `${slot} ${unit}`),
      units,
    ),
    ...differences("held units, routes and pool", routesOf(state, "blackhole"), held),
    ...differences("units that go back, routes and pool", routesOf(state, "prohibit"), leaving),
    ...differences(
      "leases, links and pool",
      found.leases.map(({ record }) =>
        lease(record.attachment.containerId, record.attachment.ifname, addressesOf(record)),
      ),
      page.leases.map(({ containerId, ifname, addresses }) => lease(containerId, ifname, addresses)),
    ),
    ...differences(
      "leased addresses, routes and pool",
      routesOf(state, "unicast"),
      page.leases.flatMap(({ addresses }) =>
        addresses.map((text) => IpAddress.parse(text).toCidr().toString()),
      ),
    ),
    ...differences("cooling addresses, routes and pool", found.cooling.map(String), page.cooling),
    ...found.dyingLinks.map(({ name }) => `link ${name} is half made or half removed`),
    ...found.strayRoutes.map(({ destination }) => `route ${destination} belongs to no lease`),
    ...found.strayGenuine.map((element) => `element ${JSON.stringify(element)} belongs to no lease`),
  ];
}

function routesOf(state: KernelState, wanted: string): string[] {
  return state.routes.filter(({ type }) => type === wanted).map(({ destination }) => destination.toString());
}

function differences(what: string, first: readonly string[], second: readonly string[]): string[] {
  const [a, b] = [[...first].sort().join(", "), [...second].sort().join(", ")];
  return a === b ? [] : [`${what}: [${a}] and [${b}]`];
}
