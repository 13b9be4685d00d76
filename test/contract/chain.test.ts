/** Chains as operators write them, with the reference plugins that Debian ships, and with us in the middle. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { IpAddress } from "../../common/ip.ts";
import { CONFLIST_NAME } from "../../ipamd/conflist.ts";
import { tcpAsk, tcpEcho } from "../cloudsim/probe/index.ts";
import { CAUSEWAY, type ChainPod, ContractField, listOf } from "./field.ts";
import type { ConfList, JsonObject } from "./libcni.ts";

const PORT = 8080;
const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };
const bandwidth = { type: "bandwidth", capabilities: { bandwidth: true } };
const CHAIN = listOf("1.0.0", CAUSEWAY, portmap, bandwidth);
const WAIT = { timeout: 5_000, interval: 50 };

let contract: ContractField;
const echoes = new Map<ChainPod, readonly Disposable[]>();

beforeAll(async () => {
  contract = await ContractField.start("chain");
});

afterAll(async () => {
  for (const echo of [...echoes.values()].flat()) echo[Symbol.dispose]();
  await contract[Symbol.asyncDispose]();
});

async function addWith(name: string, capabilityArgs: JsonObject, list: ConfList = CHAIN): Promise<ChainPod> {
  const pod = await contract.add(list, name, { capabilityArgs });
  const echo = (address: IpAddress) => tcpEcho({ netnsPath: pod.rt.netns, address, port: PORT, name });
  echoes.set(pod, [pod.ipv4, pod.ipv6].map(echo));
  return pod;
}

function addWithPort(name: string, port: number): Promise<ChainPod> {
  return addWith(name, { portMappings: [{ hostPort: port, containerPort: PORT, protocol: "tcp" }] });
}

/** The namespace dies: nothing of the pod may be held open. */
function lose(pod: ChainPod): void {
  for (const echo of echoes.get(pod) ?? []) echo[Symbol.dispose]();
  echoes.delete(pod);
  contract.loseNamespace(pod);
}

/** Who answers at a port of the node's own addresses: IPv4 and IPv6 from the VPC, then by the node itself. */
async function whoAnswers(port: number): Promise<string[]> {
  const { peer, node } = contract.field;
  const asked = [peer, node.place].flatMap(({ netnsPath }) =>
    [node.addresses.ipv4, node.addresses.ipv6].map(async (to) => {
      const reply = await tcpAsk(netnsPath, { to, port });
      return reply.ok ? reply.server : reply.reason;
    }),
  );
  return Promise.all(asked);
}

/** A new pod has the port soon, without the runtime's doing, and no rule of another one stays. */
async function expectNext(name: string, port: number): Promise<void> {
  const next = await addWithPort(name, port);
  await vi.waitFor(async () => expect(await whoAnswers(port)).toEqual(all(name)), WAIT);
  const rules = contract.field.sh("iptables-save -t nat; ip6tables-save -t nat");
  const owners = rules.matchAll(new RegExp(`id: \\\\"(\\w+)\\\\"" .*--dports ${port} `, "g"));
  expect(new Set([...owners].map(([, id]) => id))).toEqual(new Set([next.rt.containerId]));
  await contract.libcni.del(next.list, next.rt);
}

/** What the daemon has done in the runtime's place. */
function doneInPlace() {
  const lines = contract.field.node.daemon?.lines ?? [];
  return lines.filter(({ msg }) => msg === "DELs done in the runtime's place");
}

/** The same one everywhere. */
const all = (name: string) => [name, name, name, name];

function hostLinkOf({ result }: ChainPod): string {
  return (result.interfaces as { name: string }[]).find(({ name }) => name.startsWith("cw"))?.name ?? "";
}

describe("portmap behind us", () => {
  it("gives pods of every uplink their host ports, and takes them back", async () => {
    const pods: ChainPod[] = [];
    for (let index = 0; index < 5; index += 1) pods.push(await addWithPort(`p${index}`, 18_000 + index));
    expect(new Set(pods.map((pod) => contract.slotOf(pod)))).toEqual(new Set(["1", "2"]));
    for (const index of pods.keys()) expect(await whoAnswers(18_000 + index)).toEqual(all(`p${index}`));
    for (const pod of pods) await contract.libcni.del(pod.list, pod.rt);
    expect(contract.field.sh("iptables-save -t nat")).not.toContain("--dport 1800");
  });

  it("gives the next pod the host port of one whose DEL was lost, at once", async () => {
    const lost = await addWithPort("lost", 18_100);
    expect(await whoAnswers(18_100)).toEqual(all("lost"));
    lose(lost);
    await expectNext("next", 18_100);
  });

  it("agrees with a runtime that collects what the daemon has ended already", async () => {
    const lost = await addWithPort("lost", 18_110);
    lose(lost);
    // portmap fails when another one of it takes the same rules away at that moment; a runtime asks again
    await vi.waitFor(() => contract.libcni.gc(CHAIN, []), WAIT);
    await expectNext("next", 18_110);
  });
});

describe("portmap behind us, while no daemon runs", () => {
  it("gives the next pod the host port of one whose DEL was lost then", async () => {
    const kept = await addWithPort("kept", 18_210);
    const lost = await addWithPort("lost", 18_220);
    await contract.restart(async () => lose(lost));
    await expectNext("next", 18_220);
    expect(await whoAnswers(18_210)).toEqual(all("kept"));
    await contract.libcni.del(kept.list, kept.rt);
  });

  it("gives the next pod the host port of one whose DEL had to be queued", async () => {
    const before = await addWithPort("before", 18_200);
    await contract.restart(() => contract.libcni.del(before.list, before.rt));
    const after = await addWithPort("after", 18_200);
    expect(await whoAnswers(18_200)).toEqual(all("after"));
    await contract.libcni.del(after.list, after.rt);
  });
});

describe("portmap with nftables behind us, while no daemon runs", () => {
  it("is told the DEL that was lost then", async () => {
    const lost = await addWith("lost", {});
    const { containerId } = lost.rt;
    // Debian's portmap has iptables only: a rule of the shape that 1.9.1 was seen to write
    const rule = `tcp dport 18230 dnat to ${lost.ipv4}:${PORT} comment "${containerId}"`;
    await contract.restart(async () => {
      contract.field.sh(`nft 'table ip cni_hostport { chain hostports { ${rule}; }; }'`);
      lose(lost);
    });
    const isDone = () => doneInPlace().some((line) => line.containerId === containerId);
    await vi.waitFor(() => expect(isDone()).toBe(true), WAIT);
    contract.field.sh("nft delete table ip cni_hostport");
  });
});

describe("our list", () => {
  it("has the plugins that are there behind ours, and only versions that all of them know", () => {
    const file = path.join(contract.field.cluster.folder, contract.field.node.name, "net.d", CONFLIST_NAME);
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
      name: CHAIN.name,
      // Debian's portmap 1.1 does not know 1.1.0
      cniVersions: ["0.4.0", "1.0.0"],
      plugins: CHAIN.plugins,
    });
  });
});

describe("bandwidth behind us", () => {
  it("leaves no device of a pod whose DEL was lost", async () => {
    const limits = { ingressRate: 80_000_000, ingressBurst: 8_000_000 };
    const egress = { egressRate: 80_000_000, egressBurst: 8_000_000 };
    const pod = await addWith("lost", { bandwidth: { ...limits, ...egress } });
    expect(contract.field.sh("ip -o link show type ifb")).not.toBe("");
    lose(pod);
    await vi.waitFor(() => expect(contract.field.sh("ip -o link show type ifb")).toBe(""), WAIT);
    const isDone = () => doneInPlace().some(({ containerId }) => containerId === pod.rt.containerId);
    await vi.waitFor(() => expect(isDone()).toBe(true), WAIT);
    // portmap had nothing of it
    expect(contract.field.sh("iptables-save -t nat; ip6tables-save -t nat")).not.toContain("CNI-DN-");
  });

  it("limits the pod's link, agrees with CHECK, and leaves nothing behind", async () => {
    const limits = {
      ingressRate: 80_000_000,
      ingressBurst: 8_000_000,
      egressRate: 80_000_000,
      egressBurst: 8_000_000,
    };
    const pod = await addWith("slow", { bandwidth: limits });
    expect(contract.field.sh(`tc qdisc show dev ${hostLinkOf(pod)}`)).toContain("tbf");
    // Debian's portmap 1.1 asks its IPv6 chain for IPv4 rules in CHECK
    const checked = { ...CHAIN, plugins: [CAUSEWAY, bandwidth] };
    await contract.libcni.check(checked, pod.rt);
    await contract.libcni.del(pod.list, pod.rt);
    await vi.waitFor(() => expect(contract.field.sh("ip -o link show type ifb")).toBe(""), WAIT);
  });
});

describe("tuning behind us", () => {
  it("oth-56: may change the pod's MAC; the pod talks, and CHECK is content", async () => {
    const list = listOf("1.0.0", CAUSEWAY, { type: "tuning", mac: "02:42:0a:3c:00:99" });
    const pod = await addWith("mac", {}, list);
    expect(JSON.stringify(pod.result)).toContain("02:42:0a:3c:00:99");
    // the host follows by an event
    await vi.waitFor(() => contract.libcni.check(list, pod.rt), WAIT);
    const { netnsPath } = contract.field.peer;
    expect(await tcpAsk(netnsPath, { to: pod.ipv4, port: PORT })).toMatchObject({ server: "mac" });
    await contract.libcni.del(list, pod.rt);
  });
});

describe("a chain that we are not the first of", () => {
  it.each(["0.3.0", "0.3.1", "0.4.0", "1.0.0"])(
    "in %s passes on what came before, and CHECK agrees",
    async (version) => {
      const list = listOf(version, { type: "loopback" }, CAUSEWAY);
      const pod = await contract.add(list, `lo-${version}`);
      const { interfaces, ips } = pod.result as {
        interfaces: { name: string }[];
        ips: { address: string; interface: number }[];
      };
      expect(interfaces.map(({ name }) => name)).toEqual(["lo", expect.stringMatching(/^cw/), "eth0"]);
      expect(ips.map((ip) => [ip.address, ip.interface])).toEqual([
        ["127.0.0.1/8", 0],
        ["::1/128", 0],
        [expect.stringMatching(/^10\./), 2],
        [expect.stringMatching(/^2001:/), 2],
      ]);
      if (version >= "0.4.0") await contract.libcni.check(list, pod.rt);
      await contract.libcni.del(list, pod.rt);
    },
  );
});
