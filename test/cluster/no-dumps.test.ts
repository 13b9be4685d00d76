/** An ADD and a DEL ask the kernel for single objects, never for lists: lists grow with pods, and are disturbed by other programs' changes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { DEFAULT_POOL_SETTINGS } from "../../ipamd/settings.ts";
import { FieldNode, RESTORED } from "./field-node.ts";
import { readPage } from "./pool-page.ts";

const ROUNDS = 10;
/** Rounds without work of the daemon's own that must be among them. */
const UNDISTURBED = 4;
const CHURN_ROUNDS = 200;
/** Batches of one process each, so that nothing but the kernel slows it down. */
const CHURN = `while :; do
  for i in $(seq 100); do echo "link add churn$i type veth peer name nruhc$i"; echo "link delete churn$i"; done | ip -force -batch -
done`;

let field: FieldNode;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync("/run/no-dumps-");
  field = await FieldNode.start("nd", { instanceType: "m5.large", settings: { "ip-cooldown-period": "0" } });
});

afterAll(async () => {
  await field?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Asked for, or changed. To nfnetlink the numbers of RTM_NEWLINK and RTM_DELLINK are a batch's begin and end. */
const [RTM_GETLINK, RTM_SETLINK] = [18, 19];
/** RTM_GET* of linux/rtnetlink.h. Routes are left out: freeing an IPv6 address, when it has cooled, looks in our own table. */
const LISTS = new Map([
  [RTM_GETLINK, "links"],
  [22, "addresses"],
  [30, "neighbours"],
  [34, "rules"],
]);
/** NLM_F_ROOT and NLM_F_MATCH of linux/netlink.h. */
const DUMP = 0x300;

type Trace = {
  /** That the daemon's main thread has asked the kernel for; the thread for slow work removes links after the answer. */
  readonly lists: readonly string[];
  /** Types of its messages that ask for a link, or change one. */
  readonly ofLinks: readonly number[];
  /** Its surveys of the host run programs, which no ADD or DEL does. */
  readonly ranPrograms: boolean;
};

type Message = { readonly type: number; readonly flags: readonly string[] };

/** What the daemon does while `work` runs. */
async function trace(work: () => Promise<void>): Promise<Trace> {
  const file = path.join(folder, "trace");
  const pid = String(field.node.daemon?.pid);
  const options = ["-f", "-xx", "-s", "65536", "-e", "trace=sendto,sendmsg,execve", "-o", file, "-p", pid];
  const strace = spawn("strace", options, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(strace, "exit");
  await once(strace.stderr, "data");
  await work();
  strace.kill("SIGINT");
  await ended;
  const lines = readFileSync(file, "utf8").split("\n");
  const messages = lines.filter((line) => line.startsWith(`${pid} `)).flatMap(messagesOf);
  return {
    lists: messages.filter(isDump).flatMap(({ type }) => LISTS.get(type) ?? []),
    ofLinks: messages.map(({ type }) => type).filter((type) => type === RTM_GETLINK || type === RTM_SETLINK),
    ranPrograms: lines.some((line) => line.includes(" execve(")),
  };
}

/** strace shows the header of every message of a call: `{nlmsg_len=40, nlmsg_type=0x12 …, nlmsg_flags=NLM_F_REQUEST|0x300, …}`. */
function messagesOf(line: string): Message[] {
  const headers = line.matchAll(/nlmsg_type=(0x[0-9a-f]+)[^,]*, nlmsg_flags=([\w|]+)/g);
  return [...headers].map(([, type, flags = ""]) => ({ type: Number(type), flags: flags.split("|") }));
}

function isDump({ flags }: Message): boolean {
  return flags.some((flag) => Number(flag) === DUMP);
}

/** An ADD and a DEL of a new sandbox in that namespace, under a link name of its own: the last one's may be going still. */
async function round(name: string, netnsPath: string): Promise<void> {
  const sandbox = { ...field.node.runtime.sandbox(name, netnsPath), ifname: name };
  await field.node.runtime.add(sandbox);
  await field.node.runtime.del(sandbox);
}

/** Of the daemon's own accord it looks at the host, and asks the cloud and then looks: as text that differs when it did. */
async function ownWork(): Promise<string> {
  const { body } = await readPage(field.node.place.netnsPath, "/metrics");
  const looks = body.split("\n").filter((line) => line.startsWith("causeway_host_network_looks_total{"));
  return [...looks, field.cluster.ec2.calls.count()].join("\n");
}

/** The new pod's own end was heard of while the ADD or DEL ran (ipamd/pod-ends.ts): its link's neighbours are looked at, and nothing else. */
function isFollowing(lists: readonly string[]): boolean {
  return lists.length > 0 && lists.every((list) => list === "neighbours");
}

it("an ADD and a DEL ask for no list", async () => {
  const { netnsPath } = field.cluster.vpc.addPlace("one");
  // the pool grows to its spare, and looks at the host's addresses for that
  for (let number = 0; number < 5; number += 1) await round(`warm-${number}`, netnsPath);
  await field.node.poolHasFree(DEFAULT_POOL_SETTINGS.spare);
  const undisturbed: (readonly string[])[] = [];
  for (let number = 0; number < ROUNDS; number += 1) {
    const before = await ownWork();
    const { lists, ranPrograms } = await trace(() => round(`one-${number}`, netnsPath));
    const isDisturbed = ranPrograms || (await ownWork()) !== before || isFollowing(lists);
    if (!isDisturbed) undisturbed.push(lists);
  }
  // a list of neighbours on the path would be asked for in every round
  expect(undisturbed.length).toBeGreaterThanOrEqual(UNDISTURBED);
  expect(undisturbed.flat()).toEqual([]);
}, 60_000);

it("a DEL changes its link by one message, and asks for none", async () => {
  const { netnsPath } = field.cluster.vpc.addPlace("del");
  const seen: string[] = [];
  for (let number = 0; number < ROUNDS; number += 1) {
    const name = `del-${number}`;
    const sandbox = await field.node.runtime.add({
      ...field.node.runtime.sandbox(name, netnsPath),
      ifname: name,
    });
    const { ofLinks } = await trace(async () => void (await field.node.runtime.del(sandbox)));
    seen.push(ofLinks.join());
  }
  // in the others the daemon looked at links of its own accord meanwhile
  const alone = seen.filter((types) => types === String(RTM_SETLINK)).length;
  expect(alone, seen.join(" ")).toBeGreaterThanOrEqual(UNDISTURBED);
}, 60_000);

it("the trace would show one", async () => {
  const { lists } = await trace(async () => {
    field.sh("ip -4 rule delete pref 402");
    await vi.waitFor(() => expect(field.sh("ip -4 rule show")).toMatch(/^402:/m), RESTORED);
  });
  expect(lists).toContain("rules");
});

it(`${CHURN_ROUNDS} ADDs and DELs succeed while another program makes and removes links as fast as it can`, async () => {
  const churn = spawn("nsenter", [`--net=${field.node.place.netnsPath}`, "sh", "-c", CHURN], {
    stdio: "ignore",
  });
  try {
    const { netnsPath } = field.cluster.vpc.addPlace("two");
    for (let number = 0; number < CHURN_ROUNDS; number += 1) await round(`two-${number}`, netnsPath);
    expect(churn.exitCode).toBeNull();
  } finally {
    churn.kill("SIGKILL");
  }
}, 120_000);
