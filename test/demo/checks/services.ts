/** Services by kube-proxy's recorded rules: iptables mode on the first node, nftables mode on the second. */
import { type Family, IpAddress } from "../../../common/ip.ts";
import { NODE_PORT, SERVICE } from "../../cloudsim/kube-proxy.ts";
import { tcpAsk } from "../../cloudsim/probe/index.ts";
import { type Check, converse, type Expectation, FAMILIES } from "../check.ts";
import { addressOf, type DemoNode, endpoints, type Host, remoteOf, type World } from "../world.ts";

const TRIES_MAX = 40;

function clusterIp(service: number, family: Family): IpAddress {
  return IpAddress.parse(family === 4 ? `172.20.0.${service}` : `fd00:20::${service}`);
}

/** Asks until every endpoint has answered, as which one does is chance; every answer must be right. */
async function askAll(
  asker: Host,
  to: IpAddress,
  port: number,
  servers: readonly string[],
  from?: IpAddress,
): Promise<string[]> {
  const met = new Set<string>();
  for (let tries = 0; tries < TRIES_MAX && met.size < servers.length; tries += 1) {
    const reply = await tcpAsk(asker.netnsPath, { to, port, from });
    const what = `${asker.name} to ${to} port ${port}`;
    if (!reply.ok) return [`${what}: ${reply.reason}`];
    if (!servers.includes(reply.server)) return [`${what}: answered by ${reply.server}`];
    met.add(reply.server);
  }
  const unmet = servers.filter((server) => !met.has(server));
  return unmet.length === 0 ? [] : [`${asker.name} to ${to}: never met ${unmet.join(", ")}`];
}

async function all(jobs: readonly Promise<string[]>[]): Promise<string[]> {
  return (await Promise.all(jobs)).flat();
}

/** Both nodes, both families. */
function everywhere(
  world: World,
  job: (node: DemoNode, family: Family) => readonly Promise<string[]>[],
): Promise<string[]> {
  return all(world.nodes.flatMap((node) => FAMILIES.flatMap((family) => job(node, family))));
}

const unique = (...hosts: readonly Host[]) => [...new Set(hosts.map(({ name }) => name))];

export const serviceChecks: readonly Check[] = [
  {
    name: "cluster-ip",
    shows: "every pod and the node to a ClusterIP with endpoints on each uplink and on the other node",
    run: (world) =>
      everywhere(world, (node, family) => {
        const servers = unique(...endpoints(node), remoteOf(world.nodes, node));
        return [node.host, ...node.pods].map((client) =>
          askAll(client, clusterIp(SERVICE.web, family), 80, servers),
        );
      }),
  },
  {
    name: "cluster-ip-remote",
    shows: "pods on secondary uplinks to a ClusterIP whose endpoint is on the other node: decided after DNAT",
    run: (world) =>
      everywhere(world, (node, family) => {
        const servers = unique(endpoints(node)[1], remoteOf(world.nodes, node));
        const clients = node.pods.filter(({ slot }) => slot > 1);
        return clients.map((client) => askAll(client, clusterIp(SERVICE.npCluster, family), 80, servers));
      }),
  },
  {
    name: "cluster-ip-hairpin",
    shows: "a pod to itself by its own Service",
    run: (world) =>
      everywhere(world, (node, family) => [
        askAll(endpoints(node)[1], clusterIp(SERVICE.one, family), 80, [endpoints(node)[1].name]),
      ]),
  },
  {
    name: "node-port",
    shows:
      "NodePort at the primary interface to pods on another uplink and another node, from the VPC and the internet",
    run: (world) =>
      everywhere(world, (node, family) => {
        const to = addressOf(node.host, family);
        const servers = unique(endpoints(node)[1], remoteOf(world.nodes, node));
        return [world.peer, ...(family === 6 ? [world.ext] : [])].map((client) =>
          askAll(client, to, NODE_PORT.cluster, servers),
        );
      }),
  },
  {
    name: "node-port-local",
    shows:
      "NodePort with policy Local to a pod on another uplink than the one it came in by; the client's address kept",
    run: (world) =>
      converse(
        world.nodes.flatMap((node) =>
          FAMILIES.map(
            (family): Expectation => ({
              what: `peer to ${node.host.name} over IPv${family}`,
              from: world.peer,
              question: { to: addressOf(node.host, family), port: NODE_PORT.local },
              server: endpoints(node)[1].name,
              seen: addressOf(world.peer, family),
            }),
          ),
        ),
      ),
  },
  {
    name: "node-port-secondary",
    shows: "NodePort at a secondary interface's address to a pod of another node",
    run: (world) =>
      all(
        world.nodes.map((node) =>
          askAll(
            world.peer,
            node.secondaryIpv4,
            NODE_PORT.cluster,
            unique(endpoints(node)[1], remoteOf(world.nodes, node)),
          ),
        ),
      ),
  },
  {
    name: "node-port-host",
    shows: "NodePort at a secondary interface's address to a hostNetwork backend",
    run: (world) =>
      all(
        world.nodes.map((node) => askAll(world.peer, node.secondaryIpv4, NODE_PORT.host, [node.host.name])),
      ),
  },
];
