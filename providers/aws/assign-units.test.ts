/** assignUnits() against replies that say too much, and describes that are behind. */
import { afterEach, describe, expect, it } from "vitest";
import type { InterfaceId } from "../../common/ids.ts";
import { assignIpv4 } from "../../test/cloudsim/aws/model/assign.ts";
import { AwsLab } from "../../test/conformance/aws.ts";
import { type Rewrite, RewritingProxy } from "../../test/conformance/rewriting-proxy.ts";
import { CloudError } from "../errors.ts";
import type { AwsNetwork } from "./provider.ts";

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one.close();
});

const soon = () => AbortSignal.timeout(20_000);
const singles = (count: number) => ({ family: 4, prefixLength: 32, count }) as const;

async function start(rewrite: (lab: AwsLab) => Rewrite) {
  const lab = await AwsLab.start();
  closing.push(lab);
  const proxy = await RewritingProxy.start(lab.ec2.endpoint, rewrite(lab));
  closing.push(proxy);
  const network = lab.open({ endpoint: proxy.endpoint });
  return { lab, network, primary: await primaryOf(network) };
}

async function primaryOf(network: AwsNetwork) {
  const found = (await network.describe(soon())).interfaces.find((one) => one.isPrimary);
  return found?.id ?? ("none" as InterfaceId);
}

/** The reply names every address of the interface, its own included, as some EC2-compatible implementations do. */
const namesAll =
  (lab: AwsLab): Rewrite =>
  (action, body) => {
    if (action !== "AssignPrivateIpAddresses") return body;
    const [primary] = lab.ec2.account.interfacesOf(lab.instance.id);
    const all = [primary?.primaryIpv4, ...(primary?.secondaryIpv4 ?? [])];
    const items = all.map((address) => `<item><privateIpAddress>${address}</privateIpAddress></item>`);
    const set = `<assignedPrivateIpAddressesSet>${items.join("")}</assignedPrivateIpAddressesSet>`;
    return body.replace(/<assignedPrivateIpAddressesSet>.*<\/assignedPrivateIpAddressesSet>/, set);
  };

/** Describes of one interface by id answer what the first of them did, `times` times in all. */
const lagging = (times: number, next: Rewrite = (_, body) => body): Rewrite => {
  let old: string | undefined;
  let left = times;
  return (action, body) => {
    if (action !== "DescribeNetworkInterfaces") return next(action, body);
    old ??= body;
    left -= 1;
    return left >= 0 ? old : body;
  };
};

/** The reply names nothing. */
const namesNone: Rewrite = (action, body) =>
  action === "AssignPrivateIpAddresses" ? body.replaceAll(/<item>.*?<\/item>/g, "") : body;

describe("AwsNetwork.assignUnits()", () => {
  it("gives exactly the new units when the reply names all", async () => {
    const { lab, network, primary } = await start(namesAll);
    const first = await network.assignUnits(primary, [singles(3)], soon());
    const second = await network.assignUnits(primary, [singles(2)], soon());
    expect([first.length, second.length]).toEqual([3, 2]);
    const [inCloud] = lab.ec2.account.interfacesOf(lab.instance.id);
    const given = [...first, ...second].map((unit) => unit.address.toString()).sort();
    expect(given).toEqual(inCloud?.secondaryIpv4.map(String).sort());
  });

  it("gives exactly the new units when the reply names none", async () => {
    const { network, primary } = await start(() => namesNone);
    expect(await network.assignUnits(primary, [singles(3)], soon())).toHaveLength(3);
  });

  it("looks once for several requests, whatever the replies name", async () => {
    const { lab, network, primary } = await start(namesAll);
    lab.ec2.calls.clear();
    const block = { family: 4, prefixLength: 28, count: 1 } as const;
    const six = { family: 6, prefixLength: 128, count: 2 } as const;
    const units = await network.assignUnits(primary, [singles(3), block, six], soon());
    expect(units.map(({ family, prefixLength }) => [family, prefixLength])).toEqual(
      expect.arrayContaining([
        [4, 28],
        [6, 128],
        [4, 32],
      ]),
    );
    expect(units).toHaveLength(6);
    expect(lab.ec2.calls.count("DescribeNetworkInterfaces")).toBe(1);
  });

  it("says what came of the one request when nothing tells what came of the other", async () => {
    const namesNoIpv6: Rewrite = (action, body) =>
      action === "AssignIpv6Addresses"
        ? body.replaceAll(/<assignedIpv6Addresses>.*<\/assignedIpv6Addresses>/g, "")
        : body;
    const { lab, network, primary } = await start(() => lagging(1_000, namesNoIpv6));
    const six = { family: 6, prefixLength: 128, count: 1 } as const;
    const call = network.assignUnits(primary, [singles(2), six], soon());
    const error = await call.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "unavailable", operation: "AssignIpv6Addresses" });
    const [inCloud] = lab.ec2.account.interfacesOf(lab.instance.id);
    const added = error instanceof CloudError ? error.added.map((unit) => unit.address.toString()) : [];
    expect(added.sort()).toEqual(inCloud?.secondaryIpv4.map(String).sort());
  });

  it("waits for a describe that is behind", async () => {
    // list at the start, then two that are behind
    const { lab, network, primary } = await start((lab) => lagging(3, namesAll(lab)));
    expect(await network.assignUnits(primary, [singles(2)], soon())).toHaveLength(2);
    expect(lab.ec2.calls.count("DescribeNetworkInterfaces")).toBe(4);
    expect(lab.ec2.calls.count("AssignPrivateIpAddresses")).toBe(1);
  });

  it("believes a reply that names just as many new ones when describe stays behind, and shows them", async () => {
    const { network, primary } = await start(() => lagging(1_000));
    const units = await network.assignUnits(primary, [singles(2)], soon());
    expect(units).toHaveLength(2);
    const [seen] = (await network.describe(soon())).interfaces;
    expect(seen?.units.map(String)).toEqual(units.map(String));
  });

  it("does not know the outcome when neither tells it, and asks before the next write", async () => {
    const { lab, network, primary } = await start(() => lagging(6, namesNone));
    await expect(network.assignUnits(primary, [singles(2)], soon())).rejects.toMatchObject({
      code: "unavailable",
    });
    // the first two show by now: they are no news of the second call
    expect(await network.assignUnits(primary, [singles(1)], soon())).toHaveLength(1);
    const [inCloud] = lab.ec2.account.interfacesOf(lab.instance.id);
    expect(inCloud?.secondaryIpv4).toHaveLength(3);
  });

  it("gives nothing that was just given back and is shown by an older answer", async () => {
    let old: string | undefined;
    let isBehind = false;
    const { lab, network, primary } = await start(() => (action, body) => {
      if (action !== "DescribeNetworkInterfaces") return body;
      if (!isBehind) old = body;
      return isBehind ? (old ?? body) : body;
    });
    const released = await network.assignUnits(primary, [singles(2)], soon());
    isBehind = true;
    await network.releaseUnits(primary, released, soon());
    const units = await network.assignUnits(primary, [singles(2)], soon());
    const [inCloud] = lab.ec2.account.interfacesOf(lab.instance.id);
    expect(units.map((unit) => unit.address.toString()).sort()).toEqual(
      inCloud?.secondaryIpv4.map(String).sort(),
    );
  });

  it.each([
    ["names its own", (): Rewrite => (_, body) => body],
    ["names none", () => namesNone],
  ])("gives no more than asked for when somebody else adds meanwhile and the reply %s", async (_, next) => {
    const { lab, network, primary } = await start((lab) => (action, body) => {
      const { account } = lab.ec2;
      if (action === "AssignPrivateIpAddresses") {
        const [inCloud] = account.interfacesOf(lab.instance.id);
        assignIpv4(account, inCloud?.id ?? "none", { addressCount: 2 }, false);
      }
      return next()(action, body);
    });
    const units = await network.assignUnits(primary, [singles(2)], soon());
    const [inCloud] = lab.ec2.account.interfacesOf(lab.instance.id);
    expect([units.length, inCloud?.secondaryIpv4.length]).toEqual([2, 4]);
  });

  it("asks again for nothing when somebody else filled the interface meanwhile (aws-61)", async () => {
    const { lab, network, primary } = await start(() => (_, body) => body);
    await network.assignUnits(primary, [singles(3)], soon());
    assignIpv4(lab.ec2.account, primary, { addressCount: 6 }, false);
    lab.ec2.calls.clear();
    await expect(network.assignUnits(primary, [singles(6)], soon())).rejects.toMatchObject({
      code: "limit-reached",
    });
    await expect(network.assignUnits(primary, [singles(6)], soon())).rejects.toMatchObject({
      code: "limit-reached",
    });
    // the second one looks, and sends nothing that cannot succeed
    expect(lab.ec2.calls.count("AssignPrivateIpAddresses")).toBe(1);
  });
});
