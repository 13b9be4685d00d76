/** Network managers, DHCP clients, udev and people change what is ours; it is put back, and no pod has to be made again. */
import { spawn, spawnSync } from "node:child_process";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { PodOf } from "./cluster.ts";
import { FieldNode, RESTORED } from "./field-node.ts";

const ADDR_ASSIGN_SET = "3";

const SINGLES = { "address-unit": "single" };

let field: FieldNode;
let before: string[];

beforeAll(async () => {
  field = await FieldNode.start("ha", { settings: SINGLES });
  await field.addPods("p0", "p1", "p2", "p3");
  await field.expectTalk();
  // three pods and three addresses for them on each uplink
  await field.expectUnits(6);
  before = field.ownState();
});

// one that has repaired much takes its time with the next repair
beforeEach(async () => {
  await field.node.daemon?.stop();
  await field.node.startDaemon("ready for pods", {}, SINGLES);
});

afterAll(() => field?.[Symbol.asyncDispose]());

/** The host link of a pod on the second uplink, with its address. */
function secondary() {
  const pod = field.node.pods[3];
  if (pod?.ipv4 === undefined) throw new Error("no fourth pod");
  return { ...pod, ipv4: pod.ipv4 };
}

it("aws-29, oth-61: rules, tables and links that a network manager resets come back", async () => {
  for (const family of ["-4", "-6"]) {
    for (const preference of [402, 403, 404, 405]) {
      field.sh(`while ip ${family} rule delete pref ${preference} 2>/dev/null; do :; done`);
    }
    for (const table of [4101, 4102]) field.sh(`ip ${family} route flush table ${table}`);
  }
  field.sh("ip link set eth1 down; ip link set eth1 up");
  await field.expectState(before);
  await field.expectTalk();
});

it("aws-30: a DHCP client's subnet route and second default on a secondary uplink go away again", async () => {
  // in one go, as the daemon is quick: what it has taken away already may fail
  field.sh(`ip -force -batch - <<END || true
address add 10.0.0.200/24 dev eth1
route replace default via 10.0.0.1 dev eth1 onlink metric 512
route flush table 4102
END`);
  await field.expectState(before);
  await expect.poll(() => field.lines("ip route show table main dev eth1"), RESTORED).toEqual([]);
  await field.expectTalk();
});

it("oth-33: an uplink's table comes back when its address was taken away and given again", async () => {
  const own = field.sh("ip -j -4 address show dev eth1").match(/"local":"([\d.]+)"/)?.[1];
  field.sh(`ip address delete ${own}/24 dev eth1`);
  await field.expectState(before);
  await field.expectTalk();
});

it("oth-35: our rules come back also while the kernel's rule for main is missing", async () => {
  field.sh("ip rule delete pref 32766; ip rule delete pref 402; ip rule delete pref 403");
  await field.expectState(before);
  field.sh("ip rule add pref 32766 lookup main");
  await field.expectTalk();
});

it("oth-60: a pod's route and neighbour come back after its link was flushed, set down and up", async () => {
  const { hostLink, ipv4 } = secondary();
  field.sh(`ip neighbour flush nud permanent dev ${hostLink}; ip link set ${hostLink} down`);
  field.sh(`ip link set ${hostLink} up`);
  await field.expectState(before);
  await expect
    .poll(() => field.sh(`ip neighbour show ${ipv4} dev ${hostLink}`), RESTORED)
    .toContain("PERMANENT");
  await field.expectTalk();
});

it("aws-32, oth-27, oth-59: a pod link's MAC is set from the start, and comes back when it was rewritten", async () => {
  const { hostLink } = secondary();
  const read = (name: string) => field.sh(`ip -d -j link show ${hostLink}`).match(`"${name}":"([^"]*)"`)?.[1];
  const mac = read("address");
  // /sys shows the namespace it was mounted in
  const assigned = field.sh(
    `mount -t sysfs -o ro sysfs /sys 2>/dev/null; cat /sys/class/net/${hostLink}/addr_assign_type; umount /sys`,
  );
  expect(assigned.trim()).toBe(ADDR_ASSIGN_SET);
  field.sh(`ip link set ${hostLink} address 02:66:66:66:66:66`);
  await expect.poll(() => read("address"), RESTORED).toBe(mac);
  await field.expectTalk();
});

it("oth-76: routes that the kernel made stay as they are through repairs", async () => {
  const kernelsOwn = () => field.lines("ip -6 route show table main proto kernel").sort();
  const routes = kernelsOwn();
  expect(routes.some((line) => line.startsWith("fe80::/64"))).toBe(true);
  field.sh("ip -6 rule delete pref 402");
  await field.expectState(before);
  expect(kernelsOwn()).toEqual(routes);
});

it("oth-62: others' rules are the same to the byte after ours were restored beside them", async () => {
  field.sh("iptables-nft -A FORWARD -m mark --mark 0x8000/0x8000 -j DROP");
  field.sh("nft add table ip theirs; nft add chain ip theirs c '{ type filter hook forward priority 5; }'");
  const theirs = () => [
    field.sh("iptables-nft-save -t filter | grep -v -e '^[#:]' -e causeway"),
    field.sh("nft list table ip theirs"),
  ];
  const foreign = theirs();
  const accepts = () => field.lines("iptables-nft -S FORWARD | grep causeway");
  const ours = accepts();
  field.sh("iptables-nft -D FORWARD 1; ip rule delete pref 402; nft delete table inet causeway");
  await field.expectState(before);
  await expect.poll(accepts, RESTORED).toEqual(ours);
  expect(theirs()).toEqual(foreign);
  field.sh("iptables-nft -D FORWARD -m mark --mark 0x8000/0x8000 -j DROP; nft delete table ip theirs");
});

it("aws-50: a daemon that finds an uplink down and its table wrong mends them and serves", async () => {
  await field.node.daemon?.stop("SIGKILL");
  field.sh("ip route flush table 4102; ip link set eth1 down; ip link add wrong type bridge");
  field.sh("ip link set wrong up; ip route add 10.0.0.1 dev wrong table 4102");
  await field.node.startDaemon("ready for pods", {}, SINGLES);
  field.sh("ip link delete wrong");
  await field.expectState(before);
  await field.expectTalk();
});

it("oth-65: while another program holds xtables' lock a daemon starts, and serves ADD and DEL", async () => {
  const lasting = [...field.node.pods];
  await field.node.daemon?.stop();
  const lock = spawn("flock", ["/run/xtables.lock", "sleep", "60"], { detached: true, stdio: "ignore" });
  try {
    await expect
      .poll(() => spawnSync("flock", ["-n", "/run/xtables.lock", "true"]).status, { timeout: 5_000 })
      .not.toBe(0);
    const startedAt = performance.now();
    await field.node.startDaemon("ready for pods", {}, SINGLES);
    const [pod] = await field.addPods("locked");
    await field.node.runtime.del(pod as PodOf);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(lock.exitCode).toBeNull();
  } finally {
    if (lock.pid !== undefined) process.kill(-lock.pid, "SIGKILL");
  }
  await field.expectTalk(lasting);
}, 60_000);
