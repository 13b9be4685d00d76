/** What the cloud or an administrator takes away from a node: nothing more is given of it, what is left goes on, and a daemon that was away finds out. */
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { InterfaceId } from "../../common/ids.ts";
import { unassignIpv4 } from "../cloudsim/aws/model/assign.ts";
import { detachInterface } from "../cloudsim/aws/model/attach.ts";
import { INSPECT_PORT } from "./cluster.ts";
import { FieldNode } from "./field-node.ts";
import { type PoolPage, readPoolPage } from "./pool-page.ts";

const SOON = { timeout: 5_000, interval: 100 };
/** Longer than two answers of the cloud that confirm each other. */
const CONFIRMED = { timeout: 40_000, interval: 250 };

/** Single addresses, so that pods come to lie on two uplinks, and one can be taken away. */
const SINGLES = { "ip-cooldown-period": "1", "address-unit": "single" };

let field: FieldNode;

beforeAll(async () => {
  field = await FieldNode.start("ls", { settings: SINGLES });
  // three to the primary uplink, the others to the second
  await field.addPods("p0", "p1", "p2", "p3", "p4");
});

afterAll(() => field?.[Symbol.asyncDispose]());

const readPool = (): Promise<PoolPage> => readPoolPage(field.node.place.netnsPath, INSPECT_PORT);

async function uplinkOf(slot: number): Promise<PoolPage["uplinks"][number] | undefined> {
  return (await readPool()).uplinks.find((uplink) => uplink.slot === slot);
}

/** A single IPv4 address that no pod has or had a moment ago, with its interface. Waits. */
async function freeAddress(): Promise<{ readonly address: string; readonly interfaceId: InterfaceId }> {
  await field.node.poolHasFree(1);
  const { uplinks, leases, cooling } = await readPool();
  const used = [...leases.flatMap(({ addresses }) => addresses), ...cooling];
  for (const { interfaceId, units } of uplinks) {
    const free = units.find((unit) => unit.endsWith("/32") && !used.includes(unit.slice(0, -3)));
    if (free !== undefined) return { address: free.slice(0, -3), interfaceId: interfaceId as InterfaceId };
  }
  throw new Error("no address is free");
}

it("a unit unassigned, and our nft table removed, while the daemon was away leave no route behind", async () => {
  const { address, interfaceId } = await freeAddress();
  const route = () => field.lines("ip route show table 4100").filter((line) => line.includes(`${address} `));
  await field.node.daemon?.stop("SIGKILL");
  unassignIpv4(field.cluster.ec2.account, interfaceId, { addresses: [address], prefixes: [] });
  field.sh("nft delete table inet causeway");
  expect(route()).toHaveLength(1);
  await field.node.startDaemon("ready for pods", {}, SINGLES);
  await vi.waitFor(() => expect(route()).toEqual([]), SOON);
  await field.expectTalk();
});

it("a pool address put on the primary's link while the daemon was away is taken off before the cloud answers", async () => {
  const { address } = await freeAddress();
  await field.node.daemon?.stop("SIGKILL");
  field.sh(`ip address add ${address}/24 dev eth0`);
  field.cluster.ec2.faults.hang("*", 100);
  await field.node.startDaemon("serving", {}, SINGLES);
  const there = () => field.sh("ip -o -4 address show dev eth0").includes(`${address}/`);
  await vi.waitFor(() => expect(there()).toBe(false), SOON);
  expect((await uplinkOf(1))?.own).not.toContain(address);
  field.cluster.ec2.faults.clear();
  await field.expectTalk();
});

it("a secondary interface detached by hand gives no address from that moment, and is given up with its last pod", async () => {
  const before = await uplinkOf(2);
  const onIt = (await readPool()).leases.filter(({ slot }) => slot === 2).map(({ name }) => name);
  expect(onIt.length).toBeGreaterThan(0);
  const { account } = field.cluster.ec2;
  const attachment = account.interfaces.get(before?.interfaceId as InterfaceId)?.attachment;
  detachInterface(account, attachment?.id ?? "");
  await vi.waitFor(async () => {
    const { setAside, families } = (await uplinkOf(2)) ?? {};
    expect(setAside?.toSorted()).toEqual(before?.units.toSorted());
    expect(families?.map(({ free }) => free)).toEqual([0, 0]);
  }, SOON);
  const primaryPods = field.node.pods.filter(({ name }) => !onIt.includes(name));
  await field.expectTalk(primaryPods);
  for (const pod of field.node.pods.filter(({ name }) => onIt.includes(name)))
    await field.node.runtime.del(pod);
  await vi.waitFor(
    async () => expect((await uplinkOf(2))?.interfaceId).not.toBe(before?.interfaceId),
    CONFIRMED,
  );
  expect(field.lines("ip rule show").filter((line) => line.includes("lookup 4102"))).toEqual([]);
  await field.expectTalk(primaryPods);
}, 90_000);
