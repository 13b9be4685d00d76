/** Daemons that stop and die, runtimes that never DEL or DEL the wrong thing, leftovers of others: nothing leaks, and no pod is hurt. */
import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { Cidr, IpAddress } from "../../common/ip.ts";
import { ping, Sink, sendForged, sendRouterAdvert, udpAsk, udpEcho } from "../cloudsim/probe/index.ts";
import type { PodOf } from "./cluster.ts";
import { FieldNode } from "./field-node.ts";
import { SHIM } from "./runtime.ts";

const WAIT = { timeout: 12_000, interval: 50 };

let field: FieldNode;
let lasting: readonly PodOf[];

beforeAll(async () => {
  field = await FieldNode.start("lc", { instanceType: "m5.large" });
  lasting = await field.addPods("p0", "p1");
  await field.expectTalk(lasting);
});

afterAll(() => field?.[Symbol.asyncDispose]());

const netFolder = () => path.join(path.dirname(field.node.socketPath), "net.d");
const bootId = () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

/** What the node still has of an address: a pod's route, or only that it cools. */
function routesOf(address: IpAddress | undefined): string[] {
  return field
    .lines(`ip route show table 4100`)
    .filter((line) => line.includes(`${address} `))
    .map((line) => line.split(" ")[0] ?? "");
}

it("aws-12: the conflist stays when the daemon stops or dies, and a DEL succeeds without it", async () => {
  const [pod] = await field.addPods("conflist");
  const conflist = path.join(path.dirname(field.node.socketPath), "net.d", "10-causeway.conflist");
  await vi.waitFor(() => expect(existsSync(conflist)).toBe(true), WAIT);
  await field.node.daemon?.stop("SIGTERM");
  expect(existsSync(conflist)).toBe(true);
  await field.node.runtime.del(pod as PodOf);
  await field.node.startDaemon();
  await field.node.daemon?.stop("SIGKILL");
  expect(existsSync(conflist)).toBe(true);
  await field.node.startDaemon();
  await field.expectTalk(lasting);
});

it("aws-21, aws-95: a daemon that starts while EC2 is silent knows its pods and serves ADD and DEL at once", async () => {
  // a daemon that is killed before it has its spare addresses leaves none that could be given without EC2
  await field.node.poolHasFree(1);
  await field.node.daemon?.stop("SIGKILL");
  field.cluster.ec2.faults.hang("*", 100);
  const startedAt = performance.now();
  await field.node.startDaemon("serving");
  expect(performance.now() - startedAt).toBeLessThan(4_000);
  const [pod] = await field.addPods("silent");
  await field.node.runtime.del(pod as PodOf);
  field.cluster.ec2.faults.clear();
  await field.expectTalk(lasting);
});

it("aws-36: what DELs left behind while the daemon was away is gone once it is back", async () => {
  const [pod] = await field.addPods("away");
  await field.node.daemon?.stop("SIGKILL");
  for (let times = 0; times < 3; times += 1) await field.node.runtime.del(pod as PodOf);
  const netns = path.basename(pod?.netnsPath ?? "");
  // a path that is there again names another namespace
  field.sh(`ip netns delete ${netns}; ip netns add ${netns}`);
  await field.node.startDaemon();
  const left = () => ({
    routes: routesOf(pod?.ipv4).filter((type) => type !== "blackhole"),
    links: field.lines("ip -o link show").filter((line) => line.includes(pod?.hostLink ?? "")),
    genuine: field.sh("nft list set inet causeway genuine4").includes(pod?.hostLink ?? ""),
  });
  await vi.waitFor(
    () => expect(left()).toEqual({ routes: ["unreachable"], links: [], genuine: false }),
    WAIT,
  );
  await field.expectTalk(lasting);
});

it("aws-40: a CIDR that joins or leaves the VPC is in force for marks and SNAT at once, without a restart", async () => {
  const joined = Cidr.parse("100.64.0.0/16");
  const inside = () => field.sh("nft list set inet causeway inside4");
  // a link of ours that seems to come is a reason to ask the cloud before a minute is over. Kernels since 6.2 rename it while it is up
  const rename = (from: string, to: string) => field.sh(`ip link set ${from} name ${to}`);
  field.cluster.ec2.account.setVpcCidr(joined, "associated");
  rename("eth0", "ens5");
  await vi.waitFor(() => expect(inside()).toContain("100.64.0.0/16"), WAIT);
  const users = field.lines("nft list table inet causeway").filter((line) => line.includes("@inside4"));
  expect(users).toHaveLength(3);
  field.cluster.ec2.account.setVpcCidr(joined, "disassociated");
  rename("ens5", "eth0");
  await vi.waitFor(() => expect(inside()).not.toContain("100.64.0.0/16"), WAIT);
  await field.expectTalk(lasting);
});

it("aws-87: odd and overlapping CIDRs are the same rules after every restart, and a restart writes nothing", async () => {
  const settings = path.join(field.cluster.folder, "odd.json");
  const text = (cidrs: string) => JSON.stringify({ "ip-families": "ipv4,ipv6", "exclude-snat-cidrs": cidrs });
  for (const cidrs of ["0.0.0.0/0", "10.1.0.0/16,10.0.0.1/8,10.1.0.0/16", "::/0"]) {
    writeFileSync(settings, text(cidrs));
    const states = [];
    for (let times = 0; times < 3; times += 1) {
      await field.node.daemon?.stop("SIGKILL");
      const daemon = await field.node.startDaemon("ready for pods", { CAUSEWAY_SETTINGS: settings });
      states.push(field.lines("nft -s list table inet causeway"));
      const changed = daemon.lines.filter(({ msg }) => msg === "host network changed");
      if (times > 0) expect(changed).toEqual([]);
    }
    expect(states[1]).toEqual(states[0]);
    expect(states[2]).toEqual(states[1]);
  }
  await field.node.daemon?.stop("SIGTERM");
  await field.node.startDaemon();
  await field.expectTalk(lasting);
});

it("oth-42: a DEL that names another pod's namespace, or the node's, touches nothing in it", async () => {
  const [pod] = await field.addPods("mistaken");
  const [other] = lasting;
  for (const netns of [other?.netnsPath, "/proc/1/ns/net"]) {
    const run = await field.node.runtime.exec("DEL", pod as PodOf, { env: { CNI_NETNS: netns } });
    expect(run).toMatchObject({ exitCode: 0, stdout: "" });
  }
  expect(routesOf(pod?.ipv4).filter((type) => type !== "blackhole")).toEqual(["unreachable"]);
  await field.expectTalk(lasting);
});

it("oth-86: a queued DEL that is older than the ADD of the same container leaves the pod", async () => {
  const [pod] = (await field.addPods("again")) as [PodOf];
  const { daemon, runtime, socketPath } = field.node;
  await runtime.del(pod);
  // the daemon hangs: the DEL, sent once more, goes into the queue, and the next ADD waits
  daemon?.kill("SIGSTOP");
  await runtime.del(pod);
  const queue = path.join(path.dirname(socketPath), "del");
  const [slot] = readdirSync(queue);
  const left = readFileSync(path.join(queue, slot as string));
  const adding = runtime.start("ADD", pod);
  await vi.waitFor(() => expect(adding.isWaiting()).toBe(true), WAIT);
  daemon?.kill("SIGCONT");
  const run = await adding.run;
  expect(run).toMatchObject({ exitCode: 0 });
  const drained = () => vi.waitFor(() => expect(readdirSync(queue)).toEqual([]), WAIT);
  await drained();
  // and one that the daemon sees only now
  writeFileSync(path.join(queue, ".1.tmp"), left);
  renameSync(path.join(queue, ".1.tmp"), path.join(queue, slot as string));
  await drained();
  const { address } = JSON.parse(run.stdout).ips[0];
  const ipv4 = IpAddress.parse(address.split("/")[0]);
  expect(routesOf(ipv4)).toContain("unreachable");
  expect(field.lines(`ip route show table 4100 ${ipv4} type unicast`)).toHaveLength(1);
  await field.node.daemon?.stop("SIGTERM");
  await field.node.startDaemon();
  expect(field.lines(`ip route show table 4100 ${ipv4} type unicast`)).toHaveLength(1);
  await runtime.del(pod);
  expect(field.lines(`ip route show table 4100 ${ipv4} type unicast`)).toEqual([]);
  await field.expectTalk(lasting);
});

it("oth-08: plugins that were killed keep no later call from being served", async () => {
  const sandbox = field.node.runtime.sandbox("killed", lasting[0]?.netnsPath ?? "");
  const killed = Array.from({ length: 10 }, (_, index) => {
    const child = spawn(SHIM, {
      env: {
        CAUSEWAY_SOCKET: field.node.socketPath,
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: `${sandbox.containerId}${index}`,
        CNI_NETNS: sandbox.netnsPath,
        CNI_IFNAME: `k${index}`,
        CNI_PATH: "/opt/cni/bin",
      },
      stdio: ["pipe", "ignore", "ignore"],
    });
    setTimeout(() => child.kill("SIGKILL"), index);
    child.stdin.on("error", () => undefined);
    return new Promise((resolve) => child.once("close", resolve));
  });
  await Promise.all(killed);
  const [pod] = await field.addPods("after-killed");
  await field.expectTalk([...lasting, pod as PodOf]);
  await field.node.runtime.del(pod as PodOf);
});

it("aws-35, oth-28: routes and rules that another program left for an address do not stop its ADD or its packets", async () => {
  field.sh("ip link add azv0 type bridge; ip link set azv0 up");
  const free = field.lines("ip route show table 4100 type blackhole").map((line) => line.split(" ")[1]);
  // those of pods are refused in our table
  const batch = free.flatMap((address) => [
    `route add ${address} dev azv0`,
    `route add ${address} dev azv0 table 4100`,
    `rule add pref 512 to ${address} lookup 99`,
    `rule add pref 512 from ${address} lookup 99`,
    `neighbour replace ${address} lladdr 02:66:66:66:66:66 dev azv0`,
  ]);
  field.sh(`ip -force -batch - <<END || true\n${batch.join("\n")}\nEND`);
  const [pod] = await field.addPods("leftovers");
  expect(field.lines(`ip route show table 4100 ${pod?.ipv4} type unicast`)).toHaveLength(1);
  await field.expectTalk([...lasting, pod as PodOf]);
  await field.node.runtime.del(pod as PodOf);
  field.sh("while ip rule delete pref 512 2>/dev/null; do :; done; ip link delete azv0");
});

it("aws-91: a daemon on a node with a predecessor's rules, chains and conflist names them, and its pods talk", async () => {
  const [pod] = await field.addPods("heir");
  const conflist = path.join(netFolder(), "10-aws.conflist");
  writeFileSync(conflist, "{}");
  field.sh(`
ip rule add pref 512 to ${pod?.ipv4} lookup 99
ip rule add pref 1024 fwmark 0x80/0x80 lookup 99
ip rule add pref 1536 from ${pod?.ipv4} lookup 99
iptables-nft -t nat -N AWS-SNAT-CHAIN-0
iptables-nft -t nat -A POSTROUTING -j AWS-SNAT-CHAIN-0
iptables-nft -t nat -A AWS-SNAT-CHAIN-0 -d 10.0.0.0/16 -j RETURN`);
  await field.node.daemon?.stop();
  const daemon = await field.node.startDaemon();
  const told = () => daemon.lines.filter(({ code }) => code === "other-cni").map(({ sentence }) => sentence);
  await vi.waitFor(
    () =>
      expect(told()).toEqual([
        expect.stringMatching(/10-aws\.conflist: .*new pods/),
        expect.stringContaining(
          `amazon-vpc-cni is, or was, on this node: ${[512, 1024, 1536].map((priority) => `1 IPv4 rules ${priority}, to tables 99`).join(", ")}`,
        ),
        expect.stringContaining("iptables-nft -t nat: chain AWS-SNAT-CHAIN-0"),
      ]),
    WAIT,
  );
  await field.expectTalk([...lasting, pod as PodOf]);
  await field.node.runtime.del(pod as PodOf);
  rmSync(conflist);
  field.sh(`
for pref in 512 1024 1536; do ip rule delete pref $pref; done
iptables-nft -t nat -D POSTROUTING -j AWS-SNAT-CHAIN-0
iptables-nft -t nat -F AWS-SNAT-CHAIN-0
iptables-nft -t nat -X AWS-SNAT-CHAIN-0`);
});

it("aws-92: the socket, the heartbeat and a conflist that differs are new files of each daemon", async () => {
  const folder = path.dirname(field.node.socketPath);
  const files = [
    field.node.socketPath,
    path.join(folder, "alive"),
    path.join(netFolder(), "10-causeway.conflist"),
  ];
  await field.node.daemon?.stop();
  writeFileSync(path.join(netFolder(), "10-causeway.conflist"), JSON.stringify({ causewayBoot: bootId() }));
  const old = files.map((file) => ({ file, held: existsSync(file) ? openSync(file, "r") : undefined }));
  await field.node.startDaemon();
  for (const { file, held } of old) {
    const inode = () => statSync(file, { throwIfNoEntry: false })?.ino;
    await vi.waitFor(() => expect(inode()).toBeDefined(), WAIT);
    if (held === undefined) continue;
    await vi.waitFor(() => expect(inode()).not.toBe(fstatSync(held).ino), WAIT);
    closeSync(held);
  }
  expect(old.filter(({ held }) => held !== undefined)).toHaveLength(2);
  const [pod] = await field.addPods("relabelled");
  await field.node.runtime.del(pod as PodOf);
});

it("aws-92: with a read-only conflist folder the daemon names the folder, serves on, and writes once it can", async () => {
  const folder = netFolder();
  await field.node.daemon?.stop();
  writeFileSync(
    path.join(folder, "10-causeway.conflist"),
    JSON.stringify({ causewayBoot: "an earlier one" }),
  );
  execFileSync("mount", ["--bind", "-o", "ro", folder, folder]);
  try {
    const daemon = await field.node.startDaemon();
    const why = { folder, err: expect.objectContaining({ code: "EROFS" }) };
    const early = "a conflist of an earlier boot not removed: the runtime may come too early";
    expect(await daemon.logged(early)).toMatchObject(why);
    const told = () => daemon.lines.filter(({ code }) => code === "conflist").map(({ sentence }) => sentence);
    const sentence = expect.stringMatching(new RegExp(`cannot be written: EROFS.*${folder}`));
    await vi.waitFor(() => expect(told()).toEqual([sentence]), { ...WAIT, timeout: 20_000 });
    const [pod] = await field.addPods("read-only");
    await field.expectTalk([...lasting, pod as PodOf]);
    await field.node.runtime.del(pod as PodOf);
  } finally {
    execFileSync("umount", [folder]);
  }
  await field.node.daemon?.logged("conflist written");
});

it("aws-46: a DNS cache on a link-local address, and probes from one, work for pods without conntrack", async () => {
  const cache = IpAddress.parse("169.254.20.10");
  field.sh(`ip link add nodelocaldns type bridge; ip link set nodelocaldns up
ip address add ${cache}/32 dev nodelocaldns
iptables-nft -t raw -A PREROUTING -d ${cache} -j NOTRACK
iptables-nft -t raw -A OUTPUT -s ${cache} -j NOTRACK
iptables-nft -t nat -A POSTROUTING -p icmp -o cw+ -j SNAT --to-source 169.254.7.127`);
  const echo = udpEcho({
    netnsPath: field.node.place.netnsPath,
    address: cache,
    port: 5353,
    name: "cache",
  });
  for (const pod of lasting) {
    expect(await udpAsk(pod.netnsPath, { to: cache, port: 5353 })).toMatchObject({ server: "cache" });
    expect(await ping(field.node.place.netnsPath, { to: pod.ipv4 as IpAddress })).toBe(true);
  }
  echo[Symbol.dispose]();
  field.sh("iptables-nft -t raw -F; iptables-nft -t nat -D POSTROUTING 1; ip link delete nodelocaldns");
});

it("aws-83: the daemon listens on loopback and on a socket of mode 0600 only", () => {
  const listening = field.lines("ss -Htuln").map((line) => line.split(" ")[4] ?? "");
  expect(listening.length).toBeGreaterThan(0);
  expect(
    listening.filter((address) => !/^(127\.|\[::1\])/.test(address) && !address.endsWith(":8080")),
  ).toEqual([]);
  expect(statSync(field.node.socketPath).mode & 0o777).toBe(0o600);
  expect(statSync(path.dirname(field.node.socketPath)).mode & 0o777).toBe(0o700);
});

it("oth-77: a pod's router advertisement and its neighbour's source are dropped and counted", async () => {
  const [pod, other] = lasting as [PodOf, PodOf];
  const counted = (name: string) =>
    Number(field.sh(`nft list counter inet causeway ${name}`).match(/packets (\d+)/)?.[1]);
  const before = { router_advert: counted("router_advert"), spoofed: counted("spoofed") };
  const index = Number(
    /^(\d+):/.exec(field.sh(`nsenter --net=${pod.netnsPath} ip -o link show eth0`))?.[1] ?? 0,
  );
  // sent again until it is counted: a table that is replaced for a new uplink may lose a count
  const risesBy = (name: keyof typeof before, send: () => void) =>
    vi.waitFor(() => {
      send();
      expect(counted(name)).toBeGreaterThan(before[name]);
    }, WAIT);
  await risesBy("router_advert", () =>
    sendRouterAdvert(pod.netnsPath, index, IpAddress.parse("2001:db8:66::")),
  );
  const peer = IpAddress.parse("10.0.9.9");
  using sink = new Sink(field.peer.netnsPath, peer, 7300);
  const forged = { from: other.ipv4 as IpAddress, to: peer, port: 7300, payload: "forged" };
  await risesBy("spoofed", () => sendForged(pod.netnsPath, forged));
  expect(sink.received).toEqual([]);
  expect(field.sh("ip -6 route show table all")).not.toContain("2001:db8:66:");
});
