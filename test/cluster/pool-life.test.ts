/** The life of a node's pool on the real kernel and the embedded EC2: it follows its pods, its settings and what others do, and nobody's connection ends. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { RawSettings } from "../../ipamd/settings.ts";
import { Auditor, type Books } from "../e2e/audit.ts";
import { Flow } from "../e2e/flow.ts";
import type { PodOf } from "./cluster.ts";
import { FieldNode } from "./field-node.ts";

/** Growing takes a second; giving back waits for what is idle, and is looked at every 15 s. */
const GROWN_MS = 15_000;
const SHRUNK_MS = 90_000;
/** Two answers of the cloud that confirm each other. */
const CONFIRMED_MS = 40_000;

const QUICK = { "ip-cooldown-period": "1", "release-after": "1" };
const SINGLES = { ...QUICK, "address-unit": "single" };

/** A node whose pods are announced by a file, and its books. */
class Life implements AsyncDisposable {
  readonly field: FieldNode;
  readonly auditor: Auditor;
  private readonly podsPath: string;
  private readonly settings: RawSettings;
  private readonly environment: Readonly<Record<string, string>>;

  private constructor(
    field: FieldNode,
    auditor: Auditor,
    daemon: {
      readonly podsPath: string;
      readonly settings: RawSettings;
      readonly environment: Readonly<Record<string, string>>;
    },
  ) {
    this.field = field;
    this.auditor = auditor;
    this.podsPath = daemon.podsPath;
    this.settings = daemon.settings;
    this.environment = daemon.environment;
  }

  static async start(id: string, settings: RawSettings, more = {}): Promise<Life> {
    const field = await FieldNode.start(id, { instanceType: "m5.large", settings });
    const podsPath = path.join(field.cluster.folder, "pods.json");
    const environment = { CAUSEWAY_PODS: podsPath, ...more };
    const auditor = await Auditor.open(field.cluster, field.node);
    const life = new Life(field, auditor, { podsPath, settings, environment });
    life.bind();
    await life.restart();
    return life;
  }

  /** These pods, and no others, are bound to the node. */
  bind(...names: readonly string[]): void {
    const pods = names.map((name) => ({ uid: `uid-${name}`, namespace: "demo", name }));
    writeFileSync(this.podsPath, JSON.stringify(pods));
  }

  /** Cloud, pool and kernel agree, and so many IPv4 addresses are leased and free, on so many interfaces. Waits. */
  holds(wanted: { leased?: number; free?: number; interfaces?: number }, withinMs: number): Promise<Books> {
    return this.auditor.settled(({ page }) => {
      const rows = page.uplinks.flatMap(({ families }) => families.filter(({ family }) => family === 4));
      const sum = (key: "leased" | "free" | "cooling") => rows.reduce((total, row) => total + row[key], 0);
      const is = { leased: sum("leased"), free: sum("free"), interfaces: page.uplinks.length };
      const isAsWanted = Object.entries(wanted).every(([key, count]) => is[key as keyof typeof is] === count);
      return isAsWanted && sum("cooling") === 0;
    }, withinMs);
  }

  logged(text: string): number {
    return this.field.node.daemon?.lines.filter((line) => JSON.stringify(line).includes(text)).length ?? 0;
  }

  /** What the log says that the cloud refused: of what kind, and why. */
  refusals(): string[] {
    const lines = this.field.node.daemon?.lines ?? [];
    return lines
      .filter(({ msg }) => msg === "the cloud did not do what the pool needs")
      .filter(({ level }) => level === "warn")
      .map(({ action, err }) => `${String(action)}: ${JSON.stringify(err)}`)
      .map((text) => text.replace(/"requestId":"[^"]*"|"stack":"[^"]*"/g, ""));
  }

  /** How often EC2 was asked for all interfaces of the instance. */
  wholeLists(): number {
    const lists = this.field.cluster.ec2.calls.all("DescribeNetworkInterfaces");
    return lists.filter(({ params }) => Object.values(params).includes("attachment.instance-id")).length;
  }

  /** Another daemon over what the last one left: it asks the cloud at once, and its log is empty. */
  async restart(): Promise<void> {
    await this.field.node.daemon?.stop("SIGKILL");
    await this.field.node.startDaemon("ready for pods", this.environment, this.settings);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.auditor[Symbol.asyncDispose]();
    await this.field[Symbol.asyncDispose]();
  }
}

const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, number) => `${prefix}${number}`);

async function talkBetween(first: PodOf, second: PodOf): Promise<Flow> {
  if (second.ipv4 === undefined) throw new Error(`${second.name} has no IPv4 address`);
  return Flow.start(first, second, second.ipv4);
}

describe("the pool of a node", () => {
  it("grows and shrinks with its pods, by addresses and by interfaces, and the books agree at each step", async () => {
    await using life = await Life.start("pl1", SINGLES);
    // the first pods bring the spare with them
    await life.holds({ leased: 0, free: 0, interfaces: 1 }, GROWN_MS);
    life.bind(...names("p", 20));
    await life.holds({ leased: 0, free: 22, interfaces: 3 }, GROWN_MS);
    const pods = await life.field.addPods(...names("p", 20));
    await life.holds({ leased: 20, free: 2 }, GROWN_MS);
    await life.field.expectTalk(pods);
    life.bind("p0", "p1");
    const [first, second, ...others] = pods as [PodOf, PodOf, ...PodOf[]];
    await using flow = await talkBetween(first, second);
    for (const pod of others) await life.field.node.runtime.del(pod);
    await life.holds({ leased: 2, free: 2, interfaces: 1 }, SHRUNK_MS);
    expect(await flow.stop()).toEqual([]);
    expect(flow.asked).toBeGreaterThan(100);
    // an interface that we have deleted ourselves is nobody's damage
    expect(life.logged("the host's network was changed behind us")).toBe(0);
    // and again, over what was given back
    const lists = life.wholeLists();
    life.bind("p0", "p1", ...names("q", 12));
    // a node that is up asks for a few more than are short
    const { page } = await life.holds({ leased: 2, interfaces: 2 }, GROWN_MS);
    const free = page.uplinks.map(({ families }) => Math.min(...families.map((one) => one.free)));
    expect(free.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(14);
    // the creation's answer and the link tell what there is: at most the adapter looks once, for an assignment beside it
    expect(life.wholeLists() - lists).toBeLessThanOrEqual(1);
    const more = await life.field.addPods(...names("q", 12));
    await life.field.expectTalk([first, second, ...more]);
  }, 240_000);

  it("takes blocks and single addresses as the settings change under running pods, whose connections stay", async () => {
    await using life = await Life.start("pl2", SINGLES);
    const [first, second] = (await life.field.addPods("p0", "p1")) as [PodOf, PodOf];
    await using flow = await talkBetween(first, second);
    const held = async () => (await life.auditor.read()).page.uplinks.flatMap(({ units }) => units);
    const blocks = async () => (await held()).filter((unit) => unit.endsWith("/28")).length;
    life.field.node.writeSettings({ ...QUICK, "enable-prefix-delegation": "true" });
    const onBlocks = await life.field.addPods(...names("b", 6));
    await life.auditor.settled();
    expect(await blocks()).toBe(1);
    life.field.node.writeSettings(SINGLES);
    await expect.poll(async () => life.logged("settings")).toBeGreaterThan(0);
    const later = await life.field.addPods(...names("s", 4));
    await life.auditor.settled();
    expect(await blocks()).toBe(1);
    await life.field.expectTalk([first, second, ...onBlocks, ...later]);
    for (const pod of [...onBlocks, ...later]) await life.field.node.runtime.del(pod);
    // a block that nobody uses may stay as the spare
    await life.holds({ leased: 2 }, SHRUNK_MS);
    expect(await blocks()).toBeLessThanOrEqual(1);
    expect(await flow.stop()).toEqual([]);
  }, 240_000);

  it("keeps the lease of an address that somebody unassigned, gives it to nobody else, and forgets it with the pod", async () => {
    await using life = await Life.start("pl3", SINGLES);
    const [robbed, first, second] = (await life.field.addPods("p0", "p1", "p2")) as [PodOf, PodOf, PodOf];
    await using flow = await talkBetween(first, second);
    const unit = robbed.ipv4?.toCidr();
    if (unit === undefined) throw new Error("the pod has no IPv4 address");
    const { page } = await life.auditor.settled();
    life.field.cluster.ec2.outsideHand.unassign(page.uplinks[0]?.interfaceId ?? "", [unit]);
    await life.restart();
    await expect
      .poll(() => life.logged("the cloud does not list a unit that we hold"), { timeout: 10_000 })
      .toBe(1);
    const others = await life.field.addPods(...names("o", 4));
    expect(others.map(({ ipv4 }) => String(ipv4))).not.toContain(String(robbed.ipv4));
    const leases = (await life.auditor.read()).page.leases.flatMap(({ addresses }) => addresses);
    expect(leases).toContain(String(robbed.ipv4));
    await life.field.node.runtime.del(robbed);
    await life.auditor.settled(
      (books) => !books.page.uplinks.flatMap(({ units }) => units).includes(unit.toString()),
      CONFIRMED_MS,
    );
    expect(await flow.stop()).toEqual([]);
    expect(life.logged("the cloud does not list a unit that we hold")).toBe(1);
    await life.field.expectTalk([first, second, ...others]);
  }, 180_000);

  it("names a full subnet, in the log once and to the pod that waits in vain, and goes on when it has room", async () => {
    await using life = await Life.start("pl4", SINGLES, { CAUSEWAY_ADD_WAIT_MS: "8000" });
    life.bind("p0", "p1");
    await life.holds({ leased: 0, free: 4 }, GROWN_MS);
    const { outsideHand } = life.field.cluster.ec2;
    const filler = outsideHand.fill("subnet-a");
    const pods = await life.field.addPods(...names("p", 4));
    for (const name of ["late", "later"])
      await expect(life.field.addPods(name)).rejects.toThrow(/subnet-a has no free address/);
    expect(life.refusals().length).toBeGreaterThan(0);
    expect(new Set(life.refusals()).size).toBe(life.refusals().length);
    await life.auditor.settled();
    outsideHand.delete(filler.id);
    await life.holds({ leased: 4, free: 2 }, SHRUNK_MS);
    await life.field.expectTalk(pods);
  }, 180_000);

  it("takes single addresses where a subnet has no whole block left, and says why once", async () => {
    const blocks = { ...QUICK, "enable-prefix-delegation": "true" };
    await using life = await Life.start("pl5", SINGLES);
    life.field.cluster.ec2.outsideHand.fragment("subnet-a");
    life.field.node.writeSettings(blocks);
    life.bind(...names("p", 12));
    await life.holds({ leased: 0, free: 14 }, GROWN_MS);
    const pods = await life.field.addPods(...names("p", 12));
    const { page } = await life.auditor.settled();
    expect(page.uplinks.flatMap(({ units }) => units).filter((unit) => unit.endsWith("/28"))).toEqual([]);
    expect(life.refusals().filter((reason) => reason.includes("no-free-block"))).not.toEqual([]);
    expect(new Set(life.refusals()).size).toBe(life.refusals().length);
    await life.field.expectTalk(pods);
  }, 120_000);
});
