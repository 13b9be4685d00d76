/** releaseUnits() when calls were repeated, replies lost, and describes are behind. */
import { afterEach, describe, expect, it } from "vitest";
import type { InterfaceId } from "../../common/ids.ts";
import type { Cidr } from "../../common/ip.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import { RewritingProxy } from "../../test/conformance/rewriting-proxy.ts";

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one.close();
});

const soon = () => AbortSignal.timeout(20_000);
const UNASSIGN = "UnassignPrivateIpAddresses";
/** As often as the SDK sends a call. */
const ATTEMPTS = 3;

/** A node with three units of its primary; from `lists.fall()` on, describes answer what the last one did. */
async function start() {
  const lab = await AwsLab.start();
  closing.push(lab);
  let old: string | undefined;
  let isBehind = false;
  const proxy = await RewritingProxy.start(lab.ec2.endpoint, (action, body) => {
    if (action !== "DescribeNetworkInterfaces") return body;
    if (!isBehind) old = body;
    return old ?? body;
  });
  closing.push(proxy);
  const lists = { fallBehind: () => (isBehind = true), catchUp: () => (isBehind = false) };
  const network = lab.open({ endpoint: proxy.endpoint });
  const found = (await network.describe(soon())).interfaces.find((one) => one.isPrimary);
  const id = found?.id ?? ("none" as InterfaceId);
  const units = await network.assignUnits(id, [{ family: 4, prefixLength: 32, count: 3 }], soon());
  const shown = async () => (await network.describe(soon())).interfaces[0]?.units.map(String);
  const inCloud = () => lab.ec2.account.interfacesOf(lab.instance.id)[0]?.secondaryIpv4.length;
  const release = (some: readonly Cidr[]) => network.releaseUnits(id, some, soon());
  return { lab, faults: lab.ec2.faults, calls: lab.ec2.calls, lists, id, units, shown, inCloud, release };
}

describe("AwsNetwork.releaseUnits()", () => {
  it("takes units that are released as gone while describe still shows them", async () => {
    const { lists, units, shown, release } = await start();
    lists.fallBehind();
    await release(units.slice(0, 2));
    await release(units.slice(0, 2));
    expect(await shown()).toEqual(units.slice(2).map(String));
    await release(units);
    expect(await shown()).toEqual([]);
  });

  it("does not know the outcome when the SDK's repetition is refused, and describe is behind", async () => {
    const { faults, lists, units, inCloud, release } = await start();
    lists.fallBehind();
    faults.loseReply(UNASSIGN);
    await expect(release(units)).rejects.toMatchObject({ code: "unavailable", released: [] });
    expect(inCloud()).toBe(0);
    await expect(release(units)).rejects.toMatchObject({ code: "unavailable", released: [] });
    lists.catchUp();
    await expect(release(units)).resolves.toBeUndefined();
  });

  it("waits for a describe that is behind when EC2 says that units are gone", async () => {
    const { faults, calls, lists, units, release } = await start();
    lists.fallBehind();
    faults.loseReply(UNASSIGN);
    calls.clear();
    const done = release(units);
    await expect.poll(() => calls.count("DescribeNetworkInterfaces"), { timeout: 5_000 }).toBe(1);
    lists.catchUp();
    await expect(done).resolves.toBeUndefined();
    expect(calls.count(UNASSIGN)).toBe(2);
  });

  it.each([
    ["RequestLimitExceeded", 503],
    ["UnauthorizedOperation", 403],
    ["InvalidParameterCombination", 400],
  ])("does not take %s for a refusal when an earlier call may have acted", async (code, status) => {
    const { faults, units, inCloud, release } = await start();
    faults.garbage(UNASSIGN, 502, ATTEMPTS);
    await expect(release(units)).rejects.toMatchObject({ code: "unavailable" });
    faults.fail(UNASSIGN, code, ATTEMPTS, status);
    await expect(release(units)).rejects.toMatchObject({ code: "unavailable", cloudCode: code });
    faults.clear();
    await release(units);
    expect(inCloud()).toBe(0);
  });

  it("calls a refusal of the only try a refusal, and keeps the units", async () => {
    const { faults, units, inCloud, shown, release } = await start();
    faults.fail(UNASSIGN, "UnauthorizedOperation", 1, 403);
    await expect(release(units)).rejects.toMatchObject({ code: "unauthorized", released: [] });
    faults.fail(UNASSIGN, "InvalidParameterCombination");
    await expect(release(units)).rejects.toMatchObject({ code: "invalid", released: [] });
    expect([inCloud(), (await shown())?.length]).toEqual([3, 3]);
  });

  it("names as released what was gone when the rest is refused", async () => {
    const { lab, faults, id, units, release } = await start();
    lab.ec2.outsideHand.unassign(id, units.slice(0, 1));
    faults.delay("DescribeNetworkInterfaces", 200);
    const done = release(units).catch((thrown: unknown) => thrown);
    await expect.poll(() => lab.ec2.calls.count(UNASSIGN), { timeout: 5_000 }).toBe(1);
    faults.fail(UNASSIGN, "UnauthorizedOperation", 1, 403);
    expect(await done).toMatchObject({ code: "unavailable", released: units.slice(0, 1) });
  });
});
