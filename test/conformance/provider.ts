/**
 * What every implementation of CloudNetwork promises, as one suite: run by the cloud in memory, and by each real adapter on its
 * embedded cloud. A case that only one cloud can show is in that adapter's own tests.
 */
import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_POOL, type InterfaceId, type PoolKey, type SubnetId } from "../../common/ids.ts";
import type { Cidr, Family } from "../../common/ip.ts";
import { CloudError, type CloudErrorCode } from "../../providers/errors.ts";
import type { CloudInterface, CloudNetwork, CreateInterface, UnitRequest } from "../../providers/provider.ts";

/** A cloud with two nodes, the first of which is ours to look at: its primary has one secondary address of somebody's and beside which hangs a stranger's interface. */
export type ProviderHarness = {
  /** As a newly started process has it: nothing remembered. */
  open(): CloudNetwork;
  /** The node's own. */
  readonly subnetId: SubnetId;
  /** The only other subnet of the same zone and routes, in which at most 11 IPv4 addresses are free. */
  readonly smallSubnetId: SubnetId;
  /** Somebody takes every IPv4 address of a subnet that is free. */
  exhaust(subnetId: SubnetId): void;
  /** As open(), for the other node of the cluster. */
  openOther(): CloudNetwork;
  terminateOther(): void;
  /** Sets the clock of all that was opened, and is, forward. */
  later(ms: number): void;
  readonly strangerId: InterfaceId;
  /** The cloud's own calls that createInterface() makes to change something, in order; and of the other calls. */
  readonly createSteps: readonly string[];
  readonly deleteSteps: readonly string[];
  readonly attachStep: string;
  readonly assignStep: string;
  readonly describeStep: string;
  /** Of the requests of one releaseUnits(), the second fails without acting, as if nobody answered. The first one is for IPv4. */
  breakSecondRelease(): void;
  /** The next call of that step acts, and its reply is lost. */
  loseReply(step: string): void;
  /** The next call of that step fails without acting, as if nobody answered; also when the adapter repeats it by itself. */
  breakDown(step: string): void;
  /** Undoes loseReply() and breakDown() that were not used up. */
  heal(): void;
  /** Every interface that the cloud has, whoever's. Not through the adapter. */
  interfaceIds(): readonly InterfaceId[];
  close(): Promise<void>;
};

export function providerConformance(name: string, start: () => Promise<ProviderHarness>): void {
  let harness: ProviderHarness | undefined;
  afterEach(async () => {
    await harness?.close();
    harness = undefined;
  });
  const setUp = async () => {
    harness = await start();
    return { harness, network: harness.open() };
  };

  describe(`${name}: identify() and capabilities()`, () => {
    it("say who the node is and what it carries, the same each time", async () => {
      const { network } = await setUp();
      const identity = await network.identify(soon());
      expect(await network.identify(soon())).toEqual(identity);
      expect(identity.instanceId).not.toBe("");
      const capabilities = await network.capabilities(soon());
      expect(await network.capabilities(soon())).toEqual(capabilities);
      expect(capabilities.cards.length).toBeGreaterThan(0);
      expect(capabilities.unitLengths[4]).toContain(32);
      expect(capabilities.unitsPerInterface[4]).toBeGreaterThan(1);
    });
  });

  describe(`${name}: describe()`, () => {
    it("shows the primary as shared, found by its MAC, with its own address outside the units", async () => {
      const { network } = await setUp();
      const identity = await network.identify(soon());
      const primary = await primaryOf(network);
      expect(primary).toMatchObject({ mac: identity.primaryMac, ownership: "shared", state: "attached" });
      expect(primary.own.length).toBeGreaterThan(0);
      expect(primary.units).toEqual([]);
    });

    it("shows what was there before us as foreign, on the primary and on a stranger's interface", async () => {
      const { harness, network } = await setUp();
      expect((await primaryOf(network)).foreignUnits).toHaveLength(1);
      const stranger = await interfaceOf(network, harness.strangerId);
      expect(stranger).toMatchObject({ ownership: "foreign", isPrimary: false, units: [] });
    });

    it("gives the network's CIDRs and a gateway for each family of a subnet", async () => {
      const { network } = await setUp();
      const { interfaces, networkCidrs } = await network.describe(soon());
      expect(new Set(networkCidrs.map((cidr) => cidr.family))).toEqual(new Set([4, 6]));
      for (const one of interfaces) {
        expect(one.own.every((own) => networkCidrs.some((cidr) => cidr.contains(own)))).toBe(true);
        expect(one.subnet.ipv4?.contains(one.gateways[4] ?? one.subnet.ipv4)).toBe(true);
        expect(one.gateways[6]?.toString()).toMatch(/^fe80:/);
      }
    });

    it("throws a CloudError when the cloud does not answer, and works afterwards", async () => {
      const { harness, network } = await setUp();
      await network.identify(soon());
      harness.breakDown(harness.describeStep);
      await expectCode(network.describe(soon()), "unavailable");
      harness.heal();
      await expect(network.describe(soon())).resolves.toBeDefined();
    });
  });

  describe(`${name}: assignUnits()`, () => {
    it.each([
      [4, 32],
      [4, 28],
      [6, 128],
      [6, 80],
    ] as const)(
      "adds units of IPv%s /%s to the primary, and gives exactly the new ones",
      async (family, prefixLength) => {
        const { harness, network } = await setUp();
        const { id, foreignUnits } = await primaryOf(network);
        const first = await network.assignUnits(id, [{ family, prefixLength, count: 2 }], soon());
        const second = await network.assignUnits(id, [{ family, prefixLength, count: 1 }], soon());
        expect([first.length, second.length]).toEqual([2, 1]);
        const all = texts([...first, ...second]);
        expect(new Set(all).size).toBe(3);
        expect([...first, ...second].every((unit) => unit.prefixLength === prefixLength)).toBe(true);
        for (const seen of [await primaryOf(network), await primaryOf(harness.open())]) {
          expect(texts(seen.units)).toEqual([...all].sort());
          expect(texts(seen.foreignUnits)).toEqual(texts(foreignUnits));
        }
      },
    );

    it("gives fewer than asked for when there is no room for all, and says so when there is none", async () => {
      const { network } = await setUp();
      const { id } = await primaryOf(network);
      const room = (await network.capabilities(soon())).unitsPerInterface[4] - 1;
      const given = await network.assignUnits(id, [singles(4, room + 5)], soon());
      expect(given).toHaveLength(room);
      await expectCode(network.assignUnits(id, [singles(4, 1)], soon()), "limit-reached");
    });

    it("adds units of several sizes and families in one call", async () => {
      const { harness, network } = await setUp();
      const { id } = await primaryOf(network);
      const requests = [
        BLOCK,
        singles(4, 2),
        singles(6, 1),
        { family: 6, prefixLength: 80, count: 1 },
      ] as const;
      const given = await network.assignUnits(id, requests, soon());
      expect(given.map(sizeOf).sort()).toEqual(["4/28", "4/32", "4/32", "6/128", "6/80"]);
      for (const seen of [await primaryOf(network), await primaryOf(harness.open())]) {
        expect(texts(seen.units)).toEqual(texts(given));
      }
    });

    it("says what it has added when a later request is refused, and does not try those after it", async () => {
      const { harness, network } = await setUp();
      const ids = [harness.smallSubnetId];
      const made = await network.createInterface(request(harness, { subnets: { by: "ids", ids } }), soon());
      const requests = [singles(4, 2), BLOCK, singles(6, 1)];
      const error = await network.assignUnits(made.id, requests, soon()).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "no-free-block", subnetIds: ids });
      const added = error instanceof CloudError ? error.added : [];
      expect(added.map(sizeOf)).toEqual(["4/32", "4/32"]);
      for (const seen of [await interfaceOf(network, made.id), await interfaceOf(harness.open(), made.id)]) {
        expect(texts(seen.units)).toEqual(texts(added));
      }
    });

    it("says what it has added when a later request has no room", async () => {
      const { network } = await setUp();
      const { id } = await primaryOf(network);
      const room = (await network.capabilities(soon())).unitsPerInterface[4] - 1;
      const requests = [singles(4, room), BLOCK];
      const error = await network.assignUnits(id, requests, soon()).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "limit-reached" });
      expect(error instanceof CloudError ? error.added : []).toHaveLength(room);
      expect((await primaryOf(network)).units).toHaveLength(room);
    });

    it("changes nothing when the subnet has no block or no address, and tells the two apart", async () => {
      const { harness, network } = await setUp();
      const subnetIds = [harness.smallSubnetId];
      const made = await network.createInterface(
        request(harness, { subnets: { by: "ids", ids: subnetIds } }),
        soon(),
      );
      await expectFull(network.assignUnits(made.id, [BLOCK], soon()), "no-free-block", subnetIds);
      harness.exhaust(harness.smallSubnetId);
      await expectFull(network.assignUnits(made.id, [singles(4, 1)], soon()), "subnet-exhausted", subnetIds);
      expect((await interfaceOf(network, made.id)).units).toEqual([]);
    });

    it("refuses a stranger's interface before any call", async () => {
      const { harness, network } = await setUp();
      await expectCode(network.assignUnits(harness.strangerId, [singles(4, 1)], soon()), "not-ours");
    });

    it("after a lost reply has unknown outcome, and describe() tells it", async () => {
      const { harness, network } = await setUp();
      const { id } = await primaryOf(network);
      harness.loseReply(harness.assignStep);
      await expectCode(network.assignUnits(id, [singles(4, 2)], soon()), "unavailable");
      expect((await primaryOf(network)).units).toHaveLength(2);
    });
  });

  describe(`${name}: releaseUnits()`, () => {
    it("gives units of every size back, and does it twice", async () => {
      const { network } = await setUp();
      const { id } = await primaryOf(network);
      const units: Cidr[] = [];
      for (const [family, prefixLength] of [
        [4, 32],
        [4, 28],
        [6, 128],
        [6, 80],
      ] as const) {
        units.push(...(await network.assignUnits(id, [{ family, prefixLength, count: 1 }], soon())));
      }
      await network.releaseUnits(id, units, soon());
      await network.releaseUnits(id, units, soon());
      expect((await primaryOf(network)).units).toEqual([]);
    });

    it("releases what is left when some are gone already", async () => {
      const { network } = await setUp();
      const { id } = await primaryOf(network);
      const units = await network.assignUnits(id, [singles(4, 3)], soon());
      await network.releaseUnits(id, units.slice(0, 1), soon());
      await network.releaseUnits(id, units, soon());
      expect((await primaryOf(network)).units).toEqual([]);
    });

    it("says what it has given back when a later request fails, and goes on from there", async () => {
      const { harness, network } = await setUp();
      const { id } = await primaryOf(network);
      const units = await network.assignUnits(id, [singles(4, 2), singles(6, 1)], soon());
      harness.breakSecondRelease();
      const error = await network.releaseUnits(id, units, soon()).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "unavailable" });
      const released = error instanceof CloudError ? error.released : [];
      expect(released.map(sizeOf)).toEqual(["4/32", "4/32"]);
      harness.heal();
      expect((await primaryOf(network)).units.map(sizeOf)).toEqual(["6/128"]);
      await network.releaseUnits(id, units, soon());
      expect((await primaryOf(network)).units).toEqual([]);
    });

    it("refuses foreign units, also of the primary", async () => {
      const { network } = await setUp();
      const { id, foreignUnits } = await primaryOf(network);
      await expectCode(network.releaseUnits(id, foreignUnits, soon()), "not-ours");
      expect((await primaryOf(network)).foreignUnits).toHaveLength(1);
    });
  });

  describe(`${name}: createInterface()`, () => {
    it("makes an attached interface of ours with its units and pool key", async () => {
      const { harness, network } = await setUp();
      const poolKey = "other" as PoolKey;
      const units = [singles(4, 3), { family: 6, prefixLength: 80, count: 1 } as const];
      const made = await network.createInterface(request(harness, { poolKey, units }), soon());
      expect(["attaching", "attached"]).toContain(made.state);
      const seen = await whenAttached(network, made.id);
      expect(seen).toMatchObject({ ownership: "ours", isPrimary: false, poolKey, cardIndex: 0 });
      expect(seen.subnet.id).toBe(harness.subnetId);
      expect(texts(seen.units)).toEqual(texts(made.units));
      expect(sizes(seen.units)).toEqual([32, 32, 32, 80]);
      expect(seen.units.some((unit) => seen.own.some((own) => unit.contains(own)))).toBe(false);
      expect((await interfaceOf(harness.open(), made.id)).ownership).toBe("ours");
    });

    it("takes two sizes of one family", async () => {
      const { harness, network } = await setUp();
      const units = [{ family: 4, prefixLength: 28, count: 1 } as const, singles(4, 2)];
      const made = await network.createInterface(request(harness, { units }), soon());
      expect(sizes(made.units)).toEqual([28, 32, 32]);
    });

    it("makes one interface per token", async () => {
      const { harness, network } = await setUp();
      const first = await network.createInterface(request(harness), soon());
      const again = await network.createInterface(request(harness), soon());
      const other = await network.createInterface(request(harness, { token: "other" }), soon());
      expect(again.id).toBe(first.id);
      expect(other.id).not.toBe(first.id);
      expect(other.deviceIndex).not.toBe(first.deviceIndex);
    });

    it("makes another one for the token of one that was deleted, also after a restart", async () => {
      const { harness, network } = await setUp();
      const before = harness.interfaceIds();
      const first = await network.createInterface(request(harness), soon());
      await network.deleteInterface(first.id, soon());
      const second = await network.createInterface(request(harness), soon());
      expect(harness.interfaceIds()).toEqual([...before, second.id]);
      await network.deleteInterface(second.id, soon());
      const restarted = harness.open();
      harness.later(60_000);
      const third = await restarted.createInterface(request(harness), soon());
      expect(harness.interfaceIds()).toEqual([...before, third.id]);
      expect(new Set([first.id, second.id, third.id]).size).toBe(3);
    });

    it("goes on after a crash at any step, its reply lost or its call never sent", async () => {
      const { harness, network } = await setUp();
      for (const [step, fault] of crashes(harness.createSteps)) {
        const wanted = request(harness, { token: `${step} ${fault}`, units: [singles(4, 2)] });
        const before = harness.interfaceIds();
        harness[fault](step);
        await network.createInterface(wanted, soon()).catch(() => undefined);
        harness.heal();
        const restarted = harness.open();
        const made = await restarted.createInterface(wanted, soon());
        await whenAttached(restarted, made.id);
        expect(harness.interfaceIds(), `${step} ${fault}`).toEqual([...before, made.id]);
        expect(made.units).toHaveLength(2);
        await restarted.deleteInterface(made.id, soon());
      }
    });

    it("makes two at once", async () => {
      const { harness, network } = await setUp();
      const before = harness.interfaceIds();
      const made = await Promise.all(
        ["left", "right"].map((token) => network.createInterface(request(harness, { token }), soon())),
      );
      expect(new Set(made.map((one) => one.deviceIndex)).size).toBe(2);
      expect(new Set(harness.interfaceIds())).toEqual(new Set([...before, ...made.map((one) => one.id)]));
    });

    it("removes what a try with another token left unattached", async () => {
      const { harness, network } = await setUp();
      const before = harness.interfaceIds();
      harness.breakDown(harness.attachStep);
      await network.createInterface(request(harness, { token: "forgotten" }), soon()).catch(() => undefined);
      harness.heal();
      expect(harness.interfaceIds()).toHaveLength(before.length + 1);
      const made = await harness.open().createInterface(request(harness, { token: "new" }), soon());
      expect(harness.interfaceIds()).toEqual([...before, made.id]);
    });

    it("leaks nothing when the node is full, and says so", async () => {
      const { harness, network } = await setUp();
      const max = (await network.capabilities(soon())).cards[0]?.interfacesMax ?? 0;
      const present = (await network.describe(soon())).interfaces.length;
      for (let index = present; index < max; index += 1) {
        await network.createInterface(request(harness, { token: `t${index}` }), soon());
      }
      const before = harness.interfaceIds();
      await expectCode(network.createInterface(request(harness, { token: "over" }), soon()), "limit-reached");
      expect(harness.interfaceIds()).toEqual(before);
    });

    it("leaks nothing when the subnet has no block or no address, and tells the two apart", async () => {
      const { harness, network } = await setUp();
      const subnetIds = [harness.smallSubnetId];
      const wanted = request(harness, { subnets: { by: "ids", ids: subnetIds }, units: [BLOCK] });
      const before = harness.interfaceIds();
      await expectFull(network.createInterface(wanted, soon()), "no-free-block", subnetIds);
      expect(harness.interfaceIds()).toEqual(before);
      harness.exhaust(harness.smallSubnetId);
      const after = harness.interfaceIds();
      const single = { ...wanted, units: [singles(4, 1)], token: "single" };
      await expectFull(network.createInterface(single, soon()), "subnet-exhausted", subnetIds);
      expect(harness.interfaceIds()).toEqual(after);
    });

    it("takes the node's own subnet, and its sibling when that is full or to be avoided", async () => {
      const { harness, network } = await setUp();
      const subnets = { by: "node" } as const;
      const make = async (token: string, avoid: readonly SubnetId[] = []) =>
        (await network.createInterface(request(harness, { subnets, avoid, token }), soon())).subnet.id;
      expect(await make("own")).toBe(harness.subnetId);
      expect(await make("avoided", [harness.subnetId])).toBe(harness.smallSubnetId);
      harness.exhaust(harness.subnetId);
      const made = await network.createInterface(request(harness, { subnets, token: "full" }), soon());
      expect(made.subnet.id).toBe(harness.smallSubnetId);
      expect(made.subnet.ipv4?.contains(made.own[0] ?? made.subnet.ipv4)).toBe(true);
      expect(made.gateways[4]?.equals((made.subnet.ipv4 as Cidr).first.plus(1))).toBe(true);
    });

    it("takes subnets by id in their order, and the next one when one is full", async () => {
      const { harness, network } = await setUp();
      const subnets = { by: "ids", ids: [harness.smallSubnetId, harness.subnetId] } as const;
      const first = await network.createInterface(request(harness, { subnets }), soon());
      expect(first.subnet.id).toBe(harness.smallSubnetId);
      const second = await network.createInterface(
        request(harness, { subnets, token: "two", units: [BLOCK] }),
        soon(),
      );
      expect(second.subnet.id).toBe(harness.subnetId);
    });

    it("names every subnet that was full or to be avoided when none is left", async () => {
      const { harness, network } = await setUp();
      harness.exhaust(harness.smallSubnetId);
      const wanted = request(harness, { subnets: { by: "node" }, avoid: [harness.subnetId] });
      const both = [harness.subnetId, harness.smallSubnetId];
      await expectFull(network.createInterface(wanted, soon()), "subnet-exhausted", both);
      const none = { ...wanted, avoid: both, token: "none" };
      await expectFull(network.createInterface(none, soon()), "subnet-exhausted", both);
    });
  });

  describe(`${name}: glance()`, () => {
    it("is the same while nothing changes, and another when units or interfaces do", async () => {
      const { harness, network } = await setUp();
      const { id } = await primaryOf(network);
      const texts = [await network.glance(soon())];
      expect(await network.glance(soon())).toBe(texts[0]);
      const units = await network.assignUnits(id, [singles(4, 1)], soon());
      texts.push(await network.glance(soon()));
      const made = await network.createInterface(request(harness), soon());
      await whenAttached(network, made.id);
      texts.push(await network.glance(soon()));
      await network.assignUnits(made.id, [BLOCK], soon());
      texts.push(await network.glance(soon()));
      expect(new Set(texts).size).toBe(4);
      await network.deleteInterface(made.id, soon());
      await network.releaseUnits(id, units, soon());
      expect(await network.glance(soon())).toBe(texts[0]);
    });
  });

  describe(`${name}: removeLeaks()`, () => {
    /** An interface that a node made and never attached. */
    const leak = async (harness: ProviderHarness, network: CloudNetwork, token: string) => {
      const before = new Set(harness.interfaceIds());
      harness.breakDown(harness.attachStep);
      await network.createInterface(request(harness, { token }), soon()).catch(() => undefined);
      harness.heal();
      return harness.interfaceIds().find((id) => !before.has(id)) as InterfaceId;
    };

    it("removes what a crash left once it was seen twice, ten minutes apart", async () => {
      const { harness, network } = await setUp();
      const before = harness.interfaceIds();
      const id = await leak(harness, network, "crashed");
      harness.later(LEAK_MS);
      const restarted = harness.open();
      expect(await restarted.removeLeaks(soon())).toEqual([]);
      harness.later(LEAK_MS - 60_000);
      expect(await restarted.removeLeaks(soon())).toEqual([]);
      harness.later(60_000);
      expect(await restarted.removeLeaks(soon())).toEqual([id]);
      expect(harness.interfaceIds()).toEqual(before);
      expect(await restarted.removeLeaks(soon())).toEqual([]);
    });

    it("removes what another node left only when its instance is gone", async () => {
      const { harness, network } = await setUp();
      const id = await leak(harness, harness.openOther(), "other");
      for (let sweeps = 0; sweeps < 3; sweeps += 1) {
        harness.later(LEAK_MS);
        expect(await network.removeLeaks(soon())).toEqual([]);
      }
      harness.terminateOther();
      expect(await network.removeLeaks(soon())).toEqual([id]);
    });

    it("leaves what is attached, and what is a stranger's, however old", async () => {
      const { harness, network } = await setUp();
      await network.createInterface(request(harness), soon());
      harness.exhaust(harness.smallSubnetId);
      const before = harness.interfaceIds();
      for (let sweeps = 0; sweeps < 3; sweeps += 1) {
        harness.later(LEAK_MS);
        expect(await network.removeLeaks(soon())).toEqual([]);
      }
      expect(harness.interfaceIds()).toEqual(before);
    });
  });

  describe(`${name}: deleteInterface()`, () => {
    it("removes an interface of ours, and does it twice", async () => {
      const { harness, network } = await setUp();
      const before = harness.interfaceIds();
      const made = await network.createInterface(request(harness), soon());
      await network.deleteInterface(made.id, soon());
      await network.deleteInterface(made.id, soon());
      await harness.open().deleteInterface(made.id, soon());
      expect(harness.interfaceIds()).toEqual(before);
      expect(await findIn(network, made.id)).toBeUndefined();
    });

    it("goes on after a crash at any step, its reply lost or its call never sent", async () => {
      const { harness, network } = await setUp();
      for (const [step, fault] of crashes(harness.deleteSteps)) {
        const before = harness.interfaceIds();
        const made = await network.createInterface(request(harness, { token: `${step} ${fault}` }), soon());
        harness[fault](step);
        await network.deleteInterface(made.id, soon()).catch(() => undefined);
        harness.heal();
        await harness.open().deleteInterface(made.id, soon());
        expect(harness.interfaceIds(), `${step} ${fault}`).toEqual(before);
      }
    });

    it("leaves what it could only detach to the next creation", async () => {
      const { harness, network } = await setUp();
      const before = harness.interfaceIds();
      const made = await network.createInterface(request(harness), soon());
      harness.breakDown(harness.deleteSteps.at(-1) ?? "");
      await expectCode(network.deleteInterface(made.id, soon()), "unavailable");
      harness.heal();
      const next = await network.createInterface(request(harness, { token: "next" }), soon());
      expect(harness.interfaceIds()).toEqual([...before, next.id]);
    });

    it("refuses the primary and a stranger's", async () => {
      const { harness, network } = await setUp();
      const before = harness.interfaceIds();
      await expectCode(network.deleteInterface((await primaryOf(network)).id, soon()), "not-ours");
      await expectCode(network.deleteInterface(harness.strangerId, soon()), "not-ours");
      expect(harness.interfaceIds()).toEqual(before);
    });
  });

  describe(`${name}: every call`, () => {
    it("fails as unavailable, at once, when its signal is aborted", async () => {
      const { harness, network } = await setUp();
      const { id } = await primaryOf(network);
      const units = await network.assignUnits(id, [singles(4, 1)], soon());
      const gone = AbortSignal.abort(new Error("stopping"));
      await expectCode(network.describe(gone), "unavailable");
      await expectCode(network.createInterface(request(harness), gone), "unavailable");
      await expectCode(network.assignUnits(id, [singles(4, 1)], gone), "unavailable");
      await expectCode(network.releaseUnits(id, units, gone), "unavailable");
    });
  });
}

const BLOCK = { family: 4, prefixLength: 28, count: 1 } as const;

/** How long apart two sweeps must have seen a leak. */
const LEAK_MS = 600_000;

/** Every way to die around every step. */
function crashes(steps: readonly string[]): (readonly [string, "loseReply" | "breakDown"])[] {
  return steps.flatMap((step) => [[step, "loseReply"] as const, [step, "breakDown"] as const]);
}

/** Longer than any call of an embedded cloud takes, shorter than a test may. */
function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

function request(harness: ProviderHarness, changes: Partial<CreateInterface> = {}): CreateInterface {
  const { subnetId } = harness;
  const basic = {
    poolKey: DEFAULT_POOL,
    subnets: { by: "ids", ids: [subnetId] } as const,
    avoid: [],
    securityGroupIds: [],
    cardIndex: 0,
    units: [],
    token: "one",
  };
  return { ...basic, ...changes };
}

function singles(family: Family, count: number): UnitRequest {
  return { family, prefixLength: family === 4 ? 32 : 128, count };
}

async function primaryOf(network: CloudNetwork): Promise<CloudInterface> {
  const primary = (await network.describe(soon())).interfaces.filter((one) => one.isPrimary);
  expect(primary).toHaveLength(1);
  return primary[0] as CloudInterface;
}

async function findIn(network: CloudNetwork, id: InterfaceId): Promise<CloudInterface | undefined> {
  return (await network.describe(soon())).interfaces.find((one) => one.id === id);
}

async function interfaceOf(network: CloudNetwork, id: InterfaceId): Promise<CloudInterface> {
  const found = await findIn(network, id);
  expect(found).toBeDefined();
  return found as CloudInterface;
}

async function whenAttached(network: CloudNetwork, id: InterfaceId): Promise<CloudInterface> {
  return expect
    .poll(() => findIn(network, id), { timeout: 10_000, interval: 20 })
    .toMatchObject({ state: "attached" })
    .then(() => interfaceOf(network, id));
}

async function expectCode(call: Promise<unknown>, code: CloudErrorCode): Promise<void> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(CloudError);
  expect(error).toMatchObject({ code });
}

/** Fails with that code, and names exactly these subnets. */
async function expectFull(
  call: Promise<unknown>,
  code: CloudErrorCode,
  subnetIds: readonly SubnetId[],
): Promise<void> {
  const error = await call.catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code, step: "other-subnet" });
  expect([...(error as CloudError).subnetIds].sort()).toEqual([...subnetIds].sort());
}

/** `4/28` */
function sizeOf({ family, prefixLength }: Cidr): string {
  return `${family}/${prefixLength}`;
}

function texts(units: readonly Cidr[]): string[] {
  return units.map(String).sort();
}

function sizes(units: readonly Cidr[]): number[] {
  return units.map((unit) => unit.prefixLength).sort((a, b) => a - b);
}
